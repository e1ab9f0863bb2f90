# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a record, which grow by whole pieces only, and of which only some are open."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import OrderedDict
from pathlib import Path

from ..writer import write_all

#: Files of a record that are open at the same time. A job of 512 ranks has 1025.
OPEN_FILES = 64
_TOO_MANY = (errno.EMFILE, errno.ENFILE)


class RecordFiles:
    """Files of one directory that only grow. A piece is there whole or not at all, whatever the disk does.

    Args:
        folder: the directory.
        limit: the number of files that are open at the same time.
    """

    def __init__(self, folder: Path, limit: int = OPEN_FILES) -> None:
        self._folder = folder
        self._limit = limit
        self._open: OrderedDict[str, int] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._torn: set[str] = set()  # with a part of a piece at the end

    def size(self, name: str) -> int:
        """Return the number of bytes of a file that were written in whole pieces."""
        return self._sizes.get(name, 0)

    def append(self, name: str, data: bytes) -> None:
        """Append a piece; none, to let the file be there.

        Raises:
            OSError: nothing of it is there now, or will be after the next piece.
        """
        fd = self._descriptor(name)
        self._mend(fd, name)
        self._torn.add(name)
        try:
            write_all(fd, data)
        except OSError:
            with contextlib.suppress(OSError):
                self._mend(fd, name)
            raise
        self._torn.discard(name)
        self._sizes[name] += len(data)

    def replace(self, name: str, data: bytes) -> None:
        """Write a file in place of an earlier one of that name.

        Raises:
            OSError: the earlier one is there still.
        """
        path, fresh = self._folder / name, self._folder / f".{name}.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, data)
            fresh.replace(path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)

    def duplicate(self, name: str) -> int:
        """Return a descriptor of a file for somebody else, who closes it."""
        return os.dup(self._descriptor(name))

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._close_oldest()

    def _mend(self, fd: int, name: str) -> None:
        if name in self._torn:
            os.ftruncate(fd, self._sizes[name])
            self._torn.discard(name)

    def _descriptor(self, name: str) -> int:
        fd = self._open.pop(name, -1)
        if fd < 0:
            while len(self._open) >= self._limit:
                self._close_oldest()
            fd = self._opened(name)
        self._open[name] = fd  # the last one to be closed
        return fd

    def _opened(self, name: str) -> int:
        """Open a file, at the cost of others when this process has too many."""
        path = self._folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except OSError as exc:
                if exc.errno not in _TOO_MANY or not self._open:
                    raise
                self._close_oldest()
            else:
                # Somebody may have cut or removed it: a place in it is one that is there.
                self._sizes[name] = min(self.size(name), os.fstat(fd).st_size)
                return fd

    def _close_oldest(self) -> None:
        _name, fd = self._open.popitem(last=False)
        with contextlib.suppress(OSError):
            os.close(fd)
