# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that commands share: hosts and settings, from their flags to the arguments of the API."""

from __future__ import annotations

import argparse
import os
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .._core import BY_NAME, LOCALHOST, RUN_SETTINGS, Setting, UsageError, hostfile_from_names, parse_env
from .._inventory import Inventory, Source, read_hostfile, resolve_inventory
from .._settings import as_given
from .ansible_options import add_ansible, ansible_of, file_name
from .terminal.screen import say

Aliases = Mapping[str, Sequence[str]]  # other names of options, by their own
_NONE: Aliases = MappingProxyType({})
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\})")
_HOST_OPTIONS = ("inventory", "hostfile", "hosts", "repeat_hosts")


def add_command(commands: Any, name: str, *, help: str, description: str, usage: str) -> argparse.ArgumentParser:
    """Add a command's parser and return it.

    Args:
        commands: the subparsers.
        name: of the command.
        help: its line in the list of commands.
        description: its own help, as it is printed.
        usage: the first lines of that.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, usage=usage
    )
    return parser


def add_hosts(parser: argparse.ArgumentParser, also: Aliases = _NONE) -> None:
    """Add the flags that say which hosts take part, and how Ansible reaches them."""
    hosts = parser.add_argument_group("where to run")
    hosts.add_argument(
        *("-i", "--inventory", "--inventory-file"),
        dest="inventory",
        metavar="INVENTORY",
        action="append",
        type=file_name,
        help="Ansible inventory, a file, directory or program, whose group mlx, or --group, has the hosts; or hosts with a comma: A,B. "
        "Repeatable.",
    )
    hosts.add_argument(
        *("--hostfile", *also.get("--hostfile", ())),
        metavar="FILE",
        type=file_name,
        help="MLX hostfile (JSON), either schema; rank is position",
    )
    hosts.add_argument("--hosts", *also.get("--hosts", ()), metavar="A,B", help="names or addresses to ssh to, separated by commas")
    repeat = also.get("--repeat-hosts", ())
    hosts.add_argument("-n", "--repeat-hosts", *repeat, metavar="N", type=int, help="ranks per host; without any hosts, on this machine")
    add_ansible(parser)


def add_settings(parser: argparse.ArgumentParser, names: Collection[str] = BY_NAME, also: Aliases = _NONE) -> None:
    """Add the flags of settings.

    Args:
        parser: of the command.
        names: of the settings.
        also: other names of flags.
    """
    group = parser.add_argument_group("settings")
    for setting in RUN_SETTINGS:
        if setting.flags and setting.name in names:
            others = [other for flag in setting.flags for other in also.get(flag, ())]
            group.add_argument(*setting.flags, *others, dest=setting.name, help=_help(setting), **_argument(setting))


def _argument(setting: Setting) -> dict[str, Any]:
    if setting.type == "bool":
        return {"action": "store_false" if setting.default else "store_true", "default": None}
    if setting.type in ("dict", "list"):
        return {"action": "append", "metavar": setting.metavar}
    return {"metavar": setting.metavar}


def _help(setting: Setting) -> str:
    repeat = " Repeatable." if setting.type in ("dict", "list") else ""
    off = f"Do not {setting.sentences[0].lower()}{setting.sentences[1:]}"
    return ((off if _turns_off(setting) else setting.sentences) + repeat).replace("%", "%%")


def _turns_off(setting: Setting) -> bool:
    return setting.type == "bool" and bool(setting.default)


def settings_of(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as flags, for the API."""
    given = {setting.name: getattr(parsed, setting.name, None) for setting in RUN_SETTINGS if setting.flags}
    if given["env"]:
        given["env"] = parse_env(given["env"])
    return as_given(given)


def unexpanded(env: Sequence[str] | None) -> list[str]:
    """Return notes on values of --env that name a variable, as a shell would have expanded it."""
    notes = []
    for item in env or ():
        name, _equals, value = item.partition("=")
        if found := _VARIABLE.search(value):
            notes.append(f"--env {name}: {found[0]} is given to the ranks as it is; in double quotes, the shell here would expand it")
    return notes


def hosts_given(parsed: argparse.Namespace) -> list[str]:
    """Return the names of the flags that were given of those that say which hosts take part."""
    return [name for name in _HOST_OPTIONS if getattr(parsed, name) is not None]


def inventory_of(parsed: argparse.Namespace) -> Source:
    """Return the hosts that were given as flags, for the API; without any, this machine."""
    given = [name for name in ("inventory", "hostfile", "hosts") if getattr(parsed, name) is not None]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]}: hosts can come from one of them only")
    if parsed.repeat_hosts is not None and parsed.repeat_hosts < 1:
        raise UsageError(f"--repeat-hosts {parsed.repeat_hosts}: want 1 or more")
    _warn_of_ignored_configuration()
    ansible = ansible_of(parsed)
    group = getattr(parsed, "group", None) or str(ansible.variables.get("mlx_group") or "mlx")
    source = resolve_inventory(_hosts(parsed), group)
    if parsed.repeat_hosts is not None and source.hostfile and given not in ([], ["hosts"]):
        raise UsageError("--repeat-hosts: the hostfile has an entry for each rank; repeat its entries")
    slots = 0 if source.hostfile else parsed.repeat_hosts or 0
    if slots and "mlx_slots" in ansible.variables:  # a flag is stronger
        ansible = replace(ansible, extra_vars=(*ansible.extra_vars, f"mlx_slots={slots}"))
    return replace(source, ansible=ansible, slots=slots)


def _warn_of_ignored_configuration() -> None:
    """Tell of an ansible.cfg that Ansible ignores, as anybody may write to its directory."""
    with suppress(OSError):
        if "ANSIBLE_CONFIG" not in os.environ and Path("ansible.cfg").is_file() and Path().stat().st_mode & stat.S_IWOTH:
            say("mlxlaunch: warning: ansible.cfg is ignored, as anybody may write to this directory; chmod o-w . or set ANSIBLE_CONFIG")


def _hosts(parsed: argparse.Namespace) -> Inventory:
    if parsed.inventory is not None:
        # As paths, since a name in a list could be a host's; with a comma, it is a list of hosts.
        return [word if "," in word else Path(word) for word in parsed.inventory]
    if parsed.hostfile is not None:
        return read_hostfile(parsed.hostfile)
    names = parsed.hosts if parsed.hosts is not None else LOCALHOST
    return hostfile_from_names(names.split(","), parsed.repeat_hosts or 1)
