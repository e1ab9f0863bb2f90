# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings on disk: raw answers of all hosts, a folder a host and a file an answer; see docs/network.md.

A recording may come from a stranger. Only regular files are read, of bounded number and size, and no link is followed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...job.errors import UsageError
from ...output.escape import json_text
from ..facts.answers import FORMAT, MOST_ANSWERS, MOST_CHARACTERS, HostAnswers, answers_from, check_format, check_name

INDEX, HOST = "recording.json", "host.json"
MOST_HOSTS = 64
_MOST_INDEX = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def check_target(path: str) -> None:
    """Raise UsageError unless a recording can be written to a directory: a new one, or an empty one."""
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"--record {path}: it is there already; name a directory that is not")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"--record {path}: there is no directory {target.absolute().parent}")


def write_recording(path: str, hosts: Mapping[str, HostAnswers]) -> None:
    """Write a recording, whole or not at all."""
    check_target(path)
    target = Path(path).absolute()
    try:
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _write(fresh, hosts)
            fresh.chmod(0o755)
            fresh.replace(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as exc:
        raise UsageError(f"--record {path}: cannot be written: {exc.strerror}") from None


def _write(folder: Path, hosts: Mapping[str, HostAnswers]) -> None:
    _write_json(folder / INDEX, {"format": FORMAT, "hosts": list(hosts)})
    for name, answers in hosts.items():
        (folder / name).mkdir()
        about: dict[str, Any] = {"format": FORMAT, "failed": dict(answers.failed)}
        about |= {"failure": answers.failure} if answers.failure else {"system": answers.system}
        _write_json(folder / name / HOST, about)
        for file, text in answers.texts.items():
            (folder / name / file).write_text(text, encoding="utf-8")


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json_text(data, 2) + "\n", encoding="utf-8")


def read_recording(path: str) -> dict[str, HostAnswers]:
    """Return the answers by host, in order.

    Raises:
        UsageError: naming the file and what is wrong with it.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(f"--replay {path}: there is no such directory")
    index = _json(folder / INDEX)
    if not isinstance(index, Mapping):
        raise UsageError(f"{folder / INDEX}: want an object")
    check_format(index.get("format"), str(folder / INDEX))
    names = index.get("hosts")
    if not isinstance(names, list) or not 1 <= len(names) <= MOST_HOSTS:
        raise UsageError(f"{folder / INDEX}: hosts: want a list of 1 to {MOST_HOSTS} names")
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(f"{folder / INDEX}: hosts: {name!r:.60}: want letters, digits, dots, dashes and underscores")
    if len(set(names)) < len(names):
        raise UsageError(f"{folder / INDEX}: hosts: a name stands in it twice")
    return {name: _host(folder / name) for name in names}


def _host(folder: Path) -> HostAnswers:
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"{folder}: there is no such directory")
    about = _json(folder / HOST)
    if not isinstance(about, Mapping):
        raise UsageError(f"{folder / HOST}: want an object")
    files = sorted(entry for entry in folder.iterdir() if entry.name != HOST and not entry.name.startswith("."))
    if len(files) > MOST_ANSWERS:
        raise UsageError(f"{folder}: want at most {MOST_ANSWERS} answers")
    for file in files:
        check_name(file.name, str(folder))
    data = {name: about[name] for name in ("format", "system", "failed", "failure") if name in about}
    return answers_from({**data, "answers": {file.name: _read(file, MOST_CHARACTERS) for file in files}}, str(folder))


def _json(path: Path) -> Any:
    try:
        return json.loads(_read(path, _MOST_INDEX))
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{path}: not JSON: {exc}") from None


def _read(path: Path, most: int) -> str:
    """Return the text of a regular file; a pipe could keep us waiting, and a link could lead anywhere."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror}") from None
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_size > most:
        os.close(fd)
        long = stat.S_ISREG(found.st_mode)
        raise UsageError(f"{path}: is longer than {most // 1024 // 1024} MiB" if long else f"{path}: is no regular file")
    with os.fdopen(fd, "rb") as source:
        return source.read(most).decode("utf-8", "replace")
