# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch init`: from the names of some machines to an inventory that works."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._contact.contact import ContactResult
from .._contact.inventory_file import check_free, host_of, inventory_text, write_new
from .._core import Hostfile, UsageError, check_host_name, group_variables, host_variables
from .._inventory import AnsibleOptions, Source, read_hostfile
from .ansible_options import ask as ask_password
from .ansible_options import file_name
from .check import show as show_check
from .check import start_check
from .options import add_command
from .terminal.first_contact import HOST_KEY_HELP, host_keys_of, meet_hosts
from .terminal.questions import ask, person
from .terminal.screen import say
from .terminal.signals import signals_end

_HELP = """\
Make an inventory: try ssh to all hosts at the same time, see to what is missing for it, write the file, and check the
hosts. On a terminal it asks: for the hosts when none are named, whether the keys of new hosts are theirs, and once for a
password where your key is not known yet.

examples:
  mlxlaunch init                                 asks for the hosts
  mlxlaunch init mac-1.local mac-2.local         rank 0 is on the first
  mlxlaunch init me@10.0.0.1 me@10.0.0.2:2222    another user, another port
  mlxlaunch init --hostfile hosts.json -o lab.yml
  mlxlaunch init mac-1 --host-key mac-1=SHA256:HlQf...    nobody is asked about this key

exit status:
  0 every host is ready    2 wrong usage, the file is there already, or nobody could say whether a host's key is right
  3 a host cannot be reached, and nothing was written; or the check found something, and the file is written
  130 interrupted    143 terminated
"""
_DEFAULT = "inventory.yml"
_SSH_OPTIONS = {"user": "ansible_user", "private_key": "ansible_ssh_private_key_file", "ssh_common_args": "ansible_ssh_common_args"}


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "init",
        help="make an inventory of some machines, and see that ssh reaches them",
        description=_HELP,
        usage="%(prog)s [HOST ...] [--hostfile FILE] [-o FILE] [options]",
    )
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="name or address, as for ssh: NAME, USER@NAME or NAME:PORT")
    parser.add_argument("--hostfile", metavar="FILE", type=file_name, help="MLX hostfile (JSON), either schema, in place of names")
    output = f"file to write, never over another. Default: {_DEFAULT}."
    parser.add_argument("-o", "--output", metavar="FILE", type=file_name, default=_DEFAULT, help=output)
    parser.add_argument("--host-key", metavar="NAME=KEY", action="append", help=HOST_KEY_HELP)
    ssh = parser.add_argument_group("ssh, as ansible-playbook")
    ssh.add_argument("-u", "--user", default="", metavar="USER", help="user who logs in on the hosts")
    ssh.add_argument("--private-key", "--key-file", default="", metavar="FILE", help="private key for ssh")
    ssh.add_argument("--ssh-common-args", default="", metavar="ARGS", help="arguments for ssh, such as -J and a jump host")
    ssh.add_argument("-k", "--ask-pass", action="store_true", help="ask for the password for ssh now")
    parser.add_argument("--connect-timeout", metavar="SECONDS", help="seconds a host may take until it answers. Default: 30.")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell more")
    parser.set_defaults(main=main)


@dataclass(frozen=True)
class _Machines:
    """The machines of an inventory: variables of each, rank 0 first, and those of all."""

    hosts: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, Any]


def main(parsed: argparse.Namespace) -> int:
    """Make the inventory and return the exit status."""
    check_free(parsed.output)
    keys = host_keys_of(parsed.host_key)
    machines = _machines(parsed)
    if unknown := [name for name in keys if name not in machines.hosts]:
        raise UsageError(f"--host-key {unknown[0]}: no such host here; the hosts are {', '.join(machines.hosts)}")
    settings = {"connect_timeout": parsed.connect_timeout, "verbose": parsed.verbose or None}
    given = {name: value for name, value in settings.items() if value is not None}
    result = meet_hosts(_source(machines, parsed), given, keys, apply=True)
    if result.returncode:
        say(f"mlxlaunch: {result.message}")
        say(f"mlxlaunch: {parsed.output} was not written")
        return result.returncode
    write_new(parsed.output, inventory_text(machines.hosts, machines.variables, copy=_needs_copy(result)))
    say(f"mlxlaunch: wrote {parsed.output}")
    return _check(parsed.output, given)


def _machines(parsed: argparse.Namespace) -> _Machines:
    if parsed.hosts and parsed.hostfile is not None:
        raise UsageError("init: hosts can come from their names or from --hostfile, not from both")
    own = {variable: getattr(parsed, name) for name, variable in _SSH_OPTIONS.items() if getattr(parsed, name)}
    if parsed.hostfile is not None:
        return _of_hostfile(read_hostfile(parsed.hostfile), own)
    words = parsed.hosts or _ask_for_hosts()
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        name, variables = host_of(check_host_name(word, "init"))
        if name in found:
            raise UsageError(f"init: {name} is named twice; for several ranks on a host, set mlx_slots in the file")
        found[name] = variables
    return _Machines(found, own)


def _of_hostfile(hostfile: Hostfile, own: Mapping[str, Any]) -> _Machines:
    hosts = {}
    for ssh, variables in host_variables(hostfile).items():
        name, short = host_of(ssh)
        hosts[name if name not in hosts else ssh] = {**{key: value for key, value in variables.items() if key.startswith("mlx_")}, **short}
    return _Machines(hosts, {**group_variables(hostfile), **own})


def _ask_for_hosts() -> list[str]:
    if person() is None:
        raise UsageError(
            "init: which hosts? Name them (mlxlaunch init mac-1.local mac-2.local), or give --hostfile; nobody can be asked here"
        )
    words = ask("Machines, separated by spaces, rank 0 first (names or addresses, as for ssh): ").replace(",", " ").split()
    if not words:
        raise UsageError("init: no host was named")
    return words


def _source(machines: _Machines, parsed: argparse.Namespace) -> Source:
    passwords = (("connection", ask_password("SSH password: ", "--ask-pass", "a terminal")),) if parsed.ask_pass else ()
    # What reaches hosts, and not what is for ranks: a text of a hostfile is no template.
    data = {"hosts": {name: _reach(own) for name, own in machines.hosts.items()}, "vars": _reach(machines.variables)}
    return Source(data={"mlx": data}, ansible=AnsibleOptions(passwords=passwords))


def _reach(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if name.startswith("ansible_")}


def _needs_copy(result: ContactResult) -> bool:
    """Return whether a host lacks the Python that launches."""
    return any(host["facts"] and not host["facts"]["ranks_python"] for host in result.hosts)


def _check(path: str, settings: Mapping[str, Any]) -> int:
    with start_check([Path(path)], settings) as check, signals_end(check):
        returncode = show_check(check, as_json=False, verbose=bool(settings.get("verbose")))
    words = shlex.join(["-i", path])
    say(f"mlxlaunch: next: {f'mlxlaunch check {words}, when that is mended' if returncode else f'mlxlaunch run {words} SCRIPT'}")
    return returncode
