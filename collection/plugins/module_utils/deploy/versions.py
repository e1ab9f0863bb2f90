# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of a project on this host.

<root>/projects/<name>/<digest>/              a version, <digest> being the short form
<root>/projects/<name>/.<digest>.json         what is in it; written last, so without it there is no version
<root>/projects/<name>/.<digest>.lock         see host/flock.py
<root>/projects/<name>/.part-<digest>/        a transfer in progress, or one that broke off; the next removes it
<root>/projects/<name>/<digest>.edited-<UTC>/ a version that somebody edited by hand, kept when it was made again
"""

from __future__ import annotations

import os
import stat

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.folders import names_files, write_file
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import plain_json
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.manifest import short, to_bytes, to_text

# No regular expressions: `re` costs an agent more at its start than all that it does when nothing has changed.
_HEX = frozenset("0123456789abcdef")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_LONGEST_NAME = 100
_DIGITS = (0, manifest.SHORT, 64)  # of no digest, its short form, and all of it
_MODULES = (b".py", b".so", b".pyc")  # suffixes of what Python imports


class StoreError(Exception):
    """The store cannot carry out a request; the text names the request, the place and the remedy."""


class Version:
    """Where one version of a project is on this host."""

    def __init__(self, root, name, digest):
        if not _is_name(name):
            raise StoreError("%r cannot be the name of a project: want letters, digits, '.', '_', '-', the first no '.' or '-'" % name)
        if len(digest) not in _DIGITS or not _HEX.issuperset(digest):
            raise StoreError("%r is not a digest" % digest)
        self.digest = digest
        self.folder = os.path.join(root, "projects", name)
        self.tree = os.path.join(self.folder, short(digest))
        self.staging = os.path.join(self.folder, ".part-" + short(digest))
        self.record = os.path.join(self.folder, ".%s.json" % short(digest))

    def read(self):
        """Return the Tree that was recorded when this version was made, or None."""
        try:
            with open(self.record, "rb") as file:
                data = plain_json.loads(file.read().decode("ascii"))
            entries = manifest.from_columns(data["entries"])
            files = [entry for entry in entries if entry.kind == "file"]
            rest = zip(files, data["inodes"], data["ctimes"])
            marks = {entry.path: (entry.size, entry.mtime_ns, inode, ctime) for entry, inode, ctime in rest}
            # A directory has the short form of a digest only: two that share it are told apart here.
            return manifest.Tree(entries, marks) if data["digest"].startswith(self.digest) else None
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None  # not there, or not what `write` writes

    def write(self, tree):
        """Record the content of this version, which thereby is complete."""
        marks = [tree.signatures[entry.path] for entry in tree.entries if entry.kind == "file"]
        data = {"digest": self.digest, "entries": manifest.to_columns(tree.entries)}
        data.update(inodes=[mark[2] for mark in marks], ctimes=[mark[3] for mark in marks])
        write_file(self.record, plain_json.dumps(data).encode("ascii"), 0o600)


def _is_name(text):
    """Return whether a text can name a project: short, of plain letters, neither hidden nor like an option."""
    return 0 < len(text) <= _LONGEST_NAME and text[0] not in ".-" and _LETTERS.issuperset(text)


@names_files
def state(root, name, digest):
    """Return the state of a version without changing it: {"state", "path", "edited": [path], "extra": [path]}.

    State is "present", "edited" (what differs is listed), or "absent". A file is read only when its size, times or
    inode tell that something happened to it. Files that a job has written beside are nobody's business, but for those
    that a later job may import in place of its own: they are the extra ones.
    """
    version = Version(root, name, digest)
    recorded = version.read() if os.path.isdir(version.tree) else None
    changed = edited(version.tree, recorded) if recorded else []
    return {
        "state": "edited" if changed else "present" if recorded else "absent",
        "path": version.tree,
        "edited": changed,
        "extra": _extra_modules(version.tree, recorded) if recorded else [],
    }


def edited(tree, recorded):
    """Return the paths that are not as they were recorded, as far as content, mode and kind go."""
    known = _known(recorded)
    base = to_bytes(os.path.join(tree, ""))
    return [entry.path for entry in _touched(tree, recorded) if not is_unchanged(base, entry, known)]


def _touched(tree, recorded):
    """Return the entries that may have changed: all but the files with their signature and mode.

    It is the quick half of `edited`, for thousands of files; from a descriptor the way to each is shorter.
    """
    try:
        folder = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return recorded.entries
    found, marks = [], recorded.signatures
    try:
        for entry in recorded.entries:
            if entry.kind != "file" or not _is_untouched(folder, entry, marks[entry.path]):
                found.append(entry)
    finally:
        os.close(folder)
    return found


def _is_untouched(folder, entry, mark):
    try:
        found = os.stat(to_bytes(entry.path), dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_mode & 0o777 == entry.mode and manifest.signature(found) == mark


def _extra_modules(tree, recorded):
    """Return the modules and packages of Python that are beside those of a version, in its own directories."""
    base = to_bytes(os.path.join(tree, ""))
    wanted = {to_bytes(entry.path) for entry in recorded.entries}
    found = []
    for folder in [b"", *(to_bytes(entry.path) + b"/" for entry in recorded.entries if entry.kind == "dir")]:
        for name in _names(base + folder):
            path = folder + name
            if path not in wanted and _is_module(base + path):
                found.append(to_text(path))
    return sorted(found)


def _is_module(path):
    return path.endswith(_MODULES) or os.path.lexists(os.path.join(path, b"__init__.py"))


def _names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []  # edited away, which is told


def is_unchanged(base, entry, known):
    """Return whether a path is there with the content, mode and kind of an entry; see `manifest.look`."""
    try:
        found, _mark = manifest.look(base, entry.path, known)
    except (FileNotFoundError, NotADirectoryError, manifest.FileChanged):
        return False
    return not manifest.what_changed(entry, found)


def _known(tree):
    return {entry.path: (tree.signatures[entry.path], entry.content) for entry in tree.entries if entry.kind == "file"}


def versions(folder):
    """Return the short digests of a project's versions, the newest first."""
    found = []
    for name in os.listdir(folder):
        if len(name) == manifest.SHORT and _HEX.issuperset(name):
            try:
                found.append((os.lstat(os.path.join(folder, ".%s.json" % name)).st_mtime_ns, name))
            except FileNotFoundError:
                continue
    return [name for _time, name in sorted(found, reverse=True)]
