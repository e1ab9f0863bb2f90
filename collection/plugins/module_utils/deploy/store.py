# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transfer of a new version of a project to this host. For the layout see versions.py.

A transfer is `begin`, then the sending of the files, or `receive` when they are few, then `commit` or else `abort`. All
of it is one process, which holds the lock. A transfer that breaks off leaves the earlier version or the new one, whole.
Modes need not be sent, nor times to the nanosecond: `commit` sets them.
"""

from __future__ import annotations

import os
import stat
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.file_copy import copy_file, read_all
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.removal import remove_tree
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.versions import StoreError, Version, is_unchanged, state, versions
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock as lock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import ownership
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.folders import (
    PRIVATE,
    make_file,
    make_folders,
    names_files,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.manifest import short, to_bytes

HOUR = 3600 * 10**9
SMALL = 128 * 1024  # bytes of a file that goes through memory: a clone of it takes longer, and is read again
_OPEN = {}  # the transfers this process has begun: {tree: Transfer}


class Mismatch(StoreError):
    """The files that arrived are not those that were to be sent."""


@names_files
def begin(root, name, digest, wanted, progress=None):
    """Begin to make a version: hold its lock, and prepare a directory with all that this host has already.

    Args:
        wanted: its entries, as `manifest.pack` makes a text of them.
        progress: called with a line of text while another deploy is at work on the same version.

    Returns:
        {"state": "present", "path"} when there is nothing to do (any more), or {"state": "begun", "path", "staging":
        directory for the files, "send": number of files that are missing there or different, "bytes": their size,
        "reused": files}.

    Raises:
        lock.InUse: the version has been edited by hand, and a running job uses it.
        OSError: naming what cannot be read or made.
    """
    entries = manifest.unpack(wanted)
    if manifest.digest(entries) != digest:
        raise StoreError("the list of files of project %s does not have the digest %s" % (name, digest))
    version = Version(root, name, digest)
    abort(root, name, digest)
    make_folders(root)
    make_folders(version.folder, PRIVATE)
    try:
        fd = lock.exclusive(version.tree, progress)
    except lock.InUse:
        # By a job of the deploy that was waited for, maybe.
        if state(root, name, digest)["state"] == "present":
            return {"state": "present", "path": version.tree}
        raise
    transfer = Transfer(version, fd, entries)
    try:
        if state(root, name, digest)["state"] == "present" or transfer.adopt():
            transfer.end()
            return {"state": "present", "path": version.tree}
        transfer.prepare()
    except BaseException:
        transfer.end()
        raise
    _OPEN[version.tree] = transfer
    return transfer.summary()


def pending(root, name, digest):
    """Return the paths of the files that a transfer has to send; rsync finds them out by itself."""
    return _OPEN[Version(root, name, digest).tree].send


@names_files
def receive(root, name, digest, contents):
    """Make all files that a transfer has to send from their contents: {path: bytes in base64}."""
    _OPEN[Version(root, name, digest).tree].receive(contents)


@names_files
def commit(root, name, digest):
    """End a transfer: prove that the files are those that were wanted, and put them into their place.

    Returns:
        {"path": the version's directory, "aside": where the edited one is that was there before, or ""}.

    Raises:
        Mismatch: something else has arrived. The transfer is still open: send again what has changed, or `abort`.
        OSError: naming what cannot be read or made.
    """
    version = Version(root, name, digest)
    aside = _OPEN[version.tree].commit()
    _OPEN.pop(version.tree).end()
    return {"path": version.tree, "aside": aside}


def abort(root, name, digest):
    """Give up a transfer, if there is one, and remove its files."""
    transfer = _OPEN.pop(Version(root, name, digest).tree, None)
    if transfer:
        transfer.end()


class Transfer:
    """A version in the making; the lock is held.

    Attributes:
        send: paths of files that are not there yet, or not as they should be.
    """

    def __init__(self, version, fd, entries):
        self.version = version
        self.send = []
        self._fd = fd
        self._entries = entries
        self._known = {}  # files that were copied and read, and so need not be read again
        self._settled = False  # all that is there is ours, with the mode and time it is to have
        self._reused = 0
        self._bytes = 0

    def adopt(self):
        """Return whether the directory is there, complete, and only its record is missing; then write it.

        One whose files have a second name is not taken: what changes under that name would change here.
        """
        if self.version.read() or not os.path.isdir(self.version.tree):
            return False
        base = to_bytes(os.path.join(self.version.tree, ""))
        if not all(is_unchanged(base, entry, {}) and not _is_shared(base, entry) for entry in self._entries):
            return False
        self.version.write(manifest.scan(self.version.tree, [entry.path for entry in self._entries]))
        return True

    def prepare(self):
        """Make the staging directory, and fill it with the files of earlier versions."""
        remove_tree(self.version.staging)
        os.mkdir(self.version.staging, PRIVATE)
        base = to_bytes(os.path.join(self.version.staging, ""))
        earlier = _earlier(self.version)
        for entry in sorted(self._entries):
            try:
                self._make(base + to_bytes(entry.path), entry, earlier)
            except FileExistsError:
                # Two names that are one to this file system, which does not tell a from A: commit says it.
                continue

    def _make(self, path, entry, earlier):
        if entry.kind == "dir":
            os.mkdir(path, entry.mode | 0o700)
        elif entry.kind == "link":
            os.symlink(to_bytes(entry.content), path)
        elif any(source.reuse(path, entry, self._known) for source in earlier):
            self._reused += 1
        else:
            self.send.append(entry.path)
            self._bytes += entry.size
            for source in earlier:
                if source.lend(path, entry):
                    break

    def summary(self):
        """Return the files to send; see `begin`."""
        return {
            "state": "begun",
            "path": self.version.tree,
            "staging": self.version.staging,
            "send": len(self.send),
            "bytes": self._bytes,
            "reused": self._reused,
        }

    def receive(self, contents):
        """Make the files that are missing or different; see the function of this name."""
        import base64

        base = to_bytes(os.path.join(self.version.staging, ""))
        wanted = {entry.path: entry for entry in self._entries}
        for path in self.send:
            remove_tree(base + to_bytes(path))
            make_file(base + to_bytes(path), base64.b64decode(contents[path]), wanted[path].mode, wanted[path].mtime_ns)
        self._settled = True

    def commit(self):
        """Put the files that have arrived into their place; return the new path of an edited version, or ""."""
        base = to_bytes(os.path.join(self.version.staging, ""))
        folders = {entry.path: entry for entry in self._entries if entry.kind == "dir"}
        if not self._settled:
            self._settle(base, folders)
        self._settled = False  # what is wrong in spite of it, somebody may send again
        found, marks = manifest.scan(self.version.staging, None, self._known)
        # The mode of a directory comes last: one that is closed could not be sent to again.
        found = [folders.get(entry.path, entry) if entry.kind == "dir" else entry for entry in found]
        if manifest.digest(found) != self.version.digest:
            difference = manifest.compare(self._entries, found)
            if {what for _path, what in difference.changed} == {"mode"} and not (difference.missing or difference.extra):
                raise Mismatch("%s: its file system keeps no permissions; set mlx_root (--root) to one that does" % self.version.tree)
            said = manifest.describe(difference)
            raise Mismatch("%s: what arrived is not what was to be sent, it was changed meanwhile: %s" % (self.version.tree, said))
        for path in sorted(folders, reverse=True):
            os.chmod(base + to_bytes(path), folders[path].mode)
        aside = _move_aside(self.version.tree)
        os.rename(self.version.staging, self.version.tree)
        self.version.write(manifest.Tree(found, marks))
        return aside

    def _settle(self, base, folders):
        """Remove files that do not belong here; set modes and times, which not every way of sending keeps exactly."""
        for path in sorted(folders):
            _set_attributes(base + to_bytes(path), folders[path]._replace(mode=folders[path].mode | 0o700))
        wanted = {entry.path for entry in self._entries}
        for path in list(manifest.walk(self.version.staging)):
            if path not in wanted:
                remove_tree(base + to_bytes(path))
        for entry in self._entries:
            if entry.kind == "file":
                _set_attributes(base + to_bytes(entry.path), entry)

    def end(self):
        """Remove the rest of this transfer, or of an earlier one, and release the lock."""
        try:
            remove_tree(self.version.staging)
            remove_tree(self.version.record + ".new")
        finally:
            lock.release(self._fd)


def _is_shared(base, entry):
    return entry.kind == "file" and os.lstat(base + to_bytes(entry.path)).st_nlink > 1


def _set_attributes(path, entry):
    try:
        found = os.lstat(path)
    except OSError:
        return  # missing: the comparison names it
    kind = stat.S_ISDIR if entry.kind == "dir" else stat.S_ISREG
    if not kind(found.st_mode):
        return
    if entry.kind == "file" and found.st_mtime_ns != entry.mtime_ns:
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
    # A directory may have got the group of the one above it, and that bit, by the rules of the file system.
    kept = 0o7777 if entry.kind == "file" else 0o777
    if found.st_mode & kept != entry.mode:
        os.chmod(path, entry.mode)


def _move_aside(tree):
    """Rename a directory that was edited by hand; return its new path, or "" when there is none."""
    if not os.path.lexists(tree):
        return ""
    aside = tree + time.strftime(".edited-%Y%m%dT%H%M%SZ", time.gmtime())
    while os.path.lexists(aside):
        aside += "+"
    os.rename(tree, aside)
    return aside


def _earlier(version):
    """Return where files can come from: this version if it was edited, and the newest of the others."""
    others = [other for other in versions(version.folder) if other != short(version.digest)]
    root, name = os.path.dirname(os.path.dirname(version.folder)), os.path.basename(version.folder)
    found = []
    for each in [version, *(Version(root, name, other) for other in others[:1])]:
        recorded = each.read() if ownership.is_own(each.tree) and ownership.is_own(each.record) else None
        if recorded:
            found.append(Source(each.tree, recorded))
    return found


class Source:
    """An earlier version, as a source of files for a new one."""

    def __init__(self, tree, recorded):
        self._base = to_bytes(os.path.join(tree, ""))
        self._recorded = recorded
        self._by_path = {entry.path: entry for entry in recorded.entries if entry.kind == "file"}
        self._by_content = {entry.content: entry for entry in self._by_path.values()}

    def reuse(self, path, wanted, known):
        """Put a file with the wanted content at `path`; return whether there is one.

        It is a copy, which no job of the other version can change, and what is in it was read: whatever a job has done
        to the other one, before or at this moment, what is here has the wanted content.
        """
        entry = self._by_path.get(wanted.path)
        if entry is None or entry.content != wanted.content:
            entry = self._by_content.get(wanted.content)  # it has been renamed
        if entry is None or not self._is_as_recorded(entry):
            return False
        copy = _copy_small if wanted.size <= SMALL else _copy_large
        found = copy(self._base + to_bytes(entry.path), path, wanted)
        if found is None:
            return False
        known[wanted.path] = (manifest.signature(found), wanted.content)
        return True

    def lend(self, path, wanted):
        """Put the earlier content of a file at `path`, for a transfer of differences; return whether there is one."""
        if wanted.path not in self._by_path:
            return False
        # Of another time for certain: with the same time and size, rsync would take it for the file that is wanted.
        return _try_copy(self._base + to_bytes(wanted.path), path, 0o600, wanted.mtime_ns + HOUR)

    def _is_as_recorded(self, entry):
        try:
            found = os.lstat(self._base + to_bytes(entry.path))
        except OSError:
            return False
        if found.st_uid != os.geteuid():
            return False  # its owner can change it at any time
        unchanged = manifest.signature(found) == self._recorded.signatures[entry.path]
        return unchanged and stat.S_ISREG(found.st_mode) and found.st_mode & 0o777 == entry.mode


def _copy_small(source, path, wanted):
    """Write the bytes of a file to `path` if they are the wanted ones; return its `os.lstat`, else None."""
    import hashlib

    try:
        data = read_all(source, wanted.size)
    except (FileNotFoundError, NotADirectoryError):
        return None  # as in `_try_copy`
    if data is None or hashlib.sha256(data).hexdigest() != wanted.content:
        return None
    make_file(path, data, wanted.mode, wanted.mtime_ns)
    return os.lstat(path)


def _copy_large(source, path, wanted):
    """Copy a file to `path` and read what is there; return its `os.lstat`, None unless it is the wanted one."""
    if not _try_copy(source, path, wanted.mode, wanted.mtime_ns):
        return None
    found = os.lstat(path)
    if manifest.hash_file(path, wanted.path, found) != wanted.content or found.st_size != wanted.size:
        os.unlink(path)
        return None
    return found


def _try_copy(source, path, mode, mtime_ns):
    try:
        if not stat.S_ISREG(os.lstat(source).st_mode):
            return False
        copy_file(source, path, mode, mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return False  # edited away, or removed meanwhile with the whole version
    return True
