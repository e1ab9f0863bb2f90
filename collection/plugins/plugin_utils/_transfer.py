# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: files on their way to a host, by rsync or, where a host has none, as a stream of tar.

Both go over the host's own connection, as Ansible is configured to reach it. What is little goes to the agent as it is.
"""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..module_utils._manifest import to_bytes
from ._agents import Agent, HostFailed

# What stands between a login shell's greeting, or that of sudo, and rsync's first byte.
_MARK = "mlxlaunch: from here on it is rsync"
_SERVER = "@server@"
# Known to rsync 3 and to openrsync, as macOS has it: no --info, no --link-dest, no --files-from.
_FLAGS = ["--recursive", "--links", "--perms", "--times"]
_NO_SPACE = "No space left on device"
LITTLE = 256 * 1024  # bytes that go with a call: to start rsync at both ends, and to compare, takes longer than to send them


@dataclass(frozen=True)
class Way:
    """How files reach a host.

    Attributes:
        argv: gives the local command line that runs a shell command on the host.
        folder: private directory on the controller for the scripts that rsync calls.
        rsync: whether the host has rsync.
    """

    argv: Callable[[str], Sequence[str]]
    folder: Path
    rsync: bool


def send_tree(agent: Agent, way: Way, source: Path, target: str, excluded: bytes = b"") -> None:
    """Make the files under `source` those under `target` on the host; what is equal there already is not sent.

    Args:
        source: directory.
        target: directory on the host, which exists.
        excluded: lines for rsync's --exclude-from: what not to send.

    Raises:
        HostFailed: naming the reason.
    """
    # A directory of its own, as rsync cuts the name of the program for -e at blanks.
    folder = tempfile.mkdtemp(dir=way.folder)
    _write(f"{folder}/rsh", rsh_script(way.argv, target).encode("utf-8", "surrogateescape"))
    _write(f"{folder}/excluded", excluded)
    status, said = agent.run(rsync_command(source, agent.lease), cwd=folder)
    if status:
        raise HostFailed(explain_rsync(said, status, target))


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def rsync_command(source: Path, lease: float) -> list[str]:
    """Return rsync's command line, for a directory with the scripts in it.

    The host's directory is not in it: what has to be quoted does not pass through two shells.

    Args:
        source: directory.
        lease: seconds of silence after which the host's end gives up.
    """
    options = [*_FLAGS, f"--timeout={max(1, round(lease))}", "-e", "/bin/sh ./rsh", "--exclude-from=excluded"]
    return ["rsync", *options, "--", f"{source}/", "host:./"]


def rsh_script(argv: Callable[[str], Sequence[str]], target: str) -> str:
    """Return the program that rsync calls in place of ssh, with a host's name and rsync's own words, none of which wants quoting."""
    command = f"cd {shlex.quote(target)} && printf '\\n%s\\n' {shlex.quote(_MARK)} && exec {_SERVER}"
    words = []
    for word in argv(_in_sh(command)):
        before, found, after = word.partition(_SERVER)
        words.append(shlex.quote(before) + ('"$*"' + shlex.quote(after) if found else ""))
    return f"""#!/bin/sh
shift
{" ".join(words)} | {{
  while IFS= read -r line && [ "$line" != {shlex.quote(_MARK)} ]; do :; done
  exec cat
}}
"""


def _in_sh(command: str) -> str:
    """Whatever the login shell."""
    return f"exec /bin/sh -c {shlex.quote(command)}"


def explain_rsync(said: str, status: int, target: str) -> str:
    """Return one line for what rsync, or ssh under it, said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any(_NO_SPACE in line for line in lines):
        return f"no space left on the disk under {target}"
    # rsync's closing line tells where in its source it gave up; the one before tells why.
    reasons = [line for line in lines if not line.startswith("rsync error:")] or lines
    return f"rsync to {target}: {reasons[0]}" if reasons else f"rsync to {target} failed with status {status}"


def contents(source: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return what files of little content under `source` hold, in base64; of one that has grown meanwhile, the beginning.

    Raises:
        HostFailed: naming the file that cannot be read.
    """
    found = {}
    try:
        for path in paths:
            # It may be another kind of file by now, or a link.
            fd = os.open(to_bytes(f"{source}/{path}"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                found[path] = base64.b64encode(os.read(fd, LITTLE + 1)).decode("ascii")
            finally:
                os.close(fd)
    except OSError as exc:
        raise _unreadable(exc, source) from None
    return found


def _unreadable(exc: OSError, source: Path) -> HostFailed:
    return HostFailed(f"{os.fsdecode(exc.filename or source)} cannot be sent: {exc.strerror or exc}; was it changed meanwhile?")


def send_tar(agent: Agent, way: Way, source: Path, target: str, paths: Sequence[str]) -> None:
    """Send these paths under `source` as a tar archive that is unpacked while it comes.

    Raises:
        HostFailed: naming the reason, or the file here that cannot be read.
    """
    # -o: files belong to who unpacks them, as those that rsync brings do, and not to a user of the controller.
    command = f"cd {shlex.quote(target)} && exec tar -xpof -"
    try:
        status, said = agent.run(way.argv(_in_sh(command)), feed=lambda fd: write_tar(fd, source, paths))
    except OSError as exc:
        raise _unreadable(exc, source) from None
    if status:
        raise HostFailed(explain_tar(said, status, target))


def write_tar(fd: int, source: Path, paths: Sequence[str]) -> None:
    """Write these paths under `source` as a tar archive.

    Raises:
        OSError: a file cannot be read, or has become shorter meanwhile.
    """
    # GNU's format has names as they are; a tar in the C locale, as over ssh, may refuse to make the UTF-8 of PAX a name.
    with (
        os.fdopen(fd, "wb", closefd=False) as out,
        tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as archive,
    ):
        for path in paths:
            archive.add(os.fsdecode(to_bytes(str(source / path))), path, recursive=False)


def explain_tar(said: str, status: int, target: str) -> str:
    """Return one line for what tar, or ssh under it, said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any(_NO_SPACE in line for line in lines):
        return f"no space left on the disk under {target}"
    return f"tar to {target}: {lines[0]}" if lines else f"tar to {target} failed with status {status}"


def has_rsync() -> bool:
    """Whether this machine has rsync."""
    return shutil.which("rsync") is not None
