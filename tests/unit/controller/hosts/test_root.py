"""Root on hosts: a fleet of those that give it, and the reasons of the others."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.root import root_fleet, without_root
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from tests.unit.controller.fleets import Events, FakeFleet, access, lost

OTHER = "become gives another user than root; leave become_user out"


def test_host_whose_become_takes_no_password_from_us_has_a_reason() -> None:
    def argv(_command: str) -> list[str]:
        raise UsageError("b: su cannot be given a password by a launch")

    fleet, reasons = root_fleet({"a": access("a"), "b": Access(argv, "start")}, JobSettings())
    assert (list(fleet.access), reasons) == (["a"], {"b": "su cannot be given a password by a launch"})


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        ({"jobs": [], "uid": 0}, {}),
        ({"jobs": [], "uid": 501}, {"b": OTHER}),
        (HostFailed("sudo: a password is required"), {"b": "sudo: a password is required"}),
        (lost(), {"b": "silent for 30 s: network, host or sleep"}),
    ],
)
def test_host_whose_agent_is_not_root_has_a_reason(answer: Any, reasons: dict[str, str]) -> None:
    fleet = FakeFleet({"a": {"running": {"jobs": [], "uid": 0}}, "b": {"running": answer}, "c": {}})
    with fleet.open(Events()):
        assert without_root(fleet, ["a", "b"]) == reasons
