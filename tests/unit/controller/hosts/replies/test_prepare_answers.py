"""The shapes of answers about a preparation are those of its calls, and let no program run anything that a host likes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare import firewall, work
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.daemon import Daemon
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.handlers import FUNCTIONS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.shapes import Misfit
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.replies.prepare_answers import _FIREWALL, ANSWERS, ITEMS, STATES
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare import result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.items import NAMES
from tests.unit.host.prepare.programs import host

PYTHON = "/Library/My Frameworks/Python.app"
DAEMON = "/Library/LaunchDaemons/mlxlaunch.cluster"
LIMITS = "/etc/security/limits.d/90-mlxlaunch-nofile.conf"


def test_every_call_of_the_wing_has_a_shape() -> None:
    assert set(ANSWERS) == set(FUNCTIONS)


def test_names_and_states_are_those_of_both_sides() -> None:
    assert ITEMS == NAMES
    assert set(ITEMS) == {*work.ITEMS["Darwin"], *work.ITEMS["Linux"]}
    assert {work.RIGHT, work.CHANGED, work.WOULD, work.NOT_HERE, work.FAILED, work.BY_HAND} == set(STATES)
    assert {result.RIGHT, result.CHANGED, result.WOULD, result.NOT_HERE, result.FAILED, result.BY_HAND} == set(STATES)
    assert firewall.PROGRAM == _FIREWALL


def row(name: str, *commands: list[str]) -> dict[str, Any]:
    return {"name": name, "state": "by hand", "before": "", "after": "", "text": "", "commands": list(commands)}


def taken(*rows: dict[str, Any], asked: Mapping[str, Any] | None = None) -> Any:
    wishes = dict.fromkeys(ITEMS) if asked is None else asked
    return ANSWERS["prepare"](wishes=wishes, trial=True, python="")({"system": "Darwin", "items": list(rows)})


def daemon(item: str, *words: str) -> str:
    return Daemon(item).text(words)


AWAKE = dict.fromkeys(("sleep", "disksleep", "standby", "autopoweroff"), "0")
#: System, item, and settings; any of them may follow on any other.
SETTINGS: list[tuple[str, str, list[dict[str, str]]]] = [
    ("Darwin", "sleep", [AWAKE, {**AWAKE, "sleep": "1", "standby": "1"}]),
    ("Darwin", "power_failure", [{"autorestart": "0"}, {"autorestart": "1"}]),
    (
        "Darwin",
        "wired_limit",
        [
            {"iogpu.wired_limit_mb": "0", "daemon": ""},
            {"iogpu.wired_limit_mb": "1024", "daemon": daemon("wired_limit", "/usr/sbin/sysctl", "iogpu.wired_limit_mb=1024")},
            {"iogpu.wired_limit_mb": "1024", "daemon": "damaged"},
        ],
    ),
    (
        "Darwin",
        "open_files",
        [
            {"limit": "256 unlimited", "kern.maxfilesperproc": "9", "kern.maxfiles": "10", "daemon": ""},
            {
                "limit": "65536 122880",
                "kern.maxfilesperproc": "65536",
                "kern.maxfiles": "122880",
                "daemon": daemon("open_files", "/bin/launchctl", "limit", "maxfiles", "65536", "122880"),
            },
        ],
    ),
    (
        "Darwin",
        "processes",
        [
            {"limit": "256 512", "kern.maxprocperuid": "256", "kern.maxproc": "1024", "daemon": ""},
            {
                "limit": "1024 1024",
                "kern.maxprocperuid": "1024",
                "kern.maxproc": "2048",
                "daemon": daemon("processes", "/bin/launchctl", "limit", "maxproc", "1024", "1024"),
            },
        ],
    ),
    ("Darwin", "firewall", [{PYTHON: each} for each in ("", "Allow", "Block")]),
    ("Linux", "open_files", [{"file": text} for text in ("", "* - nofile 9\nroot - nofile 9\n", "* soft nofile 9\nroot soft nofile 9\n")]),
    ("Linux", "processes", [{"file": text} for text in ("", "* - nproc 9\nroot - nproc 9\n", "* soft nproc 9\nroot soft nproc 9\n")]),
    ("Linux", "linger", [{"ada-1.b": "no"}, {"ada-1.b": "yes"}]),
]


@pytest.mark.parametrize(("system", "name", "settings"), SETTINGS)
def test_every_command_of_an_item_is_taken(system: str, name: str, settings: list[dict[str, str]]) -> None:
    for now in settings:
        for wanted in settings:
            for status in (0, 113):  # whether its daemon is loaded
                one = host({f"launchctl print system/mlxlaunch.cluster.{name.replace('_', '-')}": (status, "")})
                steps = work.ITEMS[system][name].steps(one, now, wanted)
                commands = [command for step in steps for command in step.commands]
                assert taken(row(name, *commands))["items"][0]["commands"] == commands
                assert bool(commands) == (now != wanted) or "daemon" in now


def test_every_item_is_tried() -> None:
    assert {(system, name) for system, items in work.ITEMS.items() for name in items} == {(system, name) for system, name, _ in SETTINGS}


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("sleep", []),
        ("sleep", ["reboot"]),
        ("sleep", ["pmset", "a\nb"]),
        ("sleep", ["pmset", "-a", "sleep", "0"]),
        ("sleep", ["pmset", "-c", "sleep", "0", "sleepnow"]),
        ("sleep", ["pmset", "sleepnow"]),
        ("sleep", ["loginctl", "enable-linger", "ada"]),
        ("linger", ["loginctl", "-H", "root@controller", "poweroff"]),
        ("linger", ["loginctl", "enable-linger", "-Hroot@controller"]),
        ("linger", ["loginctl", "enable-linger", "ada", "bob"]),
        ("linger", ["loginctl", "poweroff"]),
        ("firewall", [firewall.PROGRAM, "--setglobalstate", "off"]),
        ("firewall", [firewall.PROGRAM, "--add", "-x"]),
        ("firewall", [firewall.PROGRAM, "--add", "/x", "--setglobalstate", "off"]),
        ("open_files", ["rm", "/etc/passwd"]),
        ("open_files", ["rm", "-rf", LIMITS]),
        ("open_files", ["rm", f"{LIMITS}/../../../passwd"]),
        ("open_files", ["rm", f"{DAEMON}.wired-limit.plist"]),
        ("wired_limit", ["chmod", "4755", "/bin/sh"]),
        ("wired_limit", ["sysctl", "kern.maxfiles=1"]),
        ("wired_limit", ["launchctl", "reboot"]),
        ("wired_limit", ["defaults", "write", f"{DAEMON}.wired-limit.plist", "ProgramArguments", "-array", "/bin/launchctl", "reboot"]),
        ("open_files", ["sh", "-c", "reboot"]),
        ("open_files", ["sh", "-c", f"printf '* soft nofile 1\\nroot soft nofile 1\\n' > {LIMITS}; reboot"]),
        ("open_files", ["sh", "-c", f"printf '* soft nofile $(reboot)\\nroot soft nofile 1\\n' > {LIMITS}"]),
    ],
)
def test_command_of_another_kind_is_refused(name: str, command: list[Any]) -> None:
    with pytest.raises(Misfit):
        taken(row(name, command))


@pytest.mark.parametrize("rows", [["linger"], ["sleep", "sleep"], ["sleep", "other"], [None], [["sleep"]]])
def test_item_that_was_not_asked_for_is_refused(rows: list[Any]) -> None:
    with pytest.raises(Misfit):
        taken(*map(row, rows), asked={"sleep": True})
    assert taken(row("sleep"), asked={"sleep": True, "firewall": True})
    assert taken(asked={})["items"] == []


def test_item_that_is_taken_back_is_there_once() -> None:
    take = ANSWERS["undo_prepare"](trial=True)
    assert take({"system": "Linux", "items": [row("linger")]})
    with pytest.raises(Misfit):
        take({"system": "Linux", "items": [row("linger"), row("linger")]})
