# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: the versions of a project that are on it.

<root>/projects/<name>/<digest>/              a version, <digest> being the short form
<root>/projects/<name>/.<digest>.json         what is in it; written last, so without it there is no version
<root>/projects/<name>/.<digest>.lock         see _lock.py
<root>/projects/<name>/.part-<digest>/        a transfer in progress, or one that broke off; the next removes it
<root>/projects/<name>/<digest>.edited-<UTC>/ a version that somebody edited by hand, kept when it was made again
"""

from __future__ import annotations

import json
import os
import re
import stat

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _lock as lock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _manifest as manifest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._folders import names_files, remove_tree, write_file
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._manifest import printable, short, to_bytes

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z")
_DIGEST = re.compile(r"(?:[0-9a-f]{%d}(?:[0-9a-f]{%d})?)?\Z" % (manifest.SHORT, 64 - manifest.SHORT))
_VERSION = re.compile(r"[0-9a-f]{%d}\Z" % manifest.SHORT)
_HIDDEN = re.compile(r"\.(?:part-)?([0-9a-f]{%d})(?:\.lock|\.json|\.json\.new)?\Z" % manifest.SHORT)


class StoreError(Exception):
    """The store cannot do what was asked for; the text says what, where, and what to do."""


class Version:
    """Where one version of a project is on this host."""

    def __init__(self, root, name, digest):
        if not _NAME.match(name):
            raise StoreError("%r cannot be the name of a project: want letters, digits, '.', '_', '-', the first no '.' or '-'" % name)
        if not _DIGEST.match(digest):
            raise StoreError("%r is not a digest" % digest)
        self.digest = digest
        self.folder = os.path.join(root, "projects", name)
        self.tree = os.path.join(self.folder, short(digest))
        self.staging = os.path.join(self.folder, ".part-" + short(digest))
        self.record = os.path.join(self.folder, ".%s.json" % short(digest))

    def read(self):
        """Return the Tree that was recorded when this version was made, or None."""
        try:
            with open(self.record, encoding="ascii") as file:
                data = json.load(file)
            entries = manifest.from_columns(data["entries"])
            files = [entry for entry in entries if entry.kind == "file"]
            marks = {entry.path: (entry.size, entry.mtime_ns, inode) for entry, inode in zip(files, data["inodes"])}
            # A directory has the short form of a digest only: two that share it are told apart here.
            return manifest.Tree(entries, marks) if data["digest"].startswith(self.digest) else None
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
            return None  # not there, or not what `write` writes

    def write(self, tree):
        """Record what is in this version, which thereby is complete."""
        inodes = [tree.signatures[entry.path][2] for entry in tree.entries if entry.kind == "file"]
        data = {"digest": self.digest, "entries": manifest.to_columns(tree.entries), "inodes": inodes}
        write_file(self.record, json.dumps(data).encode("ascii"))


@names_files
def state(root, name, digest):
    """Return what is known of a version without changing anything: {"state": ..., "path": ..., "edited": [path, ...]}.

    State is "present", "edited" (what differs is listed), or "absent". A file is read only when its size, time or
    inode tell that something happened to it. Files that a job has written beside are nobody's business.
    """
    version = Version(root, name, digest)
    recorded = version.read() if os.path.isdir(version.tree) else None
    edited = _edited(version.tree, recorded) if recorded else []
    return {"state": "edited" if edited else "present" if recorded else "absent", "path": version.tree, "edited": edited}


def _edited(tree, recorded):
    """Return the paths that are not as they were recorded, as far as content, mode and kind go."""
    known = _known(recorded)
    base = to_bytes(os.path.join(tree, ""))
    return [entry.path for entry in recorded.entries if not is_unchanged(base, entry, known)]


def is_unchanged(base, entry, known):
    """Return whether a path is there with the content, mode and kind of an entry; see `manifest.look`."""
    try:
        found, _mark = manifest.look(base, entry.path, known)
    except (FileNotFoundError, NotADirectoryError, manifest.Changed):
        return False
    return not manifest.what_changed(entry, found)


def _known(tree):
    return {entry.path: (tree.signatures[entry.path], entry.content) for entry in tree.entries if entry.kind == "file"}


def versions(folder):
    """Return the short digests of a project's versions, the newest first."""
    found = []
    for name in os.listdir(folder):
        if _VERSION.match(name):
            try:
                found.append((os.stat(os.path.join(folder, ".%s.json" % name)).st_mtime_ns, name))
            except FileNotFoundError:
                continue
    return [name for _time, name in sorted(found, reverse=True)]


@names_files
def prune(root, name, keep, current):
    """Remove old versions of a project, and what broken transfers left behind.

    Args:
        keep: how many versions stay beside the current one, the newest.
        current: digest of the version that stays in any case, "" for none.

    Returns:
        {"removed": [short digest, ...], "kept": {short digest: why it stays although it is old}}.
        A version stays that a job uses, that holds files a job has written, or that was edited by hand.
    """
    folder = Version(root, name, current).folder
    if not os.path.isdir(folder):
        return {"removed": [], "kept": {}}
    others = [each for each in versions(folder) if each != short(current)]
    removed, kept = [], {}
    for each in others[keep:]:
        reason = _with_lock(Version(root, name, each), _remove_version)
        if reason:
            kept[each] = reason
        else:
            removed.append(each)
    for each in sorted({match.group(1) for match in map(_HIDDEN.match, os.listdir(folder)) if match}):
        if not os.path.lexists(os.path.join(folder, each)):
            _with_lock(Version(root, name, each), _remove_leftovers)
    return {"removed": removed, "kept": kept}


def _with_lock(version, do):
    """Do something to a version that nobody uses; return why not, or what `do` returns. A lock without version goes."""
    try:
        fd = lock.try_exclusive(version.tree)
    except PermissionError:
        return "of another user"
    if fd < 0:
        return "in use"
    try:
        reason = do(version)
    except PermissionError as exc:
        reason = "cannot be removed: %s" % exc.strerror
    except BaseException:
        lock.release(fd)
        raise
    if os.path.lexists(version.tree):
        lock.release(fd)
    else:
        lock.remove(version.tree, fd)
    return reason


def _remove_version(version):
    recorded = version.read()
    if recorded is None:
        return "without a readable record"
    if _edited(version.tree, recorded):
        return "edited by hand"
    written = _written(version.tree, recorded)
    if written:
        return "holds what a job has written: %s" % printable(written)
    # First out of the way, whole: one that breaks off half way leaves no half version.
    remove_tree(version.staging)
    os.rename(version.tree, version.staging)
    _remove_leftovers(version)
    return ""


def _written(tree, recorded):
    """Return a file that is not part of the version, or ""; what Python and the Finder leave everywhere does not count."""
    wanted = {entry.path for entry in recorded.entries}
    base = to_bytes(os.path.join(tree, ""))
    for path in manifest.walk(tree):
        if path not in wanted and not _is_cache(path) and not stat.S_ISDIR(os.lstat(base + to_bytes(path)).st_mode):
            return path
    return ""


def _is_cache(path):
    folder, name = os.path.split(path)
    return name == ".DS_Store" or (os.path.basename(folder) == "__pycache__" and ".pyc" in name)


def _remove_leftovers(version):
    for path in (version.record, version.record + ".new", version.staging):
        remove_tree(path)
