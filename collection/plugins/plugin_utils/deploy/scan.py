# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hashes of a project's files."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ...module_utils.shared import manifest
from ...module_utils.shared.manifest import printable, to_bytes
from ..job.errors import UsageError
from ..job.settings import JobSettings
from .project import LEAVE_OUT, Identity, Project, select
from .signatures import Remembered

TRIES = 2  # a file that an editor saves just now is another one the next time
_PATIENT_TRIES, _PAUSE = 10, 0.02  # seconds between two of them: without these files nothing runs


def wanted_project(settings: JobSettings, outputs: Collection[Identity] = ()) -> Project | None:
    """Return the project of a job, None when its script is a path on the hosts.

    Args:
        settings: those of the job.
        outputs: of each file that the launching process writes to.

    Raises:
        UsageError: it cannot be sent as it is; names the file and the reason.
    """
    if settings.project_dir or (settings.script and Path(settings.script).exists()):
        return select(settings.script, settings.project_dir, settings.exclude, [*outputs, *_records(settings.log_dir)])
    return None


def _records(log_dir: str) -> list[Identity]:
    """Return which directory, if there is one, holds the records of jobs."""
    try:
        found = Path(log_dir).stat() if log_dir else None
    except OSError:
        return []
    return [(found.st_dev, found.st_ino)] if found else []


def project_digest(project: Project | None) -> str:
    """Return the digest of a project's files, or nothing without a project."""
    return str(manifest.digest(scan_project(project).entries)) if project else ""


def project_now(settings: JobSettings, outputs: Collection[Identity] = ()) -> str:
    """Return the digest of the project's files as they are now, or nothing without a project that could be sent."""
    try:
        return project_digest(wanted_project(settings, outputs))
    except UsageError:
        return ""


def scan_project(project: Project) -> manifest.Tree:
    """Return the Tree of a project: its entries with the hash of every file.

    It is without files that are gone by now, and those that change each time they are read: a half of one is of no use.

    Raises:
        UsageError: naming the file that cannot be read, the script if it is gone, or a module that keeps changing.
    """
    if len(project.paths) == 1:
        return _scan(project, {})
    hashes = Remembered(f"{project.source}/{project.script}" if project.alone else project.source, "hashes")
    tree = _scan(project, hashes.all())
    for entry in tree.entries:
        if entry.kind == "file":
            hashes.put(entry.path, tree.signatures[entry.path], entry.content)
    hashes.save()
    return tree


def _scan(project: Project, known: Mapping[str, Any]) -> manifest.Tree:
    entries, signatures, folders = [], {}, {""}
    for path in project.paths:
        # Of a directory that was gone when its turn came nothing is sent, even where it has come back since.
        found = _look(project, path, known) if path.rpartition("/")[0] in folders else None
        if found:
            entry, mark = found
            entries.append(entry)
            if mark:
                signatures[path] = mark
            if entry.kind == "dir":
                folders.add(path)
        elif path == project.script:
            raise _not_still(project, path)
    return manifest.Tree(sorted(entries), signatures)


def _look(project: Project, path: str, known: Mapping[str, Any]) -> tuple[manifest.Entry, Any] | None:
    """Return entry and signature of a path, None for one that is gone, is no file any more, or keeps changing."""
    base = to_bytes(project.source).rstrip(b"/") + b"/"
    needed, changes = project.needs(path), False
    for turn in range(_PATIENT_TRIES if needed else TRIES):
        if turn and needed:
            time.sleep(_PAUSE)
        try:
            found: tuple[manifest.Entry, Any] = manifest.look(base, path, known, project.followed.get(path, ""))
        except manifest.FileChanged:
            changes = True
        except (FileNotFoundError, NotADirectoryError):
            changes = False
        except OSError as exc:
            raise UsageError(f"{printable(f'{project.source}/{path}')} cannot be read: {exc.strerror}; {LEAVE_OUT}") from None
        else:
            return found if found[0].kind != "other" else None
    if needed and changes:
        raise _not_still(project, path)
    return None


def _not_still(project: Project, path: str) -> UsageError:
    return UsageError(f"{printable(f'{project.source}/{path}')} was removed, or changes all the time, while it was read; try again")


def moved(project: Project, tree: manifest.Tree) -> dict[str, bool]:
    """Return the files that are not as they were scanned: by path, whether something was added to it, as to a log."""
    found = {}
    for path, (size, *_times) in tree.signatures.items():
        try:
            now = manifest.signature(os.lstat(to_bytes(project.place(path))))
        except OSError:
            found[path] = False
            continue
        if now != tree.signatures[path]:
            found[path] = now[2] == tree.signatures[path][2] and now[0] > size
    return found
