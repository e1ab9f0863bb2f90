# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the hashes of a project's files, remembered between two launches.

Remembered in the user's cache directory, for files whose size, times and inode say that they are the same. What is
there is never needed: a file that is missing, broken or cannot be written costs time only.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..module_utils import _manifest as manifest
from ..module_utils._manifest import printable, to_bytes
from ._errors import UsageError
from ._project import LEAVE_OUT, Project, select
from ._settings import JobSettings

# Nanoseconds. A file changed twice within one tick of the file system's clock has the same times after both.
RACY = 2 * 10**9
TRIES = 2  # a file that an editor saves just now is another one the next time

_Known = dict[str, tuple[tuple[int, ...], str]]


def wanted_project(settings: JobSettings) -> Project | None:
    """Return what is to go to the hosts, None when the script is a path on them.

    Raises:
        UsageError: it cannot be sent as it is; says which file and why.
    """
    if settings.project_dir or (settings.script and Path(settings.script).exists()):
        return select(settings.script, settings.project_dir, settings.exclude)
    return None


def project_digest(project: Project | None) -> str:
    """Return the digest that proves what a project is, or nothing for none."""
    return str(manifest.digest(scan_project(project).entries)) if project else ""


def project_now(settings: JobSettings) -> str:
    """Return the digest that proves what the project is now, or nothing when there is none, or none that could be sent."""
    try:
        return project_digest(wanted_project(settings))
    except UsageError:
        return ""


def scan_project(project: Project) -> manifest.Tree:
    """Return the Tree of a project: its entries with the hash of every file.

    Raises:
        UsageError: naming the file that cannot be read, or that changes all the time.
    """
    for left in reversed(range(TRIES)):
        try:
            return _scan(project)
        except manifest.Changed as exc:
            if not left:
                raise UsageError(f"{_show(project, exc.path)} changes while it is read; try again, or {LEAVE_OUT}") from None
        except FileNotFoundError as exc:
            raise UsageError(f"{printable(str(exc.filename))} was removed while the project was read; try again") from None
        except OSError as exc:
            raise UsageError(f"{printable(str(exc.filename))} cannot be read: {exc.strerror}; {LEAVE_OUT}") from None
    raise AssertionError(TRIES)


def _show(project: Project, path: str) -> str:
    return str(printable(f"{project.source}/{path}"))


def _scan(project: Project) -> manifest.Tree:
    tree: manifest.Tree
    if project.alone:
        tree = manifest.scan(project.source, project.paths, ctime=True)
        return tree
    cache = cache_file(project.source)
    known = _load(cache)
    began = time.time_ns()
    tree = manifest.scan(project.source, project.paths, known, ctime=True)
    fresh = _settled(tree, began)
    if fresh != known:
        _save(cache, fresh)
    return tree


def cache_file(source: str) -> Path:
    """Return where the hashes of a directory are remembered."""
    if sys.platform == "darwin":
        folder = Path("~/Library/Caches").expanduser()
    else:
        # As the XDG Base Directory specification has it, a relative path is none.
        given = os.environ.get("XDG_CACHE_HOME", "")
        folder = Path(given) if given.startswith("/") else Path("~/.cache").expanduser()
    return folder / "mlxlaunch" / "hashes" / f"{hashlib.sha256(to_bytes(source)).hexdigest()[:32]}.json"


def _settled(tree: manifest.Tree, began: int) -> _Known:
    """Return what may be remembered: the files that are not so new that they could change unseen."""
    known = {}
    for entry in tree.entries:
        if entry.kind == "file":
            _size, mtime, _inode, ctime = mark = tree.signatures[entry.path]
            if abs(began - mtime) > RACY and abs(began - ctime) > RACY:
                known[entry.path] = (mark, entry.content)
    return known


def _load(path: Path) -> _Known:
    try:
        data: dict[str, list[Any]] = json.loads(path.read_bytes())
        return {name: ((size, mtime, inode, ctime), content) for name, (size, mtime, inode, ctime, content) in data.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _save(path: Path, known: _Known) -> None:
    data = {name: [*mark, content] for name, (mark, content) in known.items()}
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)  # with mode 0600
        with os.fdopen(fd, "w", encoding="ascii") as file:
            json.dump(data, file, separators=(",", ":"))
        Path(temporary).replace(path)
    except OSError:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
