# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of answers about a preparation; see `answers`. Pure.

Commands are shown to a person who may run them as root. So each item has the forms that its own commands have, and a
host answers for the items that it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ....module_utils.shared.shapes import Misfit, Shape, command, list_of, matching, one_of, record, text

_FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
_WORD = matching(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,4096}")
_MOST = 64  # items, commands of an item, and words of a command
STATES = ("right", "changed", "would change", "not here", "failed", "by hand")
_NUMBER = r"(\d{1,19}|unlimited)"


def _daemon(name: str, program: str) -> str:
    """Return the pattern of the commands that make, load and remove a daemon of ours.

    Args:
        name: of the daemon.
        program: pattern of what it runs.
    """
    label = rf"mlxlaunch\.cluster\.{name}"
    path = rf"/Library/LaunchDaemons/{label}\.plist"
    values = rf"Label\n{label}|RunAtLoad\n-bool\ntrue|ProgramArguments\n-array(\n{program})?"
    loaded = rf"launchctl\n(bootout\nsystem/{label}|bootstrap\nsystem\n{path})"
    return rf"rm\n{path}|chmod\n644\n{path}|defaults\nwrite\n{path}\n({values})|{loaded}"


def _limit(name: str, session: str, variables: str) -> str:
    """Return the pattern of the commands that set a limit, by launchctl on a Mac, and by a file of ours on Linux."""
    limit, path = rf"limit\n{name}\n{_NUMBER}\n{_NUMBER}", rf"/etc/security/limits\.d/90-mlxlaunch-{session}\.conf"
    # The only text that a shell is given: it tries a limit, and writes the file.
    lines = rf"((\*|root) (-|soft) {session} \d{{1,10}}\\n){{2}}"
    script = rf"sh\n-c\n(prlimit --{session}=\d{{1,10}} true && )?printf '{lines}' > {path}"
    daemon = _daemon({"maxfiles": "open-files", "maxproc": "processes"}[name], rf"/bin/launchctl\n{limit}")
    return rf"{daemon}|launchctl\n{limit}|sysctl\n({variables})=\d{{1,19}}|{script}|rm\n{path}"


_WIRED = r"sysctl\niogpu\.wired_limit_mb=\d{1,19}"
#: By item: the pattern of its commands, a word a line. No word has the end of a line in it.
_COMMANDS = {
    "sleep": r"pmset\n-c(\n(sleep|disksleep|standby|autopoweroff)\n\d{1,10})+",
    "power_failure": r"pmset\n-c\nautorestart\n\d{1,10}",
    "wired_limit": f"{_daemon('wired-limit', f'/usr/sbin/{_WIRED}')}|{_WIRED}",
    "open_files": _limit("maxfiles", "nofile", r"kern\.maxfiles(perproc)?"),
    "processes": _limit("maxproc", "nproc", r"kern\.maxproc(peruid)?"),
    "firewall": rf"{_FIREWALL}\n--(add|remove|unblockapp|blockapp)\n/.*",
    "linger": r"loginctl\n(enable|disable)-linger\n(?!-).*",
}
ITEMS = tuple(_COMMANDS)


def _row(name: str) -> Shape:
    return record(
        {
            "name": one_of(name),
            "state": one_of(*STATES),
            **dict.fromkeys(("before", "after", "text"), text(4096)),
            "commands": list_of(command(_WORD, _COMMANDS[name], _MOST), _MOST),
        }
    )


_ROWS = {name: _row(name) for name in ITEMS}


def _rows(asked: Collection[str]) -> Shape:
    """Return the shape of the rows of items that were asked for, each at most once."""

    def row(value: Any) -> Any:
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str) or name not in asked:
            raise Misfit("name")
        return _ROWS[name](value)

    rows = list_of(row, _MOST)

    def shape(value: Any) -> Any:
        found = rows(value)
        if len({each["name"] for each in found}) < len(found):
            raise Misfit
        return found

    return shape


def _answer(asked: Collection[str]) -> Shape:
    return record({"system": one_of("Darwin", "Linux"), "items": _rows(asked)})


#: By call: a function that is given its arguments, and returns the shape of its answer.
ANSWERS: Mapping[str, Callable[..., Shape]] = {
    "prepare": lambda wishes, **_asked: _answer(wishes),
    "undo_prepare": lambda **_asked: _answer(ITEMS),
}
