# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a project's tree, and the digest that proves it, for hosts and the controller.

A path is text relative to the tree. Under every locale text stands for the same bytes: UTF-8, and a surrogate for each
byte that is none (as `os.fsencode` does it). So both sides come to the same digest.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import namedtuple

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.folders import names_files

BLOCK = 1024 * 1024  # bytes of a file in memory at a time
FORMAT = "mlxlaunch tree 1"  # first in what is hashed: a later format cannot have the digest of this one
SHORT = 16  # hex digits of a digest that name a directory

# Errors of a file that has become a link, a directory or a socket since it was looked at, or is another one on a file server.
BECAME_OTHER = (errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ESTALE)

# kind: file, link, dir, or other (a socket, say). mode: permission bits of files and directories.
# size (bytes) and mtime_ns: of files. content: a file's SHA-256 in hex, a link's target, else "".
Entry = namedtuple("Entry", "path kind mode size mtime_ns content")  # noqa: PYI024 - typing is slow to import
# signatures: {path: what tells without reading that a file is unchanged}
Tree = namedtuple("Tree", "entries signatures")  # noqa: PYI024
# changed: (path, what has changed: kind, content, target or mode)
Difference = namedtuple("Difference", "missing changed extra")  # noqa: PYI024


class FileChanged(Exception):
    """A file changed while it was read; the text names it."""

    def __init__(self, path):
        super().__init__("%s changed while it was read" % printable(path))
        self.path = path


def to_bytes(path):
    """Return the bytes that a path given as text stands for."""
    return path.encode("utf-8", "surrogateescape")


def to_text(path):
    """Return a path given as bytes as text."""
    return path.decode("utf-8", "surrogateescape")


def printable(path):
    """Return a path so that it can stand in a message: on one line, nothing a terminal acts on."""
    return path if path and path.isprintable() else repr(path)


def short(digest_):
    """Return the form of a digest that names a directory."""
    return digest_[:SHORT]


def signature(found):
    """Return the signature of a file, which changes when the file does: size, mtime, inode, ctime.

    No program can set the last one.

    Args:
        found: the file's `os.lstat`.
    """
    return (found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


@names_files
def scan(root, selected=None, known=None):
    """Return the Tree of everything below a directory.

    Args:
        root: the directory, which itself is no entry.
        selected: paths to look at, when it is not everything; links are not followed.
        known: {path: (signature, SHA-256)}; a file that still has its signature is not read.

    Raises:
        FileChanged: a file changed while it was read.
        OSError: naming what cannot be read.
    """
    base = to_bytes(os.path.join(root, ""))
    entries, signatures = [], {}
    for path in walk(root) if selected is None else selected:
        entry, mark = look(base, path, known or {})
        entries.append(entry)
        if mark:
            signatures[path] = mark
    entries.sort()
    return Tree(entries, signatures)


def walk(root):
    """Yield the path of everything below a directory, a directory before its content."""
    base = to_bytes(os.path.join(root, ""))
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(base + folder) as items:
            for item in items:
                path = folder + item.name
                yield to_text(path)
                if item.is_dir(follow_symlinks=False):
                    waiting.append(path + b"/")


def look(base, path, known, place=""):
    """Return (Entry, signature) of one path; the signature of a path that is no file is None. See `scan`.

    Args:
        base: the tree as bytes, ending in a slash.
        place: absolute path of what is to be there, when it is not there itself.
    """
    try:
        return _look(to_bytes(place) or base + to_bytes(path), path, known)
    except OSError as exc:
        if exc.errno in BECAME_OTHER:
            raise FileChanged(path) from None
        raise


def _look(full, path, known):
    found = os.lstat(full)
    mode = found.st_mode
    if stat.S_ISREG(mode):
        mark = signature(found)
        before = known.get(path)
        content = before[1] if before and before[0] == mark else hash_file(full, path, found)
        return Entry(path, "file", mode & 0o777, found.st_size, found.st_mtime_ns, content), mark
    if stat.S_ISDIR(mode):
        return Entry(path, "dir", mode & 0o777, 0, 0, ""), None
    if stat.S_ISLNK(mode):
        return Entry(path, "link", 0, 0, 0, to_text(os.readlink(full))), None
    return Entry(path, "other", 0, 0, 0, ""), None


def hash_file(full, path, before):
    """Return a file's SHA-256 in hex; raise FileChanged, naming `path`, when it is not the one seen before.

    Args:
        full: where it is.
        before: its `os.lstat`.
    """
    import hashlib  # a host that has everything already never needs it

    # Never waits: what was a file may be a pipe by now.
    fd = os.open(full, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = hashlib.sha256()
        left = before.st_size
        while left > 0:
            block = os.read(fd, min(left, BLOCK))
            if not block:
                break
            found.update(block)
            left -= len(block)
        # By its path: a file that was replaced meanwhile has changed, too.
        if signature(os.lstat(full)) != signature(before):
            raise FileChanged(path)
    finally:
        os.close(fd)
    return found.hexdigest()


def digest(entries):
    """Return the SHA-256, in hex, of a tree: paths, kinds, modes, contents and targets. Times are not part of it."""
    import hashlib

    fields = [FORMAT]
    for entry in sorted(entries):
        fields += (entry.path, entry.kind, "%o" % entry.mode, entry.content)
    # No path and no target can hold a NUL, and each entry has four fields: no two trees read the same.
    return hashlib.sha256(to_bytes("\0".join(fields))).hexdigest()


def compare(wanted, found):
    """Return the Difference between two lists of entries."""
    there = {entry.path: entry for entry in found}
    missing, changed = [], []
    for entry in wanted:
        other = there.pop(entry.path, None)
        if other is None:
            missing.append(entry.path)
        elif what_changed(entry, other):
            changed.append((entry.path, what_changed(entry, other)))
    return Difference(missing, changed, sorted(there))


def what_changed(wanted, found):
    """Return the difference between two entries of one path: kind, content, target, mode, or "" for none."""
    if wanted.kind != found.kind:
        return "kind"
    if wanted.content != found.content:
        return "target" if wanted.kind == "link" else "content"
    return "mode" if wanted.mode != found.mode else ""


def describe(difference, limit=3):
    """Return a Difference as a phrase for a message, of at most `limit` paths."""
    phrases = ["%s (%s)" % (printable(path), what) for path, what in difference.changed]
    phrases += ["%s (missing)" % printable(path) for path in difference.missing]
    phrases += ["%s (not part of it)" % printable(path) for path in difference.extra]
    more = len(phrases) - limit
    return ", ".join(phrases[:limit]) + (" and %d more" % more if more > 0 else "")


def to_columns(entries):
    """Return entries as lists for JSON, a list for each field: smaller and faster than a list for each entry."""
    return dict(zip(Entry._fields, ([list(column) for column in zip(*entries)] or [[]] * len(Entry._fields))))


def from_columns(columns):
    """Return the entries that `to_columns` has turned into lists."""
    return [Entry(*row) for row in zip(*(columns[field] for field in Entry._fields))]


def pack(entries):
    """Return entries as one short text, to be sent to a host."""
    import base64
    import json
    import zlib

    # Hashes do not compress: the quickest level has found the rest.
    return base64.b64encode(zlib.compress(json.dumps(to_columns(entries)).encode("ascii"), 1)).decode("ascii")


def unpack(text):
    """Return the entries that `pack` has made a text of."""
    import base64
    import json
    import zlib

    return from_columns(json.loads(zlib.decompress(base64.b64decode(text)).decode("ascii")))
