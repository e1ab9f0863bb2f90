# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy and launch distributed MLX jobs on a cluster of Macs.

    from mlxlaunch_ansible import run_job

    result = run_job("inventory/hosts.yml", "/opt/train.py", args=["--lr", "1e-3"])
    print(result.returncode, result.run_dir)

Importing this package is cheap: a part of it is imported when it is first used, and Ansible when a job is started.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core import LaunchError, UsageError
    from ._job import Job, JobFailed
    from ._network.look import NetworkFailed, NetworkResult, network
    from ._prepare.preparation import PrepareFailed, PrepareResult, prepare
    from ._result import Event, JobResult, RankResult
    from ._start import plan_job, run_job, start_job
    from ._sync import SyncFailed, SyncResult, sync

__version__ = "1.0.0"

__all__ = [
    "Event",
    "Job",
    "JobFailed",
    "JobResult",
    "LaunchError",
    "NetworkFailed",
    "NetworkResult",
    "PrepareFailed",
    "PrepareResult",
    "RankResult",
    "SyncFailed",
    "SyncResult",
    "UsageError",
    "__version__",
    "network",
    "plan_job",
    "prepare",
    "run_job",
    "start_job",
    "sync",
]

_PLACES = {
    "_core": ("LaunchError", "UsageError"),
    "_job": ("Job", "JobFailed"),
    "_network.look": ("NetworkFailed", "NetworkResult", "network"),
    "_prepare.preparation": ("PrepareFailed", "PrepareResult", "prepare"),
    "_result": ("Event", "JobResult", "RankResult"),
    "_start": ("plan_job", "run_job", "start_job"),
    "_sync": ("SyncFailed", "SyncResult", "sync"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> object:
    """Return a part of the package, imported now (PEP 562)."""
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f".{_PLACE_OF[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
