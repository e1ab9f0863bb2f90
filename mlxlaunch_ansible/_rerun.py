# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run again what an earlier job ran, from its record, as far as that can still be had."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._core import RUN_SETTINGS, JobSettings, UsageError, check_settings, default_log_dir
from ._inventory import Inventory

_FORMAT = 1


@dataclass
class Rerun:
    """An earlier job, ready to be run again.

    Attributes:
        inventory, settings: for `start_job`.
        ranks: its rank table, which the hosts have to give again.
        notes: what is not as it was, for a person.
    """

    inventory: Inventory
    settings: dict[str, Any]
    ranks: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def load(job: str, log_dir: str | None, env: Collection[str]) -> Rerun:
    """Return what to run.

    Args:
        job: id of a job, or its run directory.
        log_dir: where run directories are, when not in the usual place.
        env: names of the variables that are given again.

    Raises:
        UsageError: there is no such record, or what it needs cannot be had any more.
    """
    record = _read(job, log_dir)
    names = {setting.name for setting in RUN_SETTINGS}
    settings = {name: value for name, value in record["settings"].items() if name in names and name != "env"}
    rerun = Rerun(_inventory(record), settings, record["ranks"])
    forgotten = sorted(set(record["settings"]["env"]) - set(env))
    if forgotten:
        raise UsageError(f"that run was given {', '.join(forgotten)} by --env; values are not recorded, so give them again")
    checked = check_settings(settings)
    _same_project(rerun, record["deployed"], checked)
    if settings["environment"]:
        _same_environment(rerun, record["deployed"], checked)
    return rerun


def _read(job: str, log_dir: str | None) -> dict[str, Any]:
    base = Path(log_dir).expanduser() if log_dir else default_log_dir()
    folder = Path(job) if Path(job).is_dir() else base / job
    path = folder / "job.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"--from-run {job}: {path}: {exc.strerror}; a run is named by its id or its directory") from None
    except ValueError as exc:
        raise UsageError(f"--from-run {job}: {path}: not JSON: {exc}") from None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise UsageError(f"--from-run {job}: {path}: not a record that this version can read")
    return record


def _inventory(record: Mapping[str, Any]) -> Inventory:
    paths = [path for path in record["inventory"]["paths"] if Path(path).exists()]
    if len(paths) == 1:
        return str(paths[0])
    missing = [path for path in record["inventory"]["paths"] if path not in paths]
    if missing:
        raise UsageError(f"the inventory of that run is gone: {', '.join(missing)}")
    return list(record["hostfile"])


def _same_project(rerun: Rerun, deployed: Mapping[str, str], before: JobSettings) -> None:
    # Late: a launch that is no repetition does without.
    from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._hashes import project_now

    settings = rerun.settings
    if not deployed["project_digest"] or project_now(before) == deployed["project_digest"]:
        return
    what = before.project_dir or before.script
    if not deployed["project"]:
        raise UsageError(f"{what} is not what it was in that run, and no copy of it was kept")
    rerun.notes.append(f"{what} is not what it was; running {deployed['project']}, which was brought to the hosts then")
    if before.project_dir and not before.cwd:
        settings["cwd"] = deployed["project"]
    settings.update(script=deployed["script"], project_dir="")


def _same_environment(rerun: Rerun, deployed: Mapping[str, str], before: JobSettings) -> None:
    if _lock_now(before) != deployed["lock_sha256"]:
        there = deployed["environment"]
        rerun.notes.append(f"{before.environment} is not what it was; using {there}, which was made on the hosts then")
        rerun.settings.update(environment="", python=f"{there}/bin/python")


def _lock_now(before: JobSettings) -> str:
    """Return the digest of what an environment would be made from now, or nothing when that is gone."""
    from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._environments import environment_from

    try:
        return environment_from(before).question("")["lock"]
    except UsageError:
        return ""
