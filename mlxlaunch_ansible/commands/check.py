# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch check`: a table of the state of every host, for a job."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from .._core import Describer, Row, UsageError, json_text, render, wants_colour
from .._inventory import Inventory
from .._job import Running
from .._request import CHECK, JobRequest, Surroundings
from .._result import Event
from .._session import Session
from .._settings import as_given
from .options import add_command, add_hosts, add_settings, inventory_of, settings_of
from .terminal.screen import events_with_patience, print_for_programs, say, say_described
from .terminal.signals import signals_end

_HELP = """\
Ask every host whether it is ready for a job, and show one table, a row a host. Nothing is changed.

examples:
  mlxlaunch check -i inventory/hosts.yml                can ranks run there?
  mlxlaunch check -i inventory/hosts.yml train.py       and do they have this script, this project, this environment?
  mlxlaunch check --hostfile hosts.json --json | jq .hosts

columns: ssh, its host key, the ranks' python, environment and project (by digest), MLX and whether mlx.core can be
  imported, the system, own addresses and free ports (addr), neighbours in the ring that answer on them (ring), mpirun,
  clock offset, free disk and memory, and what earlier jobs have left. Limits, sleep, restart, the GPU's wired memory,
  firewall, RDMA, stray variables, logout and other software have a line below where something is not well.

exit status:
  0 every host is ready (warnings, marked ?, do not count)    2 wrong usage, inventory or hostfile
  3 something is wrong, marked !; below the table stands what to do    130 interrupted    143 terminated
"""
SETTINGS: tuple[str, ...] = ("group", "backend", "env", "cwd", "python", "starting_port", "connections_per_ip", "nccl_port")
SETTINGS += (
    "mpirun",
    "connect_timeout",
    "lease",
    "sync",
    "project_dir",
    "exclude",
    "environment",
    "lock_extra",
    "lock_group",
    "root",
    "trust_owner",
)
SETTINGS += ("keep", "verbose")


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "check",
        help="show whether every host is ready for a job, and what to do where it is not",
        description=_HELP,
        usage="%(prog)s [-i INVENTORY | --hostfile FILE | --hosts A,B | -n N] [options] [SCRIPT]",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document in place of the table")
    parser.add_argument("script", nargs="?", default="", help="script that a job would run")
    add_hosts(parser)
    add_settings(parser, SETTINGS)
    parser.set_defaults(main=main)


def main(parsed: argparse.Namespace) -> int:
    """Run the check and return its exit status."""
    if parsed.tail:
        raise UsageError("a check runs nothing; want nothing after --")
    with start_check(inventory_of(parsed), {**settings_of(parsed), "script": parsed.script}) as check, signals_end(check):
        return show(check, as_json=parsed.json, verbose=bool(parsed.verbose))


class Check(Running):
    """A check that was started."""

    def wait(self, timeout: float | None = None) -> tuple[int, str]:
        """Wait for the end; return the exit status and its reason. Raises as `Job.wait`."""
        self._session.wait(timeout)
        early = self._session.cancelled_early
        if early:
            return early.returncode, early.message
        details = self._session.last_event().details
        return int(details["returncode"]), str(details["message"])


def start_check(inventory: Inventory, settings: Mapping[str, Any]) -> Check:
    """Start a check; settings are those of `start_job`, and its script."""
    request = JobRequest.of(inventory, as_given(settings), Surroundings.here(), playbook=CHECK)
    return Check(Session(request).start())


def show(check: Check, *, as_json: bool, verbose: bool) -> int:
    """Show the check until its end, its table or document on standard output; return the exit status."""
    describe = Describer(wants_colour(2), verbose)
    for event in events_with_patience(check, say):
        if event.event == "check_finished":
            _print_findings(event, as_json=as_json)
        elif text := describe(event):
            say_described(text)
    returncode, message = check.wait()
    say(f"mlxlaunch: {message}")
    return returncode


def _print_findings(event: Event, *, as_json: bool) -> None:
    rows = event.details["checks"]
    if as_json:
        print_for_programs(json_text(document(event), 2))
    elif rows:
        print_for_programs(render([Row.from_json(row) for row in rows], _width(), colour=wants_colour(1)))


def document(event: Event) -> dict[str, Any]:
    """Return the document that `--json` prints: the outcome, and by host its cells and facts."""
    details = event.details
    hosts = [{**row, "facts": details["facts"].get(row["host"], {})} for row in details["checks"]]
    outcome = {name: details[name] for name in ("returncode", "cause", "message", "duration")}
    return {"check": event.job, "time": event.time, **outcome, "hosts": hosts}


def _width() -> int | None:
    try:
        return os.get_terminal_size(1).columns or None
    except OSError:
        return None
