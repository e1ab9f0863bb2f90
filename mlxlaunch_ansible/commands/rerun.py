# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repetition of an earlier job from its record, as far as its files are still there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .._core import HIDDEN, RUN_SETTINGS, JobSettings, UsageError, check_settings, hostfile_from_data, lacks_secret, log_folder
from .._inventory import AnsibleOptions, Inventory, Source, resolve_inventory

_FORMAT = 2


@dataclass
class Rerun:
    """An earlier job, ready to be run again.

    Attributes:
        inventory, settings: for `start_job`.
        ranks: its rank table, which the hosts have to give again.
        notes: differences to the earlier job, for a person.
    """

    inventory: Inventory
    settings: dict[str, Any]
    ranks: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def load(job: str, log_dir: str | None, given: Mapping[str, Any], ansible: AnsibleOptions | None = None) -> Rerun:
    """Return the job to run.

    Args:
        job: id of a job, or its run directory.
        log_dir: where run directories are, when not in the usual place.
        given: settings that are given again.
        ansible: options of Ansible that are given again, or are others now.

    Raises:
        UsageError: there is no such record, a file it needs is gone, or a secret is to be given again.
    """
    record = _read(job, log_dir)
    names = {setting.name for setting in RUN_SETTINGS}
    settings = {name: value for name, value in record["settings"].items() if name in names and name != "env"}
    source = replace(_inventory(record), ansible=_ansible(record["inventory"], ansible or AnsibleOptions()))
    rerun = Rerun(source, settings, record["ranks"])
    _check_secrets(record, given)
    checked = check_settings(settings)
    _same_project(rerun, record["deployed"], checked)
    if settings["environment"]:
        _same_environment(rerun, record["deployed"], checked)
    return rerun


def _read(job: str, log_dir: str | None) -> dict[str, Any]:
    base = log_folder(log_dir or "")
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


def _inventory(record: Mapping[str, Any]) -> Source:
    paths = [str(path) for path in record["inventory"]["paths"] if Path(path).exists()]
    missing = [path for path in record["inventory"]["paths"] if path not in paths]
    if missing:
        raise UsageError(f"the inventory of that run is gone: {', '.join(missing)}")
    origin = record["inventory"]
    if paths:
        listed = [f"{name}," for name in origin.get("listed", ())]
        sources: list[str | Path] = [*map(Path, paths), *listed]
        return replace(resolve_inventory(sources, record["settings"]["group"]), slots=origin.get("slots", 0))
    if origin["not_recorded"]:
        names = ", ".join(origin["not_recorded"])
        raise UsageError(f"the hosts of that run were reached with {names}, which is not recorded; start it again in full")
    group = record["settings"]["group"]
    return Source(data={group: {"hosts": origin["hosts"]}}, hostfile=hostfile_from_data(record["hostfile"], "job.json: hostfile"))


def _ansible(origin: Mapping[str, Any], given: AnsibleOptions) -> AnsibleOptions:
    """Return the options of Ansible of that run, and those given now; raise UsageError for what is missing."""
    forgotten = [what for what in origin.get("again", ()) if what not in given.not_recorded]
    if forgotten:
        raise UsageError(f"that run was given {', '.join(forgotten)} for Ansible; values are not recorded, so give it again")
    before = {name: tuple(value) if isinstance(value, list) else value for name, value in origin.get("ansible", {}).items()}
    known = {option.name for option in fields(AnsibleOptions)}
    now = {name: value for name in known if (value := getattr(given, name))}
    now["extra_vars"] = (*before.get("extra_vars", ()), *given.extra_vars)
    return AnsibleOptions(**{name: value for name, value in (before | now).items() if name in known})


def _check_secrets(record: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise UsageError for secrets of that run, which were not recorded, unless they are given again."""
    settings = record["settings"]
    names = {*settings["env"], *record["inventory"].get("env", ())}
    forgotten = sorted(names - set(given.get("env", {})))
    if forgotten:
        raise UsageError(f"that run was given {', '.join(forgotten)} for its ranks; values are not recorded, so give them again by --env")
    if HIDDEN in settings["index_url"] and not given.get("index_url"):
        raise UsageError(f"that run used {settings['index_url']}; credentials are not recorded, so give --index-url again")
    for name in ("args", "command", "mpi_args"):
        if any(lacks_secret(word) for word in settings[name]):
            raise UsageError(f"that run had an address with credentials in its {name}; they are not recorded, so start it again in full")


def _same_project(rerun: Rerun, deployed: Mapping[str, str], before: JobSettings) -> None:
    # Late: a launch that is no repetition does without.
    from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import project_now

    settings = rerun.settings
    if not deployed["project_digest"] or project_now(before) == deployed["project_digest"]:
        return
    source = before.project_dir or before.script
    if not deployed["project"]:
        raise UsageError(f"{source} is not what it was in that run, and no copy of it was kept")
    rerun.notes.append(f"{source} is not what it was; running {deployed['project']}, which was brought to the hosts then")
    if before.project_dir and not before.cwd:
        settings["cwd"] = deployed["project"]
    settings.update(script=deployed["script"], project_dir="")


def _same_environment(rerun: Rerun, deployed: Mapping[str, str], before: JobSettings) -> None:
    if _lock_now(before) != deployed["lock_sha256"]:
        there = deployed["environment"]
        rerun.notes.append(f"{before.environment} is not what it was; using {there}, which was made on the hosts then")
        rerun.settings.update(environment="", python=f"{there}/bin/python")


def _lock_now(before: JobSettings) -> str:
    """Return the digest of the lock file as it is now, or nothing when it is gone."""
    from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.environments import environment_from

    try:
        return environment_from(before).digest
    except UsageError:
        return ""
