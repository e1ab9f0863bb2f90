# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file in which ssh keeps the keys of hosts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..job.errors import LaunchError
from .host_key import HostKey
from .identity import Run
from .ssh_config import SshConfig

#: Options by which ssh writes the key of a host to a file of ours, and tries no way to log in.
_FETCH: tuple[str, ...] = (
    "StrictHostKeyChecking=accept-new",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "HashKnownHosts=no",
    "CheckHostIP=no",
)
_FETCH += ("VerifyHostKeyDNS=no", "PreferredAuthentications=none", "ControlMaster=no", "ControlPath=none")


def fetching(path: str, algorithms: str = "") -> list[str]:
    """Return the options by which ssh writes a host's key to a file that is none yet, and does no more.

    Nothing that could be stolen is sent on such a connection.

    Args:
        path: of the file.
        algorithms: kinds of keys to ask for; those of ssh by default.
    """
    kinds = [f"HostKeyAlgorithms={algorithms}"] if algorithms else []
    return [word for option in (*_FETCH, f'UserKnownHostsFile="{path}"', *kinds) for word in ("-o", option)]


def fetched(path: str) -> tuple[str, HostKey] | None:
    """Return the line that ssh has written to a file, and the key in it; None when there is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    for line in lines:
        key = HostKey.of(line)
        if key:
            return line, key
    return None


def add_keys(path: str, lines: Sequence[str]) -> None:
    """Add lines to a file of known hosts, all of them or none; the file and its directory are made for this user alone.

    Raises:
        LaunchError: it cannot be written.
    """
    try:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            before = b"" if not size or os.pread(fd, 1, size - 1) == b"\n" else b"\n"
            data = before + "".join(f"{line}\n" for line in lines).encode()
            if os.write(fd, data) < len(data):
                os.ftruncate(fd, size)
                raise LaunchError(f"{path}: the disk is full; no host key was added")
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as exc:
        raise LaunchError(f"{path}: cannot add the host's key: {exc.strerror or exc}") from None


def as_kept(line: str, config: SshConfig, run: Run) -> str:
    """Return a line as the user wants it in the file: with the name of the host hashed, where ssh is configured so."""
    if not config.is_on("hashknownhosts"):
        return line
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "line")
        path.write_text(f"{line}\n", encoding="utf-8")
        status, _output = run(["ssh-keygen", "-q", "-H", "-f", str(path)])
        return path.read_text(encoding="utf-8").strip() if status == 0 else line
