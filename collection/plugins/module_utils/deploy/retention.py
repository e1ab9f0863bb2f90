# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The removal of old versions of a project, and the report about those that stay.

A version stays that holds a job's or a person's work: files that a job has written, edits, a copy that was edited.
"""

from __future__ import annotations

import os
import re
import stat
from collections import namedtuple

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.removal import remove_tree
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.versions import Version, edited, versions
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock as lock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.closed import user
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.folders import names_files
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.manifest import printable, short, to_bytes

_HIDDEN = re.compile(r"\.(?:part-)?([0-9a-f]{%d})(?:\.lock|\.json|\.json\.new)?\Z" % manifest.SHORT)
_EDITED = re.compile(r"[0-9a-f]{%d}\.edited-" % manifest.SHORT)
_SHOWN = 3  # paths in a message

# An old version that no prune removes. size: bytes on the disk.
Kept = namedtuple("Kept", "path reason size")  # noqa: PYI024 - typing is slow to import
# written: a file that is not part of the version, or "". foreign: its first owner who is not us, or None.
_Content = namedtuple("_Content", "size written foreign")  # noqa: PYI024


@names_files
def prune(root, name, keep, current):
    """Remove old versions of a project, and the rests of broken transfers.

    Args:
        keep: how many versions stay beside the current one, the newest.
        current: digest of the version that stays in any case, "" for none.

    Returns:
        {"removed": [short digest, ...], "in_use": [short digest, ...], "kept": [Kept, ...]}.
    """
    folder = Version(root, name, current).folder
    done = {"removed": [], "in_use": [], "kept": []}
    if not os.path.isdir(folder):
        return done
    others = [each for each in versions(folder) if each != short(current)]
    for each in others[keep:]:
        version = Version(root, name, each)
        found = _with_lock(version, _remove_version)
        if found is None:
            done["in_use"].append(each)
        elif found:
            done["kept"].append(Kept(version.tree, found, _size(version.tree)))
        else:
            done["removed"].append(each)
    for each in sorted({match.group(1) for match in map(_HIDDEN.match, os.listdir(folder)) if match}):
        if not os.path.lexists(os.path.join(folder, each)):
            _with_lock(Version(root, name, each), _remove_leftovers)
    done["kept"] += _edited_copies(folder)
    return done


@names_files
def kept(root, keep):
    """Return the old versions of all projects that no prune would remove, as [Kept, ...]; nothing is changed.

    Args:
        keep: how many versions stay beside the current one, which here is the newest.
    """
    projects = os.path.join(root, "projects")
    found = []
    for name in sorted(os.listdir(projects)) if os.path.isdir(projects) else ():
        folder = os.path.join(projects, name)
        if not os.path.isdir(folder) or os.path.islink(folder):
            continue
        for each in versions(folder)[keep + 1 :]:
            version = Version(root, name, each)
            try:
                reason = _reason_to_keep(version)
            except OSError as exc:
                reason = "%s: %s" % (exc.filename, exc.strerror)  # a job is at work there, or a directory is closed
            if reason:
                found.append(Kept(version.tree, reason, _size(version.tree)))
        found += _edited_copies(folder)
    return found


def describe(found):
    """Return old versions that stay as one line for a person, "" for none."""
    if not found:
        return ""
    largest = sorted(found, key=lambda each: -each.size)
    named = ", ".join("%s (%s)" % (each.path, each.reason) for each in largest[:_SHOWN])
    more = " and %d more" % (len(found) - _SHOWN) if len(found) > _SHOWN else ""
    total = _in_words(sum(each.size for each in found))
    return "kept although old, %s in all: %s%s; move away what is needed, and remove them" % (total, named, more)


def _in_words(count):
    return "%.1f GB" % (count / 1024**3) if count >= 1024**3 else "%.1f MB" % (count / 1024**2)


def _with_lock(version, do):
    """Return the result of `do` for a version, None when that is in use; remove a lock without version."""
    try:
        fd = lock.try_exclusive(version.tree)
    except PermissionError as exc:
        return "cannot be removed: %s: %s" % (exc.filename, exc.strerror)
    if fd < 0:
        return None
    try:
        found = do(version)
    except PermissionError as exc:
        found = "cannot be removed: %s: %s" % (exc.filename, exc.strerror)
    except BaseException:
        lock.release(fd)
        raise
    if os.path.lexists(version.tree):
        lock.release(fd)
    else:
        lock.remove(version.tree, fd)
    return found


def _remove_version(version):
    """Remove a version, or return the reason against it."""
    reason = _reason_to_keep(version)
    if reason:
        return reason
    if os.path.lexists(version.tree):
        # First out of the way, whole: one that breaks off half way leaves no half version.
        remove_tree(version.staging)
        os.rename(version.tree, version.staging)
    _remove_leftovers(version)
    return ""


def _reason_to_keep(version):
    if not os.path.lexists(version.tree):
        return ""
    recorded = version.read()
    if recorded is None:
        return "without a readable record"
    if not stat.S_ISDIR(os.lstat(version.tree).st_mode):
        return "is no directory"
    found = _content(version.tree, {entry.path for entry in recorded.entries})
    if found.foreign is not None:
        return "belongs to %s, in part at least" % user(found.foreign)
    if edited(version.tree, recorded):
        return "edited by hand"
    return "holds what a job has written: %s" % printable(found.written) if found.written else ""


def _size(tree):
    try:
        return _content(tree, ()).size
    except OSError:
        return 0  # not ours to look at


def _content(tree, wanted):
    """Return the _Content of a version; files of Python's cache and the Finder do not count as written."""
    base = to_bytes(os.path.join(tree, ""))
    top = os.lstat(tree)
    size, written, foreign = 0, "", None if top.st_uid == os.geteuid() else top.st_uid
    for path in manifest.walk(tree):
        found = os.lstat(base + to_bytes(path))
        size += found.st_blocks * 512  # of any file system, see stat(2)
        if foreign is None and found.st_uid != os.geteuid():
            foreign = found.st_uid
        if not written and path not in wanted and not _is_cache(path) and not stat.S_ISDIR(found.st_mode):
            written = path
    return _Content(size, written, foreign)


def _is_cache(path):
    folder, name = os.path.split(path)
    return name == ".DS_Store" or (os.path.basename(folder) == "__pycache__" and ".pyc" in name)


def _edited_copies(folder):
    """Return the versions of a project that were edited, and made again beside."""
    trees = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if _EDITED.match(name)]
    return [Kept(tree, "edited by hand, and made again", _size(tree)) for tree in trees]


def _remove_leftovers(version):
    for path in (version.record, version.record + ".new", version.staging):
        remove_tree(path)
