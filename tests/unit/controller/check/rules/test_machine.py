"""What is told of the machine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.controller.check.good import GIB, cell, cells, facts

MOSTLY = "on most hosts; update the older ones"
SLOWEST = "all ranks wait for the slowest, so give it less to do"


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        ({"version": "14.7"}, [f"is macOS 14.7, and macOS 26.2 {MOSTLY}"]),
        ({"version": "26.2", "build": "25C5048a"}, [f"is macOS 26.2 (25C5048a), and macOS 26.2 (25C56) {MOSTLY}"]),
        ({"build": ""}, []),
        ({"chip": "Apple M4 Max"}, [f"its chip is Apple M4 Max, and Apple M3 Ultra on most hosts; {SLOWEST}"]),
        ({"version": "15.1", "chip": "Apple M2"}, [f"is macOS 15.1, and macOS 26.2 {MOSTLY}", "its chip is Apple M2, and "]),
        ({"name": "Debian", "version": "12", "build": "", "chip": ""}, [f"is Debian 12, and macOS 26.2 {MOSTLY}"]),
    ],
)
def test_system_that_differs_is_worth_a_look(change: dict[str, Any], notes: list[str]) -> None:
    found = cell("system", {"system": change})
    assert found.status == ("warn" if notes else "ok")
    assert len(found.notes) == len(notes)
    for note, begin in zip(found.notes, notes, strict=True):
        assert note.startswith(begin)


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        ({"open_files": None, "processes": None}, []),
        ({"open_files": 1024, "processes": 1024}, []),
        (
            {"open_files": 256},
            ["a process may open 256 files only; run mlxlaunch prepare --apply --open-files 65536"],
        ),
        (
            {"processes": 100},
            ["this user may run 100 processes only; run mlxlaunch prepare --apply --processes 4096"],
        ),
    ],
)
def test_low_limits_are_worth_a_look(change: dict[str, Any], notes: list[str]) -> None:
    assert cell("limits", change).notes == notes


@pytest.mark.parametrize(
    ("offset", "uncertainty", "value", "status"),
    [
        (0.9, 0.0, "+0.9s", "ok"),
        (-1.5, 0.0, "-1.5s", "warn"),
        (1.5, 0.8, "+1.5s", "ok"),
        (90.0, 0.0, "+90.0s", "warn"),
        (600.0, 0.0, "+10min", "warn"),
        (-86400.0, 0.0, "-24h", "warn"),
    ],
)
def test_clock_more_than_a_second_off_is_worth_a_look(offset: float, uncertainty: float, value: str, status: str) -> None:
    found = cell("clock", offset=offset, uncertainty=uncertainty)
    assert (found.value, found.status) == (value, status)


def test_clock_note_says_which_way_and_how_to_set_it() -> None:
    assert cell("clock", offset=-5.0).notes == ["5.0s behind this machine's; set it (sudo sntp -sS time.apple.com)"]
    linux = cell("clock", {"system": {"name": "Debian"}}, offset=5.0)
    assert linux.notes == ["5.0s ahead of this machine's; set it (sudo timedatectl set-ntp true)"]


@pytest.mark.parametrize(("free", "status"), [(50 * 1024**2, "fail"), (300 * 1024**2, "warn"), (GIB, "ok")])
def test_full_disk_is_told(free: int, status: str) -> None:
    assert cell("disk", {"disk": {"free": free}}).status == status


def test_old_versions_that_stay_are_worth_a_look() -> None:
    found = cell("disk", {"kept": "kept although old, 8.8 GB in all: /root/5 (edited by hand)"})
    assert (found.status, found.notes) == ("warn", ["kept although old, 8.8 GB in all: /root/5 (edited by hand)"])


def test_modules_beside_the_project_are_worth_a_look() -> None:
    found = cell("project", {"project": {"extra": ["random.py"]}})
    assert (found.status, found.value) == ("warn", "77777")
    assert "random.py" in found.notes[0]


@pytest.mark.parametrize(
    ("column", "change"),
    [("project", {"state": "absent", "closed": "/x is closed"}), ("environment", {"state": "absent", "problem": "/x is closed"})],
)
def test_closed_directory_is_not_taken_for_a_missing_one(column: str, change: dict[str, Any]) -> None:
    found = cell(column, {column: change})
    assert (found.status, found.value, found.notes) == ("fail", "closed", ["/x is closed"])


def test_little_memory_is_worth_a_look_and_unknown_memory_is_not() -> None:
    assert cell("memory", {"memory": {"available": 10 * GIB}}).status == "warn"
    assert cell("memory", {"memory": {"available": None}}).value == "512G"
    assert cell("memory", {"memory": {"total": None, "available": None}}).status == "unknown"


def test_clock_that_differs_from_all_hosts_alike_is_this_machine_s() -> None:
    found = cells(*(facts(name, offset=offset) for name, offset in (("a", 90.0), ("b", 90.4))))
    assert found[0]["clock"].notes == ["90.0s ahead of this machine's; so are all hosts, so set this machine's"]
    assert "sntp" in cells(facts("a", offset=90.0))[0]["clock"].notes[0]
