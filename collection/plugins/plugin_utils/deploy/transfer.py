# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on their way to a host, by rsync or, where a host has none, as a stream of tar.

Both go over the host's own connection, as Ansible is configured to reach it. A few bytes go to the agent as they are.
"""

from __future__ import annotations

import base64
import errno
import os
import shlex
import stat
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...module_utils.shared.manifest import BECAME_OTHER, to_bytes
from ..hosts.agents import Agent, HostFailed
from ..hosts.connection import busy
from ..hosts.login_shell import in_sh, shell_word

# The line between a login shell's greeting, or that of sudo, and rsync's first byte.
_MARK = "mlxlaunch: from here on it is rsync"
_SERVER = "@server@"
# Known to rsync 3 and to openrsync, as macOS has it: no --info, no --link-dest, no --files-from.
# Without --perms: a new file gets the permissions that it has here, and no setuid, setgid or sticky bit.
_FLAGS = ["--recursive", "--links", "--times"]
_NO_SPACE = "No space left on device"
_VANISHED = 24  # exit status of rsync(1): all was sent but for files that have gone since it listed them
# Errors of a file that has gone since it was listed, or is something else by now.
GONE = (errno.ENOENT, errno.ENOTDIR, *BECAME_OTHER)
NOWHERE: Mapping[str, str] = MappingProxyType({})  # no path has its content elsewhere
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


def send_tree(agent: Agent, way: Way, source: Path, target: str, excluded: bytes = b"") -> bool:
    """Make the files under `source` those under `target` on the host; equal files are not sent.

    Return whether none of them has gone since it was listed.

    Args:
        source: directory.
        target: directory on the host, which exists.
        excluded: lines for rsync's --exclude-from.

    Raises:
        HostFailed: naming the reason.
    """
    # A directory of its own, as rsync cuts the name of the program for -e at blanks.
    folder = tempfile.mkdtemp(dir=way.folder)
    _write(f"{folder}/rsh", rsh_script(way.argv, target, _cwd()).encode("utf-8", "surrogateescape"))
    _write(f"{folder}/excluded", excluded)
    status, output = agent.run(rsync_command(source, agent.lease), cwd=folder)
    if status not in (0, _VANISHED):
        raise HostFailed(explain_rsync(output, status, target))
    return status == 0


def _cwd() -> str:
    """Return the current directory, "" when it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def rsync_command(source: Path, lease: float) -> list[str]:
    """Return rsync's command line, for a directory with the scripts in it.

    The host's directory is not in it: a name that has to be quoted does not pass through two shells.

    Args:
        source: directory.
        lease: seconds of silence after which the host's end gives up.
    """
    options = [*_FLAGS, f"--timeout={max(1, round(lease))}", "-e", "/bin/sh ./rsh", "--exclude-from=excluded"]
    return ["rsync", *options, "--", f"{source}/", "host:./"]


def rsh_script(argv: Callable[[str], Sequence[str]], target: str, cwd: str = "") -> str:
    """Return the script that rsync calls in place of ssh, with a host's name and words that need no quotes.

    Args:
        argv: see `Way`.
        target: directory on the host.
        cwd: directory in which ssh runs, for paths in its command line that are relative; "" for rsync's.
    """
    command = f"umask 022 && cd {shell_word(target)} && printf '\\n%s\\n' {shlex.quote(_MARK)} && exec {_SERVER}"
    words = []
    for word in argv(in_sh(command)):
        before, found, after = word.partition(_SERVER)
        words.append(shlex.quote(before) + ('"$*"' + shlex.quote(after) if found else ""))
    return f"""#!/bin/sh
{f"cd {shlex.quote(cwd)} || exit" if cwd else ":"}
shift
{" ".join(words)} | {{
  while IFS= read -r line && [ "$line" != {shlex.quote(_MARK)} ]; do :; done
  exec cat
}}
"""


def explain_rsync(output: str, status: int, target: str) -> str:
    """Return one line for the output of rsync, or of ssh under it."""
    # rsync's closing line names the place in its source where it gave up; the one before names the reason.
    return _explain("rsync", output, status, target, lambda line: not line.startswith("rsync error:"))


