"""Hosts as data: problems, exit status, message, document and differences."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.result import HostState, Outcome
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import Work
from tests.unit.controller.prepare.answers import LIMIT, SLEEP, mac, row

LOOK, APPLY, DRY, UNDO = Work(), Work(apply=True), Work(apply=True, dry_run=True), Work(undo=True)


def outcome(work: Work, *hosts: HostState, refused: bool = False) -> Outcome:
    return Outcome(work, hosts, refused)


def host(*rows: dict[str, Any], name: str = "a", failure: str = "") -> HostState:
    return HostState(name, failure=failure) if failure else HostState.of(name, mac(*rows))


RIGHT, WOULD, SET = (host(row("sleep", state, **SLEEP)) for state in ("right", "would change", "changed"))
GONE = host(name="b", failure="no answer within 30 s")


@pytest.mark.parametrize(
    ("found", "message", "changed", "differences"),
    [
        (outcome(LOOK, RIGHT), "1 host: nothing to change", False, 0),
        (outcome(LOOK, WOULD), "1 item on 1 host to change; --apply changes them", False, 0),
        (outcome(DRY, WOULD, RIGHT), "1 item on 1 host to be set", True, 1),
        (outcome(APPLY, SET, host(row("sleep", "changed"), row("wired_limit", "changed"), name="b")), "3 items on 2 hosts set", True, 2),
        (outcome(APPLY, RIGHT), "1 host: nothing to change", False, 0),
        (outcome(UNDO, SET), "1 item on 1 host taken back", True, 1),
        (outcome(UNDO, HostState.of("a", mac())), "nothing to take back", False, 0),
        (outcome(Work(undo=True, dry_run=True), WOULD), "1 item on 1 host to be taken back", True, 1),
        (outcome(APPLY, host(row("sleep", "not here", "it is Linux"))), "1 host: nothing to change", False, 0),
    ],
)
def test_what_goes_well_has_status_0(found: Outcome, message: str, changed: bool, differences: int) -> None:
    assert (found.returncode, found.message, found.problems, found.changed) == (0, message, [], changed)
    assert len(found.diff()) == differences


@pytest.mark.parametrize(
    ("found", "message", "changed"),
    [
        (outcome(LOOK, RIGHT, GONE), "b: no answer within 30 s", False),
        (outcome(APPLY, SET, GONE), "b: no answer within 30 s", True),
        (
            outcome(APPLY, WOULD, host(row("wired_limit", "failed", "9 MB is above 8 MB"), name="b"), refused=True),
            "b: wired limit: 9 MB is above 8 MB; nothing was changed",
            False,
        ),
        (
            outcome(APPLY, host(row("sleep", "failed", "pmset: no"), row("linger", "failed", "x"))),
            "a: sleep: pmset: no (and 1 more)",
            False,
        ),
        (outcome(APPLY, host(row("sleep", "by hand"))), "a: sleep: run its commands there", False),
        (outcome(APPLY, WOULD.unfinished("by hand", "sudo: no")), "a: sudo: no", False),
        (outcome(APPLY, WOULD.unfinished("not known", "silent for 30 s")), "a: silent for 30 s", True),
    ],
)
def test_whatever_is_missing_has_status_3_and_a_line(found: Outcome, message: str, changed: bool) -> None:
    assert (found.returncode, found.message, found.changed) == (3, message, changed)


def test_items_that_are_right_stay_so_when_their_host_is_lost() -> None:
    lost = host(row("sleep", "right"), row("wired_limit", "would change")).unfinished("not known", "gone")
    assert [item.state for item in lost.items] == ["right", "not known"]


def test_document_has_hosts_items_and_problems() -> None:
    found = outcome(APPLY, host(row("wired_limit", "changed", **LIMIT)), GONE).to_json()
    assert (found["format"], found["returncode"], found["changed"], found["problems"]) == (1, 3, True, ["b: no answer within 30 s"])
    assert found["hosts"][0] == {"host": "a", "system": "Darwin", "items": [row("wired_limit", "changed", **LIMIT)], "failure": ""}
    assert found["hosts"][1] == {"host": "b", "system": "", "items": [], "failure": "no answer within 30 s"}


def test_difference_of_a_host_has_its_settings_before_and_after() -> None:
    both = host(row("sleep", "changed", **SLEEP), row("wired_limit", "changed", **LIMIT), row("firewall", "right", before="x", after="x"))
    (found,) = outcome(APPLY, both, RIGHT).diff()
    assert found["before_header"] == found["after_header"] == "a"
    assert found["before"] == "sleep: sleep 1, disksleep 10\nwired limit: 0 MB\n"
    assert found["after"] == "sleep: sleep 0, disksleep 0\nwired limit: 98304 MB\n"


def test_differences_do_nothing_to_a_terminal() -> None:
    """Ansible shows them as they are."""
    (found,) = outcome(APPLY, host(row("sleep", "changed", before="\x1b]52;c;x\x07", after="\x9b2J"))).diff()
    assert (found["before"], found["after"]) == ("sleep: \\x1b]52;c;x\\x07\n", "sleep: \\x9b2J\n")
