# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory on the controller that files are fetched to.

Names come from hosts, and what is in the directory may have been put there by anybody. So each file is opened name by
name from a descriptor of the directory, through no link, written under a name of its own, and renamed when its content
is proved. Directories get mode 0700, files 0600, or 0700 when they are executable, under any umask.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from ...module_utils.shared import beneath
from ...module_utils.shared.manifest import printable, to_bytes
from ...module_utils.shared.names import RESULTS

_FOLDER, _FILE, _EXECUTABLE = 0o700, 0o600, 0o700
_BLOCK = 1024 * 1024  # bytes
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Place = Sequence[str]  # names below the directory


class NotWritten(Exception):
    """A file could not be written here; the text names it and says why."""


class NotAsReported(Exception):
    """The content that came is not the one that was announced."""


class Destination:
    """A directory that files are fetched to; a context manager.

    Args:
        path: of the directory; links on the way to it are followed, as they were named by the user.
        check: make and change nothing.
        apart: a directory that is made here is no part of a project that it is in.
    """

    def __init__(self, path: str, *, check: bool = False, apart: bool = False) -> None:
        self.path = path
        self._check = check
        self._apart = apart
        self._fd = -1
        self._taken: dict[tuple[int, int], str] = {}  # names of files by device and inode

    def __enter__(self) -> Self:
        there = self.path
        missing: list[str] = []
        while not os.path.lexists(there):
            there, name = os.path.split(there)
            missing.insert(0, name)
        try:
            fd = os.open(there, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if missing and self._check:
                os.close(fd)
                return self
            try:
                self._fd = beneath.open_folder(fd, missing, _FOLDER)
            finally:
                os.close(fd)
            if missing and self._apart:
                os.close(os.open(RESULTS, _FRESH, _FILE, dir_fd=self._fd))
        except OSError as exc:
            raise NotWritten(f"cannot write to {printable(self.path)} here: {exc.strerror}") from None
        return self

    def __exit__(self, *_error: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    @property
    def free(self) -> int:
        """Bytes that this user can still write here."""
        found = os.fstatvfs(self._fd)
        return found.f_bavail * found.f_frsize

    def exists(self, place: Place) -> bool:
        """Return whether something has this name here."""
        if self._fd < 0:
            return False
        names = [to_bytes(name) for name in place]
        try:
            with _descriptor(beneath.open_folder(self._fd, names[:-1])) as folder:
                return beneath.status(folder, names[-1]) is not None
        except OSError:
            return False

    def has(self, place: Place, size: int, sha256: str) -> bool:
        """Return whether a regular file with this content is here."""
        if self._fd < 0:
            return False
        try:
            fd, found = beneath.open_file(self._fd, [to_bytes(name) for name in place])
        except OSError:
            return False
        with _descriptor(fd):
            same = found.st_size == size and _digest(fd) == sha256
        if same and found.st_nlink == 1:
            self._taken[found.st_dev, found.st_ino] = "/".join(place)
        return same

    def write(self, place: Place, content: Iterable[bytes], sha256: str, *, executable: bool) -> None:
        """Write a file, whole or not at all.

        Args:
            place: of the file. A link that has its name is replaced, not followed.
            content: its bytes.
            sha256: of these.
            executable: whether its owner may execute it.

        Raises:
            NotAsReported: the content has another digest.
            NotWritten: it cannot be written.
        """
        with _descriptor(self._folder_of(place)) as folder:
            try:
                self._write(folder, to_bytes(place[-1]), place, content, sha256, executable)
            except OSError as exc:
                raise self._failure(place, exc.strerror or str(exc)) from None

    def _folder_of(self, place: Place) -> int:
        """Return a descriptor of the directory that a file goes to; it is made when it is missing."""
        try:
            fd: int = beneath.open_folder(self._fd, [to_bytes(name) for name in place[:-1]], _FOLDER)
            return fd
        except OSError as exc:
            raise self._failure(place, f"{printable(self._path_of([exc.filename]))}: {exc.strerror}") from None

    def _failure(self, place: Place, reason: str) -> NotWritten:
        return NotWritten(f"cannot write {printable(self._path_of(place))} here: {reason}")

    def _write(self, folder: int, name: bytes, place: Place, content: Iterable[bytes], sha256: str, executable: bool) -> None:
        fresh = b".mlxlaunch-" + secrets.token_hex(8).encode()
        fd = os.open(fresh, _FRESH, _FILE, dir_fd=folder)
        try:
            with _descriptor(fd):
                if _copy(fd, content) != sha256:
                    raise NotAsReported
                os.fchmod(fd, _EXECUTABLE if executable else _FILE)
                found = os.fstat(fd)
            self._take(folder, name, place, (found.st_dev, found.st_ino))
            os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(fresh, dir_fd=folder)
            raise

    def _take(self, folder: int, name: bytes, place: Place, inode: tuple[int, int]) -> None:
        """Note the file of a name; raise NotWritten when another one has it already, on a disk that ignores case."""
        there, own = beneath.status(folder, name), "/".join(place)
        other = self._taken.get((there.st_dev, there.st_ino), own) if there else own
        if other != own:
            raise NotWritten(f"two files would be one in {printable(self.path)}: {printable(other)} and {printable(own)}")
        self._taken[inode] = own

    def _path_of(self, place: Place) -> str:
        return "/".join((self.path.rstrip("/"), *place))


@contextlib.contextmanager
def _descriptor(fd: int) -> Iterator[int]:
    """Close a descriptor in the end."""
    try:
        yield fd
    finally:
        os.close(fd)


def _digest(fd: int) -> str:
    digest = hashlib.sha256()
    while block := os.read(fd, _BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _copy(fd: int, content: Iterable[bytes]) -> str:
    """Write the content and return its digest."""
    digest = hashlib.sha256()
    for data in content:
        digest.update(data)
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
    return digest.hexdigest()
