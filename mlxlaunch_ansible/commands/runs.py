# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch runs`: list the records of earlier jobs, and remove old ones."""

from __future__ import annotations

import argparse
from typing import Any

from .._core import DAYS, Run, check_settings, escape, log_folder, prune, run_dirs, run_of
from .options import add_command, add_settings, settings_of
from .terminal.screen import print_for_programs

_HELP = f"""\
List the run directories of jobs on this machine, the newest one first: job, exit status, size, and how it ended.
Each launch removes those beyond the newest --keep-runs, and those older than {DAYS} days; --prune does it now.
The record of a job that runs is never removed, nor a directory that holds anything but a record.

examples:
  mlxlaunch runs
  mlxlaunch runs --prune --keep-runs 20

exit status:
  0 done    2 wrong usage
"""


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "runs", help="list or remove the records of earlier jobs", description=_HELP, usage="%(prog)s [--prune] [options]"
    )
    add_settings(parser, ("log_dir", "keep_runs"))
    parser.add_argument("--prune", action="store_true", help="remove old run directories, and list those")
    parser.set_defaults(main=main)


def main(parsed: argparse.Namespace) -> int:
    """List or remove run directories; return the exit status."""
    settings = check_settings({name: value for name, value in settings_of(parsed).items() if name in ("log_dir", "keep_runs")}, job=False)
    base = log_folder(settings.log_dir)
    if parsed.prune:
        lines = [f"removed {path}" for path in prune(base, settings.keep_runs)]
    else:
        lines = [_line(run_of(path)) for path in run_dirs(base)]
    if lines:
        print_for_programs("\n".join(lines))
    return 0


def _line(run: Run) -> str:
    return f"{run.path.name}  {run.state:>10}  {_size(run.size):>8}  {escape(run.message)}".rstrip()


def _size(count: int) -> str:
    """Return a number of bytes for a person."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
