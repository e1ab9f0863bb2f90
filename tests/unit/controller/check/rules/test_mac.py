"""What is told of the settings of a Mac: nothing of those that are well, one line of each other one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.prepare.wired_limit import most_wired
from tests.unit.controller.check.good import GIB, PYTHON, cell, cells, facts, mac

MIB = 1024**2
PROGRAM, LINK = PYTHON["program"], PYTHON["executable"]
APP = PROGRAM.rpartition("/bin/")[0] + "/Resources/Python.app"
BATTERY = "Battery Power:\n sleep                1\n"


def power(**settings: int) -> str:
    return "AC Power:\n" + "".join(f" {name:<20} {value}\n" for name, value in settings.items())


@pytest.mark.parametrize(
    ("text", "value", "note"),
    [
        (power(sleep=0), "never", ""),
        (power(disksleep=10, sleep=10), "10min", "sleeps after 10 minutes without use, and Thunderbolt does not wake it"),
        (power(sleep=1), "1min", "sleeps after 1 minute without use"),
        (BATTERY + power(sleep=0), "never", ""),
        (power(sleep=0) + BATTERY, "never", ""),
        ("AC Power:\n sleep                10 (sleep prevented by caffeinate)\n", "10min", "sleeps after 10 minutes"),
        (BATTERY, "-", ""),
        ("", "-", ""),
        ("Usage: pmset <options>", "-", ""),
    ],
)
def test_sleep(text: str, value: str, note: str) -> None:
    found = mac("sleep", power_settings=text)
    assert (found.value, found.status) == (value, "warn" if note else "unknown" if value == "-" else "ok")
    assert [each.startswith(note) and each.endswith("; mlxlaunch prepare --apply ends that") for each in found.notes] == [True] * bool(note)


@pytest.mark.parametrize(
    ("settings", "vault", "notes"),
    [
        ({"autorestart": 1}, "FileVault is Off.\n", []),
        ({}, "FileVault is Off.\n", []),
        ({}, "", []),
        ({"autorestart": 0}, "", ["stays off after a power failure; mlxlaunch prepare --apply lets it start again"]),
        (
            {"autorestart": 0},
            "FileVault is On.\nEncryption in progress: Percent completed = 4\n",
            ["FileVault is on: after a restart it is locked until somebody logs in on it; turn it off, or restart by ", "stays off"],
        ),
        ({}, "Error: FileVault is On.", []),
    ],
)
def test_restart(settings: dict[str, int], vault: str, notes: list[str]) -> None:
    found = mac("restart", power_settings=power(**settings), filevault=vault)
    assert len(found.notes) == len(notes)
    for note, begin in zip(found.notes, notes, strict=True):
        assert note.startswith(begin)


SET = "run mlxlaunch prepare --apply --wired-limit auto"


@pytest.mark.parametrize(
    ("total", "limit", "ranks", "value", "notes"),
    [
        (512 * GIB, 470 * GIB, 1, "470G", []),
        (512 * GIB, 480 * GIB, 2, "480G", []),
        (512 * GIB, 511 * GIB, 1, "511G", [f"the GPU may wire 511G of 512G; with 1024M left the system may freeze; {SET}, for 480G"]),
        (64 * GIB, 70 * GIB, 1, "70G", [f"the GPU may wire 70G of 64G; with 0M left the system may freeze; {SET}, for 56G"]),
        (512 * GIB, 0, 1, "default", [f"the GPU may wire 384G of 512G, by default, and could 480G; {SET}"]),
        (512 * GIB, 0, 2, "default", [f"the GPU may wire 384G of 512G, 192G for each of 2 ranks, by default, and could 480G; {SET}"]),
        (128 * GIB, 64 * GIB, 1, "64G", [f"the GPU may wire 64G of 128G, which is less than by default; {SET}, for 120G"]),
        (16 * GIB, 0, 1, "default", []),
        (16 * GIB, 10 * GIB, 1, "10G", [f"the GPU may wire 10G of 16G, which is less than by default; {SET}, for 11G"]),
        (32 * GIB, 0, 1, "default", []),
        (36 * GIB, 0, 2, "default", []),
        (512 * GIB, None, 1, "-", []),
        (None, 0, 1, "-", []),
    ],
)
def test_wired_limit(total: int | None, limit: int | None, ranks: int, value: str, notes: list[str]) -> None:
    memory = {"memory": {"total": total, "available": None, "wired": limit}}
    found = cell("wired", memory, ranks=tuple(range(ranks)))
    differs = total == 512 * GIB and limit not in (None, 470 * GIB)  # from Macs with as much memory
    own = value if limit else "384G"
    assert (found.value, found.notes[: len(notes)]) == (value, notes)
    assert [note.partition("; ")[0] for note in found.notes[len(notes) :]] == [
        f"the limit of wired memory is {own}, and 470G on most hosts" for _note in range(differs)
    ]


@pytest.mark.parametrize("size", [8, 16, 18, 24, 32, 36, 48, 64, 96, 192, 512])
def test_limit_that_prepare_sets_is_well(size: int) -> None:
    memory = {"total": size * GIB, "available": None, "wired": most_wired(size * 1024) * MIB}
    assert [each["wired"].notes for each in cells(facts("a", {"memory": memory}), facts("b", {"memory": memory}))] == [[], []]


@pytest.mark.parametrize(
    ("total", "limits", "notes"),
    [
        (36, (0, 28672, 28672), ["the limit of wired memory is 27G, and 28G on most hosts", "", ""]),
        (36, (0, 0, 28672), ["", "", "the limit of wired memory is 28G, and 27G on most hosts"]),
        (24, (0, 16384, 16384), ["", "", ""]),
        (16, (0, 10923, 10923), ["", "", ""]),
        (16, (None, 10923, 10923), ["", "", ""]),
    ],
)
def test_limit_that_differs_is_told_also_of_the_default(total: int, limits: tuple[int | None, ...], notes: list[str]) -> None:
    memories = [{"total": total * GIB, "available": None, "wired": limit and limit * MIB} for limit in limits]
    found = cells(*(facts(name, {"memory": memory}) for name, memory in zip("abc", memories, strict=True)))
    assert [";".join(each["wired"].notes).partition("; ")[0] for each in found] == notes


def apps(**decisions: str) -> str:
    """Return a list as socketfilterfw prints it, by path with its decision."""
    rows = [
        f"{at} : {path} \n             ({decision} incoming connections) \n\n" for at, (path, decision) in enumerate(decisions.items(), 1)
    ]
    return "".join(rows)


ON, OFF = "Firewall is enabled. (State = 1)\n", "Firewall is disabled. (State = 0)\n"
MAY = f"the firewall is on and does not list {PROGRAM}, so it may keep neighbours out; mlxlaunch prepare --apply allows it"
BLOCKS = f"the firewall blocks {PROGRAM}, so neighbours cannot connect; mlxlaunch prepare --apply allows it"
ALL = "the firewall blocks all incoming connections; turn that off in System Settings, Network, Firewall, Options"


@pytest.mark.parametrize(
    ("state", "listed", "value", "notes"),
    [
        (OFF, "", "off", []),
        (OFF, apps(**{PROGRAM: "Block"}), "off", []),
        (ON, apps(**{PROGRAM: "Allow"}), "on", []),
        (ON, apps(**{LINK: "Allow"}), "on", []),
        (ON, apps(**{APP: "Allow"}), "on", []),
        (ON, apps(**{"/Applications/Some App.app": "Block", f"{APP}/Contents/MacOS/Python": "Allow"}), "on", []),
        (ON, apps(**{PROGRAM: "Block"}), "on", [BLOCKS]),
        (ON, apps(**{PROGRAM: "Allow", APP: "Block"}), "on", [BLOCKS]),
        (ON, apps(**{f"{PROGRAM}-config": "Allow"}), "on", [MAY]),
        (ON, apps(), "on", [MAY]),
        (ON, "", "on", [MAY]),
        (f"1 : {PROGRAM}", "", "-", []),
        ("Firewall is blocking all non-essential incoming connections. (State = 2)\n", apps(**{PROGRAM: "Allow"}), "on", [ALL]),
        (f"{ON}Block all ENABLED! \n", "", "on", [ALL]),
        (f"{ON}Firewall has block all state set to enabled.\n", "", "on", [ALL]),
        (f"{ON}Firewall has block all state set to disabled.\n", apps(**{PROGRAM: "Allow"}), "on", []),
        ("", "", "-", []),
    ],
)
def test_firewall(state: str, listed: str, value: str, notes: list[str]) -> None:
    found = mac("firewall", firewall=state, firewall_apps=listed)
    assert (found.value, found.notes) == (value, notes)
    assert found.status == ("warn" if notes else "unknown" if value == "-" else "ok")


def test_firewall_lets_apple_s_own_python_listen() -> None:
    own: dict[str, Any] = {**PYTHON, "program": "/Library/Developer/CommandLineTools/usr/bin/python3.9"}
    reports = {"answers": {"firewall.txt": ON, "firewall_apps.txt": apps()}, "failed": {}}
    assert cell("firewall", {"python": own, "reports": reports}).status == "ok"
    assert cell("firewall", {"python": {"path": "/x", "problem": "not there"}, "reports": reports}).status == "ok"


@pytest.mark.parametrize("column", ["sleep", "restart", "firewall"])
def test_other_machines_have_no_such_settings(column: str) -> None:
    assert cell(column, {"system": {"name": "Debian"}, "reports": None}).status == "unknown"
