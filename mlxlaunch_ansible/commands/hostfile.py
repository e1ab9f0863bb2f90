# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch hostfile`: print the MLX hostfile of an inventory, of named hosts, or of another hostfile."""

from __future__ import annotations

import argparse
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._core import Hostfile, UsageError, connection_variables, hostfile_from_inventory, resolve_ipv4
from .._inventory import Inventory, Source, resolve_inventory
from .._runner import PasswordWanted, PlaybookRun, private_folder
from .ansible_options import file_name
from .options import add_command, add_hosts, hosts_given, inventory_of
from .terminal.screen import print_for_programs

_HELP = """\
Print the JSON hostfile of mlx.launch, one line per rank, in rank order.

examples:
  mlxlaunch hostfile -i inventory/hosts.yml                    what mlx.launch needs to use the same hosts
  mlxlaunch hostfile -i inventory/hosts.yml -o hosts.json && mlx.launch --hostfile hosts.json train.py
  mlxlaunch hostfile --hosts 10.0.0.7,10.0.0.8 -n 2            two ranks on each of two hosts
  mlxlaunch hostfile --hostfile hosts.json --schema object     the newer schema of an older file

A host is named as ssh reaches it: ansible_user@ansible_host. What else an inventory says about the way there (port, key,
jump host) mlx.launch cannot be told; put it into ~/.ssh/config. A local connection is written as 127.0.0.1.
Addresses are mlx_ips, or ansible_host, or what that resolves to here; mlx_slots ranks of a host follow each other.
Variables of mlx_env are left out, as a hostfile is no place for secrets; those of mlx_hostfile_env go into the newer schema.
The other way round, ansible-playbook -i hosts.json reads a hostfile as inventory.

exit status:
  0 written    2 wrong usage, inventory or hostfile: one line says what, and nothing is written
"""

#: The words that Ansible puts before the reason that a filter gave.
_WRAPPING = re.compile(r".*The filter plugin '[\w.]+' failed: ", re.DOTALL)
_FACT = "mlx_hostfile_text"


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "hostfile",
        help="print the hosts as an mlx.launch hostfile",
        description=_HELP,
        usage="%(prog)s [-i INVENTORY | --hostfile FILE | --hosts A,B [-n N]] [--group NAME] [--schema list|object] [-o FILE]",
    )
    add_hosts(parser)
    group = parser.add_argument_group("what to write")
    group.add_argument("--group", metavar="NAME", help="inventory group whose hosts run the ranks. Default: mlx.")
    group.add_argument(
        "--schema",
        choices=("list", "object"),
        help="list: the bare list that every version of MLX reads; object: with backend and envs. "
        "Default: mlx_hostfile_schema of the inventory, else list.",
    )
    group.add_argument("-o", "--output", metavar="FILE", type=file_name, help="write to this file. Default: standard output.")
    parser.set_defaults(main=main)


def main(parsed: argparse.Namespace) -> int:
    """Write the hostfile and return the exit status."""
    if not hosts_given(parsed):
        raise UsageError("hostfile: which hosts? Give -i INVENTORY, --hosts A,B or --hostfile FILE; see mlxlaunch hostfile --help")
    hosts = inventory_of(parsed)
    if hosts.hostfile and hosts.ansible.limit:
        raise UsageError("hostfile: --limit is for an inventory, not for a hostfile or --hosts")
    if hosts.hostfile and parsed.hostfile is None and parsed.inventory is None:
        hosts = replace(hosts, hostfile=_with_addresses(hosts.hostfile))
    text = hostfile_text(hosts, group=parsed.group, schema=parsed.schema)
    if parsed.output is None:
        print_for_programs(text.removesuffix("\n"))
        return 0
    try:
        Path(parsed.output).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"--output {parsed.output}: cannot be written: {exc.strerror}") from None
    return 0


def hostfile_text(inventory: Inventory, *, group: str | None = None, schema: str | None = None) -> str:
    """Return the text of the hostfile that a launch with this inventory would use.

    Args:
        inventory: as for `run_job`. Of a hostfile, all stays as it is but the schema.
        group: inventory group, `mlx`.
        schema: `list` or `object`; default: that of the inventory, else `list`.

    Raises:
        UsageError: naming the host, or the file, and the mistake.
    """
    source = resolve_inventory(inventory, group or "mlx")
    if source.hostfile is None:
        wanted = {"mlx_group": group, "mlx_hostfile_schema": schema, "mlx_slots": source.slots}
        return _render_with_ansible(source, {name: value for name, value in wanted.items() if value})
    return source.hostfile.render(schema or "list")


def _with_addresses(hostfile: Hostfile) -> Hostfile:
    """Return a hostfile that has only names with the addresses they resolve to."""
    hostvars = {entry.ssh: connection_variables(entry.ssh) for entry in hostfile.entries}
    made = hostfile_from_inventory(list(hostvars), hostvars, resolve_ipv4, ranks=hostfile.data("list"))
    return replace(hostfile, entries=made.entries)


def _render_with_ansible(source: Source, variables: dict[str, Any]) -> str:
    """Return the text that Ansible renders, which evaluates the variables of the hosts as a launch does."""
    folder = private_folder()
    ended = threading.Event()
    run = PlaybookRun("render_hostfile.yml", source, ended.set)
    try:
        run.start(folder, variables)
        ended.wait()
    finally:
        run.cancel()
        run.join()
        shutil.rmtree(folder, ignore_errors=True)
    if _FACT in run.facts:
        return str(run.facts[_FACT])
    failure = run.failure()
    raise failure if isinstance(failure, PasswordWanted) else UsageError(_one_line(str(failure)))


def _one_line(failure: str) -> str:
    """Return the reason in an error text of Ansible, on one line."""
    return " ".join(_WRAPPING.sub("", failure).removeprefix("[ERROR]: ").split())
