"""network: a look from Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import NAMES
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.recording.store import write_recording
from mlxlaunch_ansible import NetworkFailed, UsageError, network
from mlxlaunch_ansible._network import look
from mlxlaunch_ansible._network.look import NetworkLook, NetworkOptions, NetworkResult
from tests.unit.macs import macs, ring
from tests.unit.package.sessions import Stage, requested, staged, start_none

FOUND: dict[str, Any] = {
    "returncode": 0,
    "cause": "planned",
    "message": "all are set",
    "network": {"hosts": []},
    "text": "host",
    "dot": "graph",
}
FOUND |= {"files": ["/x"], "changed": True, "diff": []}


def test_request_is_a_look_with_settings_and_options_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    start_none(monkeypatch)
    monkeypatch.chdir(tmp_path)
    found = requested(network, ["a", "b"], over="ethernet", svg=Path("x.svg"), lease=5.0, interface=None)
    assert (found.request.playbook, found.settings) == ("network.yml", {"lease": 5.0})
    assert found.request.setup["own"] == {"over": "ethernet", "svg": f"{tmp_path}/x.svg"}


def test_backend_of_a_hostfile_is_no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    found = requested(network, {"backend": "mpi", "hosts": [{"ssh": "a"}, {"ssh": "b"}]})
    assert (found.settings, found.request.setup["own"]) == ({}, {})


def test_options_are_those_of_the_plan_and_four_settings() -> None:
    assert set(NetworkOptions.__annotations__) == {*NAMES, "group", "connect_timeout", "lease", "verbose"}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with staged() as stage:
        monkeypatch.setattr(look, "start_network", lambda *_arguments, **_how: NetworkLook(stage.session))
        yield stage


def test_result_is_that_of_the_worker(stage: Stage) -> None:
    stage.finish(stage.worker(), "network_finished", **FOUND)
    assert network(["a", "b"]) == NetworkResult(0, "all are set", {"hosts": []}, "host", "graph", ("/x",), True)


def test_failure_is_a_result_and_with_check_an_error(stage: Stage) -> None:
    stage.finish(stage.worker(), "network_finished", **{**FOUND, "returncode": 3, "message": "no ring"})
    assert network(["a", "b"]).returncode == 3
    with pytest.raises(NetworkFailed, match=r"no ring \(exit status 3\)") as caught:
        network(["a", "b"], check=True)
    assert caught.value.result.message == "no ring"


def test_recording_is_looked_at_without_any_host(tmp_path: Path) -> None:
    write_recording(str(tmp_path / "recording"), ring(3).answers())
    found = network(replay=tmp_path / "recording", output_vars=tmp_path / "vars")
    assert (found.returncode, len(found.files)) == (0, 3)
    assert found.network is not None
    assert found.network["plan"]["backend"] == "ring"


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((), {}, "want either hosts or a recording"),
        ((["a"],), {"replay": "x"}, "want either hosts or a recording"),
        ((), {"replay": "/no/such"}, "there is no such directory"),
        ((), {"replay": "x", "lease": 3.0}, "--replay asks no host; --lease has no use there"),
        ((["a"],), {"over": "wifi"}, "--over 'wifi'"),
        ((["a"],), {"svg": 7}, "--svg 7: want text"),
        ((["a"],), {"grace": "x"}, "--grace"),
    ],
)
def test_wrong_call_is_a_usage_error(arguments: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        network(*arguments, **options)


def test_one_host_has_no_network(tmp_path: Path) -> None:
    write_recording(str(tmp_path / "recording"), macs(1).answers())
    assert network(replay=tmp_path / "recording").returncode == 3
