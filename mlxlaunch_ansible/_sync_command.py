# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`mlxlaunch sync`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._core import Describer, TerminalSink, wants_colour
from ._inventory import Inventory
from ._signals import signals_end
from ._sync import SyncResult, start_sync

HELP = """\
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
SETTINGS: tuple[str, ...] = ("group", "python", "project_dir", "exclude", "environment", "wheelhouse", "index_url", "root", "keep")
SETTINGS += ("connect_timeout", "lease", "verbose")


def show(inventory: Inventory, settings: Mapping[str, Any]) -> int:
    """Run it, show what happens on standard error, print where things are, and return the exit status."""
    sink = TerminalSink((1, 2), Describer(wants_colour(2), bool(settings.get("verbose"))), None, lambda: None)
    with start_sync(inventory, settings, None) as job, signals_end(job):
        for event in job:
            sink.event(event.to_json())
        sink.close()
        result = SyncResult.from_event(job.outcome())
    if result.returncode == 0:
        for name in ("python", "script", "project"):
            if getattr(result, name):
                print(f"{name} {getattr(result, name)}")
    return result.returncode
