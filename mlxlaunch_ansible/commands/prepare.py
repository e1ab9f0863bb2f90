# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch prepare`: hosts that are fit to run jobs without anybody beside them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.outcome import can_be_mended
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.items import ITEMS
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import OPTIONS

from .._core import UsageError, json_text
from .._inventory import Source
from .._prepare.preparation import PrepareResult, start_prepare
from .options import add_command, add_hosts, add_settings, hosts_given, inventory_of, settings_of
from .terminal.first_contact import HOST_KEY_HELP, has_password, host_keys_of, meet_hosts
from .terminal.screen import print_for_programs, say, show_progress
from .terminal.signals import signals_end

_HELP = """\
Ask every host whether it is fit to run jobs without anybody beside it, and show one table, a row a host. Nothing on the
hosts is changed, but with --apply and --undo.

examples:
  mlxlaunch prepare -i inventory/hosts.yml                       what is to be changed
  mlxlaunch prepare -i inventory/hosts.yml --apply               change it, as root
  mlxlaunch prepare -i inventory/hosts.yml --apply -K            the same, where sudo wants a password
  mlxlaunch prepare -i inventory/hosts.yml --wired-limit auto --apply
  mlxlaunch prepare -i inventory/hosts.yml --apply -k            also install your key, with a password
  mlxlaunch prepare -i inventory/hosts.yml --undo                back to the settings before

cells: ok, to set, set, n/a (of another system), by hand (nobody can be root there), fail, - (off)

exit status:
  0 all is as it is to be, or will be with --apply    2 wrong usage, inventory or hostfile
  3 a host cannot be asked or prepared    130 interrupted    143 terminated
"""
_NOT_READY = 3
SETTINGS = ("group", "python", "connect_timeout", "lease", "verbose")


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "prepare",
        help="show whether hosts are fit to run jobs unattended, and make them so",
        description=_HELP,
        usage="%(prog)s [-i INVENTORY | --hostfile FILE | --hosts A,B] [options]",
    )
    add_hosts(parser)
    _add_items(parser)
    _add_work(parser)
    add_settings(parser, SETTINGS)
    parser.set_defaults(main=main)


def _add_items(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what hosts are to have (default: what mlx_prepare_* of each host says)")
    for item in ITEMS:
        if item.least:
            many = f"{'auto, ' if item.auto else ''}off, or a number"
            group.add_argument(item.flag, dest=item.name, metavar="N", help=f"{item.doc} N is {many}. Default: off.")
        else:
            text = f"{item.doc} Default: {'on' if item.default else 'off'}."
            group.add_argument(item.flag, dest=item.name, action=argparse.BooleanOptionalAction, default=None, help=text)


def _add_work(parser: argparse.ArgumentParser) -> None:
    work = parser.add_argument_group("what to do on the hosts")
    work.add_argument("--apply", action="store_true", default=None, help="change what is not as it is to be")
    text = "go back to the settings before, also after an --apply that broke off"
    work.add_argument("--undo", dest="state", action="store_const", const="absent", help=text)
    work.add_argument("--dry-run", action="store_true", help="with --apply or --undo: change nothing, tell what would change")
    contact = parser.add_argument_group("first contact, with --apply and where ssh does not reach a host")
    text = "ask about keys of new hosts, install your key with a password, and Apple's command line tools. Default: on."
    contact.add_argument("--contact", action=argparse.BooleanOptionalAction, default=True, help=text)
    contact.add_argument("--host-key", metavar="NAME=KEY", action="append", help=HOST_KEY_HELP)
    work.add_argument("--json", action="store_true", help="print one JSON document in place of the table")


def main(parsed: argparse.Namespace) -> int:
    """Look at the hosts, or change them, and return the exit status."""
    _check_words(parsed)
    source, keys = inventory_of(parsed), host_keys_of(parsed.host_key)
    options = {**settings_of(parsed), **{name: getattr(parsed, name) for name in OPTIONS}}
    result = _prepare(source, options, parsed)
    if result.prepare is None:  # interrupted
        return show(result, as_json=parsed.json)
    if parsed.apply and not (parsed.state or parsed.dry_run) and parsed.contact and (has_password(source) or _wants_contact(result)):
        contact = meet_hosts(source, {name: options[name] for name in SETTINGS if options.get(name) is not None}, keys, apply=True)
        if contact.returncode:
            say(f"mlxlaunch: {contact.message}")
        if contact.returncode not in (0, _NOT_READY):
            return contact.returncode
        result = _prepare(source, options, parsed)
    return show(result, as_json=parsed.json)


def _check_words(parsed: argparse.Namespace) -> None:
    if parsed.repeat_hosts is not None:
        raise UsageError("prepare: --repeat-hosts is about ranks; a preparation is of hosts")
    if not hosts_given(parsed):
        raise UsageError("prepare: which hosts? Give -i, --hosts or --hostfile; see mlxlaunch prepare --help")


def _prepare(source: Source, options: Mapping[str, Any], parsed: argparse.Namespace) -> PrepareResult:
    with start_prepare(source, options, dry_run=parsed.dry_run) as preparation, signals_end(preparation):
        show_progress(preparation, "prepare_finished", verbose=bool(parsed.verbose))
        return preparation.wait()


def _wants_contact(result: PrepareResult) -> bool:
    return result.prepare is not None and any(can_be_mended(host["failure"]) for host in result.prepare["hosts"])


def show(result: PrepareResult, *, as_json: bool) -> int:
    """Print the result on standard output, its message on standard error; return the exit status."""
    if result.prepare is not None and as_json:
        print_for_programs(json_text(result.prepare, 2))
    elif result.text:
        print_for_programs(result.text)
    say(f"mlxlaunch: {result.message}")
    return result.returncode
