"""The table of a preparation, and the lines below it."""

from __future__ import annotations

from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.items import ITEMS
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.result import HostState, Outcome
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.table import render
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import Work
from tests.unit.controller.prepare.answers import LIMIT, SLEEP, linux, mac, row


def rendered(*hosts: HostState, **work: bool) -> list[str]:
    return render(Outcome(Work(**work), hosts)).splitlines()


def test_row_of_a_host_has_a_cell_for_each_item_that_is_on_anywhere() -> None:
    lines = rendered(
        HostState.of("mac-1", mac(row("sleep", "right"), row("wired_limit", "changed", **LIMIT))),
        HostState.of("linux-1", linux(row("sleep", "not here", "it is Linux"))),
        HostState("mac-2", failure="no answer within 30 s"),
    )
    assert lines[:4] == ["host     sleep  wired", "mac-1    ok     set", "linux-1  n/a    -", "mac-2    -      -"]


def test_lines_tell_failures_first_then_changes_then_notes() -> None:
    lines = rendered(
        HostState.of("a", mac(row("sleep", "changed", **SLEEP), row("wired_limit", "failed", "9 MB is above 8 MB"))),
        HostState.of("l", linux(row("sleep", "not here", "it is Linux"), row("firewall", "not here", "it is Linux"))),
        HostState("b", failure="no answer within 30 s"),
        apply=True,
    )
    assert lines[5:] == [
        "fail  b: no answer within 30 s",
        "fail  a: wired limit: 9 MB is above 8 MB",
        "set  a: sleep: sleep 1, disksleep 10 -> sleep 0, disksleep 0",
        "note  l: sleep, firewall: it is Linux",
    ]


def test_item_that_is_right_has_a_line_when_there_is_something_to_tell() -> None:
    host = HostState.of("a", mac(row("sleep", "right"), row("open_files", "right", "in force after the next restart")))
    assert rendered(host)[3:] == ["note  a: open files: in force after the next restart"]


def test_hosts_with_the_same_change_share_a_line() -> None:
    hosts = [HostState.of(f"mac-{number}", mac(row("sleep", "would change", **SLEEP))) for number in range(6)]
    assert rendered(*hosts)[8:] == [
        "to set  mac-0, mac-1, mac-2, mac-3 and 2 more: sleep: sleep 1, disksleep 10 ->",
        "      sleep 0, disksleep 0",
    ]


def test_commands_by_hand_are_quoted_for_a_shell_and_not_wrapped() -> None:
    host = HostState.of("a", mac(row("sleep", "right"), row("wired_limit", "would change", **LIMIT))).unfinished("by hand", "sudo: no")
    assert rendered(host, apply=True) == [
        "host  sleep  wired",
        "a     ok     by hand",
        "",
        "by hand  a: sudo: no",
        "",
        "on a, run:",
        "  sudo sysctl iogpu.wired_limit_mb=98304",
        "  sudo launchctl bootstrap system /Library/LaunchDaemons/mlxlaunch.cluster.wired-limit.plist",
    ]


def test_host_that_was_lost_has_one_line_with_the_reason() -> None:
    host = HostState.of("a", mac(row("sleep", "would change", **SLEEP))).unfinished("not known", "silent for 30 s")
    assert rendered(host, apply=True) == ["host  sleep", "a     ?", "", "fail  a: silent for 30 s"]


def test_undo_has_words_of_its_own() -> None:
    assert rendered(HostState.of("a", mac(row("sleep", "changed", **SLEEP))), undo=True)[1:4] == [
        "a     undone",
        "",
        "undone  a: sleep: sleep 1, disksleep 10 -> sleep 0, disksleep 0",
    ]
    assert rendered(HostState.of("a", mac(row("sleep", "would change"))), undo=True, dry_run=True)[1] == "a     to undo"


def test_nothing_to_undo_has_no_table() -> None:
    assert rendered(HostState.of("a", mac()), undo=True) == []


def test_every_state_of_every_item_fits_into_80_columns() -> None:
    long = {"before": "x " * 60, "after": "y" * 30}
    states = ("right", "changed", "would change", "not here", "failed", "by hand")
    hosts = [
        HostState.of(f"mac-studio-{at}.example", mac(*(row(item.name, state, "why " * 40, **long) for item in ITEMS)))
        for at, state in enumerate(states)
    ]
    lines = rendered(*hosts, HostState("b", failure="because " * 30), apply=True)
    assert [line for line in lines if len(line) > 80] == []
    assert lines[0].split() == ["host", "sleep", "power", "wired", "files", "procs", "firewall", "linger"]


def test_texts_of_hosts_do_nothing_to_a_terminal() -> None:
    evil: dict[str, Any] = {"before": "\x1b[2J", "after": "a\nb", "commands": [["pmset", "a; reboot", "\x1b]0;x\x07"]]}
    found = rendered(HostState.of("a", mac(row("sleep", "changed", "\x07", **evil), row("firewall", "by hand", **evil))), apply=True)
    assert not any(ord(letter) < 32 for line in found for letter in line)
    assert "set  a: sleep: \\x1b[2J -> a b; \\x07" in found
    assert "  sudo pmset 'a; reboot' '\\x1b]0;x\\x07'" in found