def _explain(program: str, output: str, status: int, target: str, is_reason: Callable[[str], object]) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(_NO_SPACE in line for line in lines):
        return f"no space left on the disk under {target}"
    if reason := busy(output, status):
        return reason
    reasons = list(filter(is_reason, lines)) or lines
    return f"{program} to {target}: {reasons[0]}" if reasons else f"{program} to {target} failed with status {status}"


def contents(source: Path, paths: Sequence[str], elsewhere: Mapping[str, str] = NOWHERE) -> dict[str, str]:
    """Return the content of small files under `source`, in base64; of one that has grown meanwhile, the beginning.

    Args:
        source: directory.
        paths: of the files.
        elsewhere: those whose content is not there: {path: absolute path}.

    Raises:
        HostFailed: naming the file that cannot be read.
    """
    found = {}
    try:
        for path in paths:
            with open(_place(source, path, elsewhere), "rb", buffering=0, opener=_as_it_was) as file:
                found[path] = base64.b64encode(os.read(file.fileno(), LITTLE + 1)).decode("ascii")
    except OSError as exc:
        raise _unreadable(exc, source) from None
    return found


def _place(source: Path, path: str, elsewhere: Mapping[str, str]) -> str:
    return os.fsdecode(to_bytes(elsewhere.get(path) or f"{source}/{path}"))


def _as_it_was(path: Any, flags: int) -> int:
    """Open a file that may be of another kind by now: no link is followed, and no pipe waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _unreadable(exc: OSError, source: Path) -> HostFailed:
    return HostFailed(f"{os.fsdecode(exc.filename or source)} cannot be sent: {exc.strerror or exc}; was it changed meanwhile?")


def send_tar(agent: Agent, way: Way, source: Path, target: str, paths: Sequence[str], elsewhere: Mapping[str, str] = NOWHERE) -> bool:
    """Send these paths under `source` as a tar archive that is unpacked while it comes.

    Return whether none of them has gone meanwhile. For `elsewhere` see `contents`.

    Raises:
        HostFailed: naming the reason, or the file here that cannot be read.
    """
    # -o: files belong to who unpacks them, as those that rsync sends do, and not to a user of the controller.
    command = f"cd {shell_word(target)} && exec tar -xpof -"
    gone: list[str] = []

    def feed(fd: int) -> None:
        gone[:] = write_tar(fd, source, paths, elsewhere)

    try:
        status, output = agent.run(way.argv(in_sh(command)), feed=feed)
    except OSError as exc:
        raise _unreadable(exc, source) from None
    if status:
        raise HostFailed(explain_tar(output, status, target))
    return not gone


def write_tar(fd: int, source: Path, paths: Sequence[str], elsewhere: Mapping[str, str] = NOWHERE) -> list[str]:
    """Write these paths under `source` as a tar archive, and return those that are left out as they are gone.

    For `elsewhere` see `contents`.

    Raises:
        OSError: a file cannot be read, or has become shorter meanwhile.
    """
    gone = []
    # GNU's format has names as they are; a tar in the C locale, as over ssh, may refuse to make the UTF-8 of PAX a name.
    with (
        os.fdopen(fd, "wb", closefd=False) as out,
        tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as archive,
    ):
        for path in paths:
            try:
                _add(archive, _place(source, path, elsewhere), path)
            except OSError as exc:
                if exc.errno not in GONE:
                    raise
                gone.append(path)
    return gone


def _add(archive: tarfile.TarFile, full: str, path: str) -> None:
    """Add a file, directory or link to an archive."""
    if stat.S_ISREG(os.lstat(full).st_mode):
        with open(full, "rb", opener=_as_it_was) as file:
            archive.addfile(_member(archive.gettarinfo(arcname=path, fileobj=file)), file)
    else:
        archive.addfile(_member(archive.gettarinfo(full, path)))


def _member(found: tarfile.TarInfo | None) -> tarfile.TarInfo:
    """Return a member of an archive without setuid, setgid and sticky bits, which tar -p would set."""
    if found is None:  # a socket
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    found.mode &= 0o777
    return found


def explain_tar(output: str, status: int, target: str) -> str:
    """Return one line for the output of tar, or of ssh under it."""
    return _explain("tar", output, status, target, bool)
