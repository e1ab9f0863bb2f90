"""A backend has a name that mlx.launch knows."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job import backend_names
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.backend_names import AUTO, SUPPORTED, check_backend
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError


@pytest.mark.parametrize("name", [AUTO, *SUPPORTED])
def test_known_name_is_returned(name: str) -> None:
    assert check_backend(name) == name


def test_unknown_name_is_refused_with_all_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        check_backend("gloo", "hosts.json: ")
    assert str(caught.value) == "hosts.json: unknown backend 'gloo'; this version starts: ring, mpi, nccl, jaccl, jaccl-ring"


def test_name_of_mlx_launch_alone_is_refused_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_names, "KNOWN", (*backend_names.KNOWN, "gloo"))
    with pytest.raises(UsageError, match=r"^backend 'gloo' is not supported yet; this version starts: ring, "):
        check_backend("gloo")


@pytest.mark.parametrize(("name", "part"), [("rign", "unknown backend 'rign'"), ("", "unknown backend ''"), ("RING", "unknown")])
def test_unknown_backend_is_refused_with_a_list(name: str, part: str) -> None:
    with pytest.raises(UsageError, match=f"^hosts.json: {part}.*: ring.*jaccl-ring"):
        check_backend(name, "hosts.json: ")
