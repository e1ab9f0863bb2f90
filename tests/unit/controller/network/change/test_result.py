"""The outcome of work on hosts: exit status, message, text, differences."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.result import (
    HostChange,
    Proof,
    RingSum,
    Work,
    diff_of,
    lines_of,
    outcome_of,
    rate,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.spans import Place, Span

SPAN = Span((Place("a", "en2", "10.0.0.1"), Place("b", "en3", "10.0.0.2")), 40.0)
PORT = {
    "interface": "en2",
    "before": "en2: no address",
    "after": "en2: 10.0.0.1/30",
    "steps": [["networksetup", "-setmanual", "A b", "10.0.0.1", "255.255.255.252"]],
    "persistent": True,
    "rejoins": "",
    "note": "",
}
SET = HostChange("a", "set", [PORT])
LEFT = HostChange("b", "set", [{**PORT, "steps": [], "note": "it was so already"}])


@pytest.mark.parametrize(
    ("work", "status", "message"),
    [
        (Work(), 0, "planned"),
        (Work(changes=(HostChange("a", "unchanged"),)), 0, "nothing to change"),
        (Work(changes=(SET,)), 0, "1 port on 1 host set"),
        (Work(changes=(SET,), undo=True), 0, "1 port on 1 host taken back"),
        (Work(changes=(SET, LEFT), undo=True), 0, "1 port on 1 host taken back"),
        (Work(changes=(LEFT,), undo=True), 0, "nothing to change"),
        (Work(changes=(HostChange("a", "would change", [PORT]),)), 0, "1 port on 1 host would change"),
        (Work(changes=(SET,), proofs=(Proof(SPAN, False), Proof(SPAN, True))), 0, "1 port on 1 host set; 1 links work in both directions"),
        (Work(refusal="no"), 3, "no"),
        (Work(changes=(SET, HostChange("b", "by hand", [PORT], "sudo wants a password"))), 3, "b: sudo wants a password"),
        (Work(changes=(SET,), proofs=(Proof(SPAN, True, "refused"),)), 3, "b en3 -> a en2: refused"),
        (Work(rdma=[("a", "en2", "down"), ("b", "en3", "down")]), 3, "a en2: down (and 1 more)"),
        (Work(measured=(Proof(SPAN, False, "", 0.1, 2e9),)), 0, "planned; the slowest link gives 2 Gb/s"),
        (Work(ring=RingSum(2, "no MLX")), 3, "all_sum: no MLX"),
    ],
)
def test_outcome_says_whether_all_of_it_is_done(work: Work, status: int, message: str) -> None:
    assert outcome_of(work, 0, "planned") == (status, message)


@pytest.mark.parametrize(
    ("port", "text"),
    [
        ({}, "; stays after a restart"),
        ({"persistent": False}, "; until the next restart"),
        ({"rejoins": "bridge0"}, "; after a restart bridge0 has the port again: apply again"),
    ],
)
def test_text_says_how_long_a_setting_stays(port: dict[str, object], text: str) -> None:
    assert list(lines_of(Work(changes=(HostChange("a", "set", [{**PORT, **port}]),)))) == [f"set  a en2: 10.0.0.1/30{text}"]


def test_port_that_is_left_alone_is_told_and_has_not_changed() -> None:
    assert list(lines_of(Work(changes=(LEFT,), undo=True))) == ["unchanged  b en2: 10.0.0.1/30", "      it was so already"]
    assert (Work(changes=(LEFT,)).changed, diff_of(Work(changes=(LEFT,)))) == (False, [])


def test_failed_host_tells_each_port_once() -> None:
    failed = {**PORT, "interface": "en3", "error": "no address"}
    assert list(lines_of(Work(changes=(HostChange("a", "failed", [PORT, failed], "en3: no address; set: en2"),)))) == [
        "set  a en2: 10.0.0.1/30; stays after a restart",
        "failed  a: en3: no address; set: en2",
    ]


def test_commands_for_a_person_are_quoted() -> None:
    lines = list(lines_of(Work(changes=(HostChange("a", "by hand", [PORT], "no sudo"),))))
    assert lines[1:] == ["by hand  a: no sudo", "      sudo networksetup -setmanual 'A b' 10.0.0.1 255.255.255.252"]


def test_measured_links_stand_beside_their_speed() -> None:
    measured = (Proof(SPAN, False, "", 0.0002, 31.5e9), Proof(SPAN, True, "refused"))
    assert list(lines_of(Work(measured=measured, measured_in=2.5, ring=RingSum(2, "", 0.001, 5e8)))) == [
        "measured, all links at the same time, in 2.5 s",
        "  a en2 -> b en3  31.5 Gb/s of 40 Gb/s, 0.2 ms there and back",
        "  b en3 -> a en2  refused",
        "all_sum of MLX over 2 hosts is right: 1 ms for a number, 500 Mb/s for 4 MiB",
    ]


def test_rate_has_its_unit() -> None:
    assert [rate(1.5e6), rate(2e9)] == ["1.5 Mb/s", "2 Gb/s"]


def test_differences_are_those_of_changed_hosts() -> None:
    (diff,) = diff_of(Work(changes=(SET, HostChange("b", "unchanged"), HostChange("c", "by hand", [PORT]))))
    assert diff == {"before_header": "a", "after_header": "a", "before": "en2: no address\n", "after": "en2: 10.0.0.1/30\n"}
