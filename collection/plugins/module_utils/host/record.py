# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what was there before root changed something on this host, by which that is undone.

It is for root alone to write, outside of all that is deployed, and on the disk before the change that it is about.
"""

from __future__ import annotations

import fcntl
import json
import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed

MAC_FOLDER = "/Library/Application Support/mlxlaunch"
LINUX_FOLDER = "/var/lib/mlxlaunch"
_FORMAT = 1
_PARTS = {"before", "set"}  # of an entry


class Record:
    """What was there before, by name; one program at a time has it.

    Args:
        folder: directory of records.
        kind: of what it is about, "network" for example: its file has that name.
        field: name of the data in it, "ports" for example.
        by_hand: what a person does should it be damaged.

    Attributes:
        entries: by name, "before" with what was there, and "set" with what was put in its place.
    """

    def __init__(self, folder, kind, field, by_hand):
        self._folder = folder
        self._kind = kind
        self._field = field
        self._by_hand = by_hand
        self._fd = -1
        self.entries = {}

    def __enter__(self):
        """Hold it alone.

        Raises:
            CallFailed: this is not root, or another program has it, or it cannot be used; see `read`.
        """
        if os.geteuid():
            raise CallFailed("this needs root")
        if not os.path.isdir(self._folder):
            os.makedirs(self._folder, 0o755)
        self._refuse_others(os.lstat(self._folder), self._folder)
        lock = os.path.join(self._folder, ".%s.lock" % self._kind)
        self._fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.read()
        except OSError:
            os.close(self._fd)
            raise CallFailed("another mlxlaunch changes this host just now (%s)" % self._kind) from None
        except CallFailed:
            os.close(self._fd)
            raise
        return self

    def __exit__(self, *_error):
        os.close(self._fd)

    def read(self):
        """Read it, and return it. What it says is done as root, so only root may have written it.

        Raises:
            CallFailed: somebody else could have written it, or it is damaged, or of another version.
        """
        path = self._path()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            self.entries = {}
            return self
        with os.fdopen(fd, encoding="utf-8") as source:
            for found in (os.fstat(source.fileno()), os.lstat(self._folder)):
                self._refuse_others(found, path)
            try:
                data = json.load(source)
            except ValueError:
                data = None
        if isinstance(data, dict) and data.get("format") != _FORMAT:
            raise CallFailed("%s has format %s, and this version reads %d" % (path, data.get("format"), _FORMAT))
        entries = data.get(self._field) if isinstance(data, dict) else None
        if not isinstance(entries, dict) or not all(isinstance(each, dict) and set(each) >= _PARTS for each in entries.values()):
            raise CallFailed("%s is damaged; %s, then remove it" % (path, self._by_hand))
        self.entries = entries
        return self

    @staticmethod
    def _refuse_others(found, path):
        """Raise CallFailed where somebody else may write."""
        if found.st_uid or found.st_mode & 0o022:
            raise CallFailed("%s is not root's alone, so it is not used; look at it, then remove it" % path)

    def put(self, name, entry):
        """Write an entry down; it is on the disk then."""
        self.entries[name] = entry
        self._write()

    def forget(self, name):
        """Take an entry out."""
        del self.entries[name]
        self._write()

    def _path(self):
        return os.path.join(self._folder, self._kind + ".json")

    def _write(self):
        if self.entries:
            write_lastingly(self._path(), json.dumps({"format": _FORMAT, self._field: self.entries}).encode("utf-8"))
        else:
            os.unlink(self._path())


def write_lastingly(path, data):
    """Write a file that all may read and its owner may change; it outlives a power failure from then on.

    Args:
        path: of the file.
        data: its bytes.
    """
    fresh = path + ".new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(fd, "wb") as target:
        os.fchmod(target.fileno(), 0o644)
        target.write(data)
        target.flush()
        _sync(target.fileno())
    os.replace(fresh, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # the name
    finally:
        os.close(folder)


def _sync(fd):
    """Bring a file to the disk. On a Mac fsync(2) brings it to the disk's cache only, as its manual page says."""
    os.fsync(fd)
    try:
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    except (AttributeError, OSError):
        pass  # no Mac, or a file system without it
