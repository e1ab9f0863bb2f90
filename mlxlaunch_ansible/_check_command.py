# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch check`: a table of what every host has, or lacks, for a job."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from ._core import WIDTH, Describer, Row, render, wants_colour
from ._job import Job
from ._result import Event

_HELP = """\
Ask every host whether it is ready for a job, and show one table, a row a host. Nothing is changed.

examples:
  mlxlaunch check -i inventory/hosts.yml                can ranks run there?
  mlxlaunch check -i inventory/hosts.yml train.py       and do they have this script, this project, this environment?
  mlxlaunch check --hostfile hosts.json --json | jq .hosts

columns: ssh, its host key, the ranks' python, environment and project (by digest), MLX and whether mlx.core can be
  imported, the system, own addresses and free ports (addr), neighbours in the ring that answer on them (ring), mpirun,
  clock offset, free disk and memory, and what earlier jobs have left.

exit status:
  0 every host is ready (warnings, marked ?, do not count)    2 wrong usage, inventory or hostfile
  3 something is wrong, marked !; below the table stands what to do    130 interrupted    143 terminated
"""
SETTINGS: tuple[str, ...] = ("group", "backend", "env", "cwd", "python", "starting_port", "connections_per_ip", "nccl_port")
SETTINGS += ("mpirun", "connect_timeout", "lease", "sync", "project_dir", "exclude", "environment", "root", "verbose")
_PATIENCE = 2.0  # seconds without any news after which a person is told what is being waited for


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Return the command's parser, which still wants hosts and settings."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="show whether every host is ready for a job, and what to do where it is not",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="%(prog)s [-i INVENTORY | --hostfile FILE | --hosts A,B | -n N] [options] [SCRIPT]",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document in place of the table")
    parser.add_argument("script", nargs="?", default="", help="script that a job would run")
    return parser


class Screen:
    """Show a check: its table, or document, on standard output, and what it waits for on standard error.

    Args:
        job: the check.
        as_json: print a document for programs.
        verbose: tell more.

    Attributes:
        stopping: whether it is being ended.
    """

    def __init__(self, job: Job, *, as_json: bool, verbose: bool) -> None:
        self._job = job
        self._as_json = as_json
        self._describe = Describer(wants_colour(2), verbose)
        self.stopping = False

    def show(self) -> int:
        """Show everything until the end; return the exit status."""
        finished = None
        for event in self._events():
            if event.event == "check_finished":
                finished = event
            elif text := self._describe(event.to_json()):
                _say(text)
        if finished is None:
            result = self._job.wait()  # raises what is wrong, unless it was ended before anybody was asked
            _say(f"mlxlaunch: {result.message}")
            return result.returncode
        return self._finish(finished)

    def _events(self) -> Iterator[Event]:
        told = False
        started = time.monotonic()
        while True:
            try:
                event = self._job.next_event(None if told else max(0.0, started + _PATIENCE - time.monotonic()))
            except TimeoutError:
                _say("mlxlaunch: waiting for Ansible to read the inventory")
                told = True
                continue
            if event is None:
                return
            told = True
            yield event

    def _finish(self, event: Event) -> int:
        told = event.details
        try:
            if self._as_json:
                print(json.dumps(document(event), indent=2, ensure_ascii=False))
            elif told["checks"]:
                rows = [Row.from_json(row) for row in told["checks"]]
                print(render(rows, _width(), colour=wants_colour(1)))
            sys.stdout.flush()
        except BrokenPipeError:  # `mlxlaunch check | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _say(f"mlxlaunch: {told['message']}")
        return int(told["returncode"])


def document(event: Event) -> dict[str, Any]:
    """Return what `--json` prints: outcome, and by host its cells and all that was found."""
    told = event.details
    hosts = [{**row, "facts": told["facts"].get(row["host"], {})} for row in told["checks"]]
    outcome = {name: told[name] for name in ("returncode", "cause", "message", "duration")}
    return {"check": event.job, "time": event.time, **outcome, "hosts": hosts}


def _width() -> int:
    try:
        return os.get_terminal_size(1).columns or WIDTH
    except OSError:
        return WIDTH


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
