# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch run`: launch a job and show it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from .._core import RUN_SETTINGS, UsageError
from .._inventory import variables_of
from .._job import Job
from .._request import WHAT_RUNS, Surroundings
from .._start import launch
from . import ansible_options, dry_run, mlx_launch_compat, rerun
from .ansible_options import ansible_of, file_name
from .options import add_command, add_hosts, add_settings, hosts_given, inventory_of, settings_of, unexpanded
from .terminal.keyboard import Keyboard, has_something
from .terminal.screen import JobScreen, print_for_programs, say
from .terminal.signals import signals_end

_HELP = """\
Start one rank per host (or several), show their output live, and end all of them when one fails.

examples:
  mlxlaunch run -n 2 train.py                         two ranks on this machine
  mlxlaunch run -i inventory/hosts.yml train.py --lr 1e-3
  mlxlaunch run -i mac-1,mac-2 -u ada -n 2 train.py           two ranks on each of two hosts, as ada
  mlxlaunch run --hosts 10.0.0.7,10.0.0.8 train.py
  mlxlaunch run --hostfile hosts.json -- ./program --flag
  mlxlaunch run -i inventory/hosts.yml --project-dir . --environment uv.lock train.py
  mlxlaunch run -i inventory/hosts.yml --dry-run train.py     who would run where, with which environment
  mlxlaunch run --from-run 20260131-142501-9c41f0

Options of mlxlaunch come before the script; all that follows it belongs to the script.
A script that is here is brought to the hosts first, alone or with the directory around it (--project-dir), and so is
a Python environment (--environment); without one, Python is expected at the same path on every host.

What is typed, or comes from a pipe or file, is read by all ranks, or by one (--stdin RANK), which may have a terminal of its
own (--tty). All keys go there then, Ctrl-C too; Ctrl-\\ ends the job, and Ctrl-C once more kills it.

exit status:
  0 all ranks returned 0; else that of the first rank to fail (128+n for signal n)
  2 wrong usage, inventory or hostfile    3 a host is unreachable or not ready
  124 time limit    130 interrupted    143 terminated
"""
_FLAGS = {flag for setting in RUN_SETTINGS for flag in setting.flags} | {"--inventory", "--hostfile", "--hosts", "--repeat-hosts"}
_FLAGS |= {"--from-run", "--dry-run", "--json", "--print-python", "--help"} | ansible_options.FLAGS
# The settings that may go with --from-run.
_WITH_FROM_RUN = {"env", "index_url", "log_dir", "keep_runs", "prefix", "verbose", "stdin", "tty"}


def add_parser(commands: Any, words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Add the command to the command line, and return its parser.

    Among the words are options abbreviated as mlx.launch allows it.
    """
    parser = add_command(
        commands,
        "run",
        help="run a script or a command on every rank",
        description=_HELP,
        usage="%(prog)s [-i INVENTORY | --hostfile FILE | --hosts A,B | -n N] [options] SCRIPT [ARGS...]\n"
        "       %(prog)s [...] [options] -- COMMAND [ARGS...]",
    )
    also = mlx_launch_compat.abbreviations(words, _FLAGS)
    add_hosts(parser, also)
    add_settings(parser, also=also)
    parser.add_argument("--from-run", metavar="JOB", type=file_name, help="run again what this job ran: its id, or its run directory")
    parser.add_argument("--dry-run", action="store_true", help="ask no host and run nothing; print what would be done")
    parser.add_argument("--json", action="store_true", help="with --dry-run: as one JSON document")
    parser.add_argument(
        "--print-python",
        *also.get("--print-python", ()),
        action="store_true",
        help="print the path of the Python the ranks would use, and exit",
    )
    parser.add_argument("script", nargs=argparse.REMAINDER, help="script and its arguments")
    parser.set_defaults(main=main, of_python=[], notes=[])
    return parser


def main(parsed: argparse.Namespace) -> int:
    """Run the job and return its exit status."""
    if parsed.print_python:
        print_for_programs(parsed.python or sys.executable)
        return 0
    if parsed.json and not parsed.dry_run:
        raise UsageError("--json goes with --dry-run; of a job, events.jsonl in its run directory tells everything")
    job = _start_again(parsed) if parsed.from_run else _start(parsed)
    if parsed.dry_run:
        with job, signals_end(job):
            return dry_run.show(job, as_json=parsed.json)
    keyboard = Keyboard(job)
    screen = JobScreen(job, keyboard, prefix=bool(parsed.prefix), verbose=bool(parsed.verbose))
    with job, signals_end(job, lambda: screen.stopping, lambda: _resize(job)), keyboard:
        return screen.show()


def _start(parsed: argparse.Namespace) -> Job:
    _note_differences(parsed)
    settings, notes = _settings(parsed)
    for note in (*parsed.notes, *notes):
        say(f"mlxlaunch: note: {note}")
    return launch(inventory_of(parsed), settings, _surroundings(), dry_run=parsed.dry_run)


def _note_differences(parsed: argparse.Namespace) -> None:
    """Treat options that exclude each other as mlx.launch does, with a note."""
    if parsed.hostfile is not None and parsed.inventory is None:
        for name, flag in (("hosts", "--hosts"), ("repeat_hosts", "--repeat-hosts")):
            if getattr(parsed, name) is not None:
                setattr(parsed, name, None)
                say(f"mlxlaunch: note: {flag} does not count, as --hostfile says where ranks run")
    note = mlx_launch_compat.misplaced(parsed.script, hosts_given(parsed))
    if note:
        say(f"mlxlaunch: note: {note}")


def _settings(parsed: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Return the settings that were given, and notes on them for a person."""
    given = settings_of(parsed)
    if not (parsed.script or parsed.tail or parsed.of_python) and WHAT_RUNS & set(variables_of(parsed.extra_vars)):
        return given, unexpanded(parsed.env)
    # With an environment, --python names the interpreter it is made with, and the environment's own runs the script.
    python = "" if parsed.environment else parsed.python or ""
    wanted = mlx_launch_compat.Wanted(parsed.script, parsed.tail, python, parsed.cwd or "", parsed.of_python)
    what, notes = mlx_launch_compat.what_to_run(wanted)
    # All of the three, so that none of them can come from somewhere else.
    return {"script": "", "args": [], "command": [], **given, **what}, [*unexpanded(parsed.env), *notes]


def _start_again(parsed: argparse.Namespace) -> Job:
    """Start a job that an earlier one recorded."""
    given = settings_of(parsed)
    if given.keys() - _WITH_FROM_RUN or hosts_given(parsed) or parsed.script or parsed.tail or parsed.of_python:
        raise UsageError(
            "--from-run says everything that is to be run; only --env, --index-url, --log-dir, --keep-runs, --prefix, --verbose, "
            "--stdin, --tty and options of ansible-playbook go with it"
        )
    earlier = rerun.load(parsed.from_run, parsed.log_dir, given, ansible_of(parsed))
    for note in earlier.notes:
        say(f"mlxlaunch: {note}")
    settings = {**earlier.settings, **given}
    return launch(earlier.inventory, settings, _surroundings(), dry_run=parsed.dry_run, ranks=earlier.ranks)


def _surroundings() -> Surroundings:
    stdin = "all" if has_something() else "none"
    return Surroundings.here(terminal=_terminal_size(), term=os.environ.get("TERM", ""), default_stdin=stdin)


def _resize(job: Job) -> None:
    size = _terminal_size()
    if size:
        job.resize(*size)


def _terminal_size() -> tuple[int, int] | None:
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return None
    return (size.columns, size.lines) if size.columns else None
