"""The hosts of a task: which take part, and their interpreters."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts, own_pythons
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings


class HostVars(dict[str, dict[str, Any]]):
    """Ansible's variables of all hosts, as far as they name the inventory."""

    _inventory = SimpleNamespace(_sources=["/etc/hosts.yml", ""])


class Variables(dict[str, Any]):
    """Variables of a host, whose conditions are names of truth values."""

    def meet(self, conditions: list[str]) -> bool:
        return all(self[name] for name in conditions)


def hosts(groups: dict[str, list[str]], *, when: Sequence[str] = (), **task_vars: Any) -> Hosts:
    task = SimpleNamespace(dump_attrs=lambda: {"retries": 3, "become": False}, environment=None, play=None, when=when)
    return Hosts(task, SimpleNamespace(timeout=10), None, {"hostvars": HostVars(), "groups": groups, **task_vars}, {})


def test_hosts_are_in_the_order_of_the_inventory() -> None:
    assert hosts({"mlx": ["b", "a"]}).names("mlx") == ["b", "a"]


def test_play_for_the_group_honours_its_limit() -> None:
    assert hosts({"mlx": ["a", "b", "c"]}, ansible_play_hosts_all=["c", "a"]).names("mlx") == ["a", "c"]


@pytest.mark.parametrize(
    ("task_vars", "asked", "present", "absence"),
    [
        ({}, None, "abc", ""),
        ({"ansible_play_hosts": ["a", "c"]}, None, "ac", "b (LEFT)"),
        ({"ansible_play_hosts": ["b", "c"], "inventory_hostname": "b"}, ["b", "c"], "bc", "a (LEFT)"),
        # Ansible takes all but the first from that variable when a task of ours has failed, and runs the rescue for all.
        ({"ansible_play_hosts": ["a"]}, ["a", "b"], "ab", "c (LEFT)"),
        ({"ansible_play_hosts": ["a", "b", "c"]}, ["b", "c"], "bc", "a (Ansible does not run this task there)"),
        ({"when": ["fit"], "inventory_hostname": "a"}, None, "ab", "c (when is false there)"),
        ({"when": ["fit"], "inventory_hostname": "a", "ansible_play_hosts": ["a", "b"]}, None, "ab", "c (LEFT)"),
        ({"when": ["unfit"], "inventory_hostname": "a"}, None, "ac", "b (when is false there)"),
        (
            {"when": ["fit", "unfit"], "inventory_hostname": "a", "ansible_play_hosts": ["a", "b"]},
            None,
            "a",
            "b (when is false there); c (LEFT)",
        ),
        ({"ansible_play_hosts_all": ["b", "c", "localhost"], "ansible_limit": "x", "ansible_play_hosts": ["b"]}, None, "b", "c (LEFT)"),
        ({"ansible_play_hosts_all": ["localhost"], "ansible_play_hosts": ["localhost"], "when": ["unfit"]}, ["localhost"], "abc", ""),
    ],
)
def test_hosts_take_part_for_which_ansible_runs_the_task(
    monkeypatch: pytest.MonkeyPatch, task_vars: dict[str, Any], asked: list[str] | None, present: str, absence: str
) -> None:
    monkeypatch.setattr("ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts.hosts_of_task", lambda _task: asked)
    found = hosts({"mlx": ["a", "b", "c"]}, **{"ansible_play_hosts_all": ["c", "b", "a"], **task_vars})
    monkeypatch.setattr(found, "variables", lambda name: Variables(fit=name != "c", unfit=name != "b"))
    told = absence.replace("LEFT", "left the play: failed, unreachable or ended")
    assert found.names("mlx") == [*present]
    assert found.absence == (f"hosts that take no part: {told}" if told else "")


def test_devices_lead_to_hosts_that_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    found = hosts({"mlx": ["a", "b", "c"]}, ansible_play_hosts_all=["a", "b", "c"], ansible_play_hosts=["a", "c"])
    monkeypatch.setattr(found, "settings", lambda name: HostSettings(name, name, rdma=("to_a", "to_b", "to_c")))
    assert [host.rdma for host in found.members("mlx")] == [("to_a", "to_c")] * 2


def test_group_whose_hosts_have_all_left_is_refused() -> None:
    found = hosts({"mlx": ["a", "b"]}, ansible_play_hosts_all=["a", "b", "localhost"], ansible_play_hosts=["localhost"])
    with pytest.raises(UsageError, match=r"^group 'mlx': no host is left; hosts that take no part: a, b \(left the play: "):
        found.names("mlx")


def test_play_for_localhost_drives_the_group_as_a_whole() -> None:
    assert hosts({"mlx": ["a", "b"]}, ansible_play_hosts_all=["localhost"]).names("mlx") == ["a", "b"]


def test_group_that_a_play_for_another_one_cannot_see_is_refused() -> None:
    """Ours has the pattern "mlx,localhost" where only a variable of the inventory names the group."""
    groups = {"gpu": ["a", "e"], "mlx": ["a", "b"]}
    with pytest.raises(
        UsageError, match=r"^mlx_group is 'gpu', by a variable that a play's hosts cannot see; give it with --group gpu, or"
    ):
        hosts(groups, ansible_play_hosts_all=["a", "b", "localhost"]).names("gpu")
    assert hosts(groups, ansible_play_hosts_all=["a", "b"]).names("gpu") == ["a"]  # a user's own play, for some of them
    assert hosts(groups, ansible_play_hosts_all=["a", "localhost"], ansible_limit="a,localhost").names("gpu") == ["a"]
    assert hosts({"gpu": ["a", "localhost"]}, ansible_play_hosts_all=["a", "localhost"]).names("gpu") == ["a", "localhost"]


def test_limit_that_leaves_no_host_of_the_group_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--limit other: no host of group 'mlx' is left$"):
        hosts({"mlx": ["a", "b"]}, ansible_play_hosts_all=["other"], ansible_limit="other").names("mlx")


def test_group_without_hosts_is_named_with_the_others() -> None:
    with pytest.raises(UsageError, match=r"^inventory /etc/hosts.yml: group 'mlx' has no hosts; the groups are: all, macs$"):
        hosts({"macs": ["a"], "all": ["a"]}).names("mlx")


@pytest.mark.parametrize("groups", [{"all": [], "ungrouped": []}, {"all": [], "macs": ["a"], "mlx": []}])
def test_inventory_that_ansible_cannot_read_is_a_hint(groups: dict[str, list[str]]) -> None:
    with pytest.raises(UsageError, match=r"the groups are: all, .*; ansible-inventory --graph shows what Ansible reads there$"):
        hosts(groups).names("mlx")


@pytest.mark.parametrize(
    ("interpreter", "pythons"), [("/usr/bin/python3", ["/usr/bin/python3"]), ("auto_silent", []), ("", []), (None, [])]
)
def test_interpreter_for_ansible_is_used_when_it_is_a_path(interpreter: str | None, pythons: list[str]) -> None:
    assert own_pythons({"ansible_python_interpreter": interpreter}) == pythons
