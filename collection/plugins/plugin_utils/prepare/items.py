# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The items of a preparation, and the values that they may have. Pure.

Made from `ITEMS`, or checked against it, are flags, variables, options, the columns of the table and docs/prepare.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..job.errors import UsageError, option_name
from ..job.settings import Setting, check_value

AUTO = "auto"
#: Values that leave an item alone; YAML has made False of some of them.
_OFF = ("", "off", "no", "false", "none")
_MOST = 2**31 - 1

Value = bool | int | str


@dataclass(frozen=True)
class Item:
    """Something that a host is to have for jobs.

    Attributes:
        name: as in `Preparation` options; with `mlx_prepare_` before it, the variable.
        head: of its column in the table.
        title: its name for a person.
        default: whether it is on, or "" for off where it has a number.
        doc: one sentence for a person.
        least: the smallest number that makes sense, 0 for an item that is only on or off.
        unit: of that number.
        auto: whether the host may choose the number.
    """

    name: str
    head: str
    title: str
    default: bool | str
    doc: str
    least: int = 0
    unit: str = ""
    auto: bool = False

    @property
    def variable(self) -> str:
        """The name in inventory and playbooks."""
        return f"mlx_prepare_{self.name}"

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def shown(self) -> str:
        """The name in errors."""
        return option_name(self.flag, self.variable)


ITEMS = (
    Item("sleep", "sleep", "sleep", True, "Keep a Mac awake: neither it nor its disks sleep while it has mains power."),
    Item("power_failure", "power", "power failure", True, "Let a Mac start again by itself after a power failure."),
    Item(
        "wired_limit",
        "wired",
        "wired limit",
        "",
        "Memory that the GPU of a Mac may wire, in MB, now and at each start; `auto` leaves the system its part.",
        1024,
        "MB",
        auto=True,
    ),
    Item("open_files", "files", "open files", "", "Files that a process may have open, now and at each start.", 256, "files"),
    Item("processes", "procs", "processes", "", "Processes that a user may have, now and at each start.", 256, "processes"),
    Item(
        "firewall", "firewall", "firewall", True, "Let the Python of the ranks accept connections through a Mac's firewall, if that is on."
    ),
    Item("linger", "linger", "linger", False, "Let the user's systemd manager on Linux, and what it runs, outlive logins."),
)
BY_NAME = {item.name: item for item in ITEMS}
NAMES = tuple(BY_NAME)


def check_item(item: Item, value: Any, where: str) -> Value | None:
    """Return the value of an item that is on, None for one that is off.

    Args:
        item: the item.
        value: as Python, YAML or a command line delivers it; None for the default.
        where: begins the message of the error.

    Raises:
        UsageError: naming the value, and the values that would do.
    """
    value = item.default if value is None else value
    if not item.least:
        return True if check_value(Setting(item.name, "bool", item.default, item.doc), value, where) else None
    if value is False or (isinstance(value, str) and value.strip().lower() in _OFF):
        return None
    if item.auto and isinstance(value, str) and value.strip().lower() == AUTO:
        return AUTO
    return _number(item, value, where)


def _number(item: Item, value: Any, where: str) -> int:
    wanted = f"want {f'{AUTO}, ' if item.auto else ''}off, or a number of {item.unit} from {item.least} to {_MOST}"
    try:
        number = check_value(Setting(item.name, "int", 0, item.doc), value, where)
    except UsageError:
        number = 0
    if not item.least <= number <= _MOST:
        raise UsageError(f"{where}: {value!r}: {wanted}")
    return int(number)


def wishes_of(given: Mapping[str, Any], variables: Mapping[str, Any], host: str) -> dict[str, Value]:
    """Return the items that are on for a host, with their values.

    Args:
        given: for all hosts, by the name of an item; None and missing ones leave it to the variables.
        variables: those of the host.
        host: its inventory name.

    Raises:
        UsageError: naming the flag, or host and variable.
    """
    found = {}
    for item in ITEMS:
        if given.get(item.name) is not None:
            value = check_item(item, given[item.name], item.shown)
        else:
            value = check_item(item, variables.get(item.variable), f"{host}: {item.variable}")
        if value is not None:
            found[item.name] = value
    return found
