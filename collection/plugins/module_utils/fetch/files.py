# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on this host that the controller may fetch: found by name or glob, with their digests, and read in pieces.

Names are text relative to a directory, as `shared/manifest` has it. A glob follows no link. A name may be that of a
link, as long as it stays in the directory that bounds the request.
"""

from __future__ import annotations

import os
import stat

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import beneath, patterns
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.manifest import printable, to_bytes, to_text

_BLOCK = 1024 * 1024  # bytes of a file in memory at a time
_LARGE = 64 * 1024 * 1024  # bytes from which on the hashing of a file is reported


class Folder:
    """A directory whose files are asked for; a context manager that holds its descriptor.

    Args:
        path: of the directory; links on the way to it are followed as far as `bounds` lets them.
        bounds: path of the directory that no link may lead out of; "" for `path` itself.
    """

    def __init__(self, path, bounds):
        self.path = path
        self._bounds = bounds or path
        self._limit = -1
        self._fd = -1

    def __enter__(self):
        real_limit = os.path.realpath(to_bytes(self._bounds))
        try:
            self._limit = os.open(real_limit, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise self._refusal("", exc, self._bounds) from None
        try:
            self._fd = beneath.open_folder(self._limit, self._inside(to_bytes(self.path), self.path))
        except OSError as exc:
            os.close(self._limit)
            raise self._refusal("", exc, self.path) from None
        except CallFailed:
            os.close(self._limit)
            raise
        return self

    def __exit__(self, *_error):
        os.close(self._fd)
        os.close(self._limit)

    def find(self, pattern):
        """Return the names of the files that a glob or a name stands for; raise CallFailed when there is none."""
        if not any(map(patterns.is_glob, pattern)):
            return [self._named(pattern[0])]
        found = list(self._walk(pattern))
        if not found:
            raise CallFailed("%s matches no file" % self._shown("/".join(pattern)))
        return sorted(found)

    def open(self, name):
        """Return a descriptor of a file, and its status."""
        names = to_bytes(name).split(b"/")
        try:
            try:
                return beneath.open_file(self._fd, names)
            except beneath.LinkInTheWay:
                full = os.path.join(to_bytes(self.path), *names)
                return beneath.open_file(self._limit, self._inside(full, self._path_of(name)))
        except OSError as exc:
            raise self._refusal(name, exc) from None

    def _named(self, name):
        found = beneath.status(self._fd, to_bytes(name))
        shown = self._shown(name)
        if found is None:
            raise CallFailed("%s is not there" % shown)
        if stat.S_ISDIR(found.st_mode):
            raise CallFailed("%s is not a file; a directory is fetched as %s/**" % (shown, shown))
        os.close(self.open(name)[0])
        return name

    def _walk(self, pattern):
        """Yield the names of the regular files that match a glob, in no order."""
        deepest, hidden, count = patterns.depth(pattern), patterns.sees_hidden(pattern), 0
        waiting = [[]]
        while waiting:
            above = waiting.pop()
            for name, is_folder, is_file in self._list(above):
                names = [*above, name]
                if is_file and patterns.matches(pattern, names):
                    count += 1
                    if count > patterns.MOST:
                        raise CallFailed("%s matches more than %d files" % (self._shown("/".join(pattern)), patterns.MOST))
                    yield "/".join(names)
                elif is_folder and (hidden or not name.startswith(".")) and _leads_on(pattern, names, deepest):
                    waiting.append(names)

    def _list(self, names):
        """Return (name, whether it is a directory, whether a regular file) of all that is in a directory."""
        path = "/".join(names)
        try:
            fd = beneath.open_folder(self._fd, [to_bytes(name) for name in names])
            try:
                with os.scandir(fd) as items:
                    kinds = [(item.name, item.is_dir(follow_symlinks=False), item.is_file(follow_symlinks=False)) for item in items]
            finally:
                os.close(fd)
        except OSError as exc:
            if names and isinstance(exc, (FileNotFoundError, beneath.LinkInTheWay)):
                return []  # the job goes on, and has removed or replaced it
            raise self._refusal(path, exc) from None
        # By a descriptor names are text, in the locale's encoding.
        return [(to_text(os.fsencode(name)), is_folder, is_file) for name, is_folder, is_file in kinds]

    def _inside(self, path, shown):
        """Return the names that lead from the bounds to where a path really is; raise CallFailed when it is outside."""
        limit, real = os.path.realpath(to_bytes(self._bounds)), os.path.realpath(path)
        relative = os.path.relpath(real, limit)
        if relative.partition(b"/")[0] == b"..":
            place, bounds = printable(to_text(real)), printable(self._bounds)
            raise CallFailed("%s leads by a link to %s, which is outside of %s; ask for that path" % (printable(shown), place, bounds))
        return [] if relative == b"." else relative.split(b"/")

    def _path_of(self, name):
        return os.path.join(self.path, name) if name else self.path

    def _shown(self, name):
        return printable(self._path_of(name))

    def _refusal(self, name, exc, path=None):
        if isinstance(exc, FileNotFoundError):
            return CallFailed("%s is not there" % printable(path or self._path_of(name)))
        return CallFailed("cannot read %s: %s" % (printable(path or self._path_of(name)), exc.strerror or exc))


def _leads_on(pattern, names, deepest):
    """Return whether files below a directory may match."""
    return deepest is None or (len(names) < deepest and patterns.matches(pattern[: len(names)], names))


def describe(agent, folder, name):
    """Return [name, size in bytes, whether its owner may execute it, SHA-256 in hex] of a file."""
    import hashlib

    fd, found = folder.open(name)
    try:
        if found.st_size >= _LARGE:
            agent.progress("hashing %s" % name)
        digest, left = hashlib.sha256(), found.st_size
        while left > 0:
            block = os.read(fd, min(left, _BLOCK))
            if not block:
                break  # it has become shorter, which shows when it is read
            digest.update(block)
            left -= len(block)
    finally:
        os.close(fd)
    return [name, found.st_size, bool(found.st_mode & stat.S_IXUSR), digest.hexdigest()]


def read(folder, name, offset, length):
    """Return bytes of a file; fewer when it has become shorter."""
    fd = folder.open(name)[0]
    try:
        found = b""
        while len(found) < length:
            block = os.pread(fd, length - len(found), offset + len(found))
            if not block:
                break
            found += block
        return found
    finally:
        os.close(fd)
