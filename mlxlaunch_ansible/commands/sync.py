# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch sync`: deploy script and environment, and print where they are."""

from __future__ import annotations

import argparse
from typing import Any

from .._core import Describer, TerminalSink, wants_colour
from .._settings import DeploySettings
from .._sync import Deployment, start_sync
from .options import add_command, add_hosts, add_settings, inventory_of, settings_of
from .terminal.screen import events_with_patience, print_for_programs, say
from .terminal.signals import signals_end

_HELP = """\
Bring a script, or the directory around it, and a Python environment to all hosts, without launching anything.
`mlxlaunch run` does the same before it launches.

examples:
  mlxlaunch sync -i inventory/hosts.yml train.py
  mlxlaunch sync -i inventory/hosts.yml --project-dir llm --environment llm/uv.lock
  mlxlaunch sync -i inventory/hosts.yml --environment requirements.lock --wheelhouse wheels

exit status:
  0 all hosts have everything    2 wrong usage, inventory or lock    3 a host is unreachable or could not take it
  130 interrupted    143 terminated
"""


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "sync",
        help="bring script and environment to the hosts",
        description=_HELP,
        usage="%(prog)s [-i INVENTORY | --hostfile FILE | --hosts A,B] [options] [SCRIPT]",
    )
    add_hosts(parser)
    add_settings(parser, DeploySettings.__annotations__)
    parser.add_argument("script", nargs="?", default="", help="script")
    parser.set_defaults(main=main)


def main(parsed: argparse.Namespace) -> int:
    """Run the deploy and return its exit status."""
    with start_sync(inventory_of(parsed), {**settings_of(parsed), "script": parsed.script}) as deployment, signals_end(deployment):
        return show(deployment, verbose=bool(parsed.verbose))


def show(deployment: Deployment, *, verbose: bool) -> int:
    """Show events on standard error, and at the end paths on standard output; return the exit status."""
    sink = TerminalSink((1, 2), Describer(wants_colour(2), verbose), None, lambda: None)
    for event in events_with_patience(deployment, say, sink):
        sink.event(event)
    sink.close()
    result = deployment.wait()
    if result.returncode == 0:
        for name in ("python", "script", "project"):
            if getattr(result, name):
                print_for_programs(f"{name} {getattr(result, name)}")
    return result.returncode
