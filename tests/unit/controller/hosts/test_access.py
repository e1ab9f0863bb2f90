"""The directory for all that is deployed."""

from __future__ import annotations

import pwd
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import chosen_root, possible_roots
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings

MAC, LINUX = "Darwin", "Linux"
ROOT, OTHER = True, False


def be(monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    """Let this process's user have a name, or none."""

    def find(_uid: int) -> Any:
        if name is None:
            raise KeyError
        return SimpleNamespace(pw_name=name)

    monkeypatch.setattr(pwd, "getpwuid", find)


@pytest.mark.parametrize(
    ("hosts", "root"),
    [
        ([(MAC, ROOT), (LINUX, ROOT)], "/opt/mlxlaunch"),
        ([(MAC, ROOT)], "/opt/mlxlaunch"),
        ([(MAC, OTHER), (MAC, OTHER)], "/Users/Shared/mlxlaunch-ada"),
        ([(LINUX, OTHER)], "/opt/mlxlaunch-ada"),
        ([(MAC, OTHER), (LINUX, OTHER)], "/opt/mlxlaunch-ada"),
        ([(LINUX, ROOT), (LINUX, OTHER)], "/opt/mlxlaunch-ada"),
        ([(MAC, ROOT), (MAC, OTHER)], "/Users/Shared/mlxlaunch-ada"),
    ],
)
def test_root_suits_all_hosts_and_the_user(hosts: list[tuple[str, bool]], root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "ada")
    facts = {str(at): {"system": system, "root_user": is_root} for at, (system, is_root) in enumerate(hosts)}
    assert chosen_root(JobSettings(), facts) == root
    assert root in possible_roots(JobSettings())


def test_root_that_is_set_is_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, None)
    assert chosen_root(JobSettings(root="/data"), {"a": {"system": LINUX, "root_user": OTHER}}) == "/data"
    assert possible_roots(JobSettings(root="/data")) == ["/data"]


@pytest.mark.parametrize("name", [None, "..", "../eve", "a/b", "", "-rf", "CORP\\ada", "a b", "a\nb", "a;b"])
def test_user_without_a_name_for_a_path_sets_the_root(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, name)
    assert possible_roots(JobSettings()) == ["/opt/mlxlaunch"]
    with pytest.raises(UsageError, match="mlx_root") as caught:
        chosen_root(JobSettings(), {"a": {"system": LINUX, "root_user": OTHER}})
    assert "\n" not in str(caught.value)


def test_root_may_be_below_the_home_that_all_hosts_have() -> None:
    home = JobSettings(root="~/mlx")
    assert chosen_root(home, {"a": {"home": "/home/ada"}, "b": {"home": "/home/ada/"}}) == "/home/ada/mlx"
    with pytest.raises(UsageError, match=r"^--root ~/mlx: it is /Users/ada/mlx on a and /home/ada/mlx on b, and has to be one path"):
        chosen_root(home, {"a": {"home": "/Users/ada"}, "b": {"home": "/home/ada"}})
