"""What is told of the connection to a host."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.facts import HostFacts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.rules.assess import COLUMNS
from tests.unit.controller.check.good import cell, cells, facts


@pytest.mark.parametrize(
    ("failure", "reachable", "host_key"),
    [
        ("did not answer for 30 s", ("no", "fail"), ("-", "unknown")),
        ("ssh: connect to host a port 22: Connection refused: no sshd answers there", ("no", "fail"), ("-", "unknown")),
        ("Permission denied (publickey): ssh was refused; is the right user", ("denied", "fail"), ("ok", "ok")),
        ("Host key verification failed.: its host key is unknown; check it", ("yes", "ok"), ("unknown", "fail")),
        ("WARNING: REMOTE HOST: its host key has changed; check why", ("yes", "ok"), ("changed", "fail")),
    ],
)
def test_failures_of_the_connection_are_told_apart(failure: str, reachable: tuple[str, str], host_key: tuple[str, str]) -> None:
    found = cells(HostFacts("a", failure=failure))[0]
    assert (found["reachable"].value, found["reachable"].status) == reachable
    assert (found["host key"].value, found["host key"].status) == host_key
    failing = [one for one in found.values() if one.status == "fail"]
    assert len(failing) == 1
    assert failing[0].notes[0].startswith(failure)


def test_host_that_could_not_be_asked_is_unknown_in_all_else() -> None:
    found = cells(HostFacts("a", failure="off"), facts("b"), facts("c"))
    assert {found[0][name].status for name in COLUMNS[2:]} == {"unknown"}
    assert {one.status for name, one in found[1].items() if name not in ("mpirun", "rdma")} == {"ok"}


def test_local_host_has_no_host_key() -> None:
    assert cell("reachable", local=True).value == "local"
    assert cell("host key", local=True).status == "unknown"
