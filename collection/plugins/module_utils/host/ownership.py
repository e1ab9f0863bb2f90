# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owners of files on this host: nothing is read, made, linked or run that a stranger could change.

A path is safe when each part of it, from / on, belongs to this user, to root or to a user who was named, and nobody
else may write there. Then nobody else can put something in its place either, so that looking once is enough. In a
sticky directory such as /tmp others may write, and cannot touch what is ours.
"""

from __future__ import annotations

import os
import pwd
import stat

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.closed import closed_folder, user, user_name
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import NOT_OURS, CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.folders import PRIVATE, make_folders
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARKER

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # as the kernel of Linux counts; macOS stops at 32


class NotOurs(CallFailed):
    """Somebody else could change what is at a path; the text names the path, the owner and the remedy."""


class Owners:
    """The users whose files are trusted: this one, root, and one more if he is named.

    Args:
        named: name of that user, "" for none.

    Raises:
        CallFailed: there is no such user.
    """

    def __init__(self, named=""):
        self._uids = {0, os.geteuid()}
        if named:
            try:
                self._uids.add(pwd.getpwnam(named).pw_uid)
            except KeyError:
                raise CallFailed("mlx_trust_owner: there is no user %s on this host" % named) from None

    def check(self, root, below=(), unfinished=()):
        """Raise NotOurs unless a root and paths below it are safe. What is not there is.

        Args:
            root: directory for all that is deployed. Above it, and at it, links of trusted users are followed.
            below: paths relative to it, a directory before its content; none of them may be a link.
            unfinished: the same, of which nothing is used yet: only owners count. A transfer sets modes as they are on
                the controller.

        Raises:
            NotOurs: as above.
            CallFailed: a directory cannot be looked into.
        """
        try:
            for path, found, is_last in _walk(root):
                self._check_one(path, found, may_be_sticky=not is_last)
            for name in (*below, *unfinished):
                path = os.path.join(root, name)
                found = _lstat(path)
                if found:
                    self._check_one(path, found, any_mode=name in unfinished, may_be_link=False)
        except OSError as exc:
            closed = closed_folder(root) if os.access(os.path.dirname(root), os.X_OK) else ""
            raise CallFailed(closed or "%s: %s; %s" % (exc.filename, exc.strerror, NOT_OURS)) from None

    def trust(self, path, below=()):
        """Return whether a path and those below it are safe; see `check`."""
        try:
            self.check(path, below)
        except (CallFailed, OSError):
            return False
        return True

    def make(self, root):
        """Make a root where it is missing, for this user alone; `check` comes after it."""
        if os.path.isdir(root):
            return
        try:
            make_folders(os.path.dirname(root))
            os.mkdir(root, PRIVATE)
        except FileExistsError:
            pass  # another deploy was quicker; or not a deploy, which the check tells
        except PermissionError as exc:
            once = "make it once (sudo install -d -m %o -o %s %s), or " % (PRIVATE, name_of(os.geteuid()), root)
            raise CallFailed("%s: %s; %s%s" % (exc.filename, exc.strerror, once, NOT_OURS)) from None

    def why_not_run(self, path):
        """Return why root must not run a program, "" when it may, or when this user is not root.

        Any other user harms nobody but himself; root must never run what a plain user can change.
        """
        if os.geteuid() != 0 or not path:
            return ""
        try:
            for each, found, _is_last in _walk(path):
                fault = self._fault(found, may_be_sticky=True)
                if fault:
                    remedy = self._remedy(found, "name another program than %s" % path)
                    return "%s %s, and root runs nothing such; %s" % (each, fault, remedy)
        except OSError as exc:
            return "%s: %s" % (exc.filename, exc.strerror)
        return ""

    def _check_one(self, path, found, may_be_sticky=False, may_be_link=True, any_mode=False):
        fault = self._fault(found, may_be_sticky, may_be_link, any_mode)
        if fault:
            raise NotOurs("%s %s; %s" % (path, fault, self._remedy(found, "set mlx_root to a directory of your own")))

    def _fault(self, found, may_be_sticky, may_be_link=True, any_mode=False):
        """Return what is wrong with one part of a path, "" for nothing."""
        if found.st_uid not in self._uids:
            return "belongs to %s, who could change what is there" % name_of(found.st_uid)
        if stat.S_ISLNK(found.st_mode):
            return "" if may_be_link else "is a link, and nothing below mlx_root may be one"
        if any_mode or not found.st_mode & _OTHERS:
            return ""
        if may_be_sticky and stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
            return ""
        return "may be changed by others than %s (mode %o)" % (name_of(found.st_uid), stat.S_IMODE(found.st_mode))

    def _remedy(self, found, other):
        if found.st_uid not in self._uids:
            return "%s, or trust that user (mlx_trust_owner, --trust-owner)" % other
        return "%s, or %s" % (other, "remove the link" if stat.S_ISLNK(found.st_mode) else "chmod go-w it")


def name_of(uid):
    """Return the name of a user, "user 501" for one without."""
    return user_name(uid) or user(uid)


def is_own(path):
    """Return whether a path is there and this user's: only such things are cleaned up."""
    found = _lstat(path)
    return bool(found) and found.st_uid == os.geteuid()


def parts_of_environment(key):
    """Return the parts of an environment that have to be safe, relative to the root; its content then is."""
    path = os.path.join("envs", key)
    return ["envs", os.path.join("envs", ".%s.lock" % key), path, os.path.join(path, MARKER), os.path.join(path, "bin")]


def parts_of_version(name, version):
    """Return the parts of a project's version that have to be safe, relative to the root; its content then is.

    Args:
        name: of the project.
        version: name of the version's directory.
    """
    folder = os.path.join("projects", name)
    return ["projects", folder, *(os.path.join(folder, each % version) for each in (".%s.lock", ".%s.json", "%s"))]


def close_tree(top):
    """Take from all others the right to change what is in a directory of this user."""
    for folder, _names, files in os.walk(top):
        for path in [folder, *(os.path.join(folder, name) for name in files)]:
            mode = os.lstat(path).st_mode
            if mode & _OTHERS and not stat.S_ISLNK(mode):
                os.chmod(path, stat.S_IMODE(mode) & ~_OTHERS)


def parts_of_held(path):
    """Return the parts of a directory that is to be held, relative to the root, from its path relative to the root."""
    folder, name = os.path.split(path)
    above = []
    while folder:
        above.insert(0, folder)
        folder = os.path.dirname(folder)
    return [*above, path, os.path.join(os.path.dirname(path), ".%s.lock" % name)]


def _lstat(path):
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _walk(path):
    """Yield (path, lstat, whether it is the last) for each part of an absolute path, as far as it is there.

    The parts of what a link leads to follow on the link, as the kernel follows it.
    """
    waiting, at, links = path.split("/")[::-1], "/", 0
    yield at, os.lstat(at), False
    while waiting:
        name = waiting.pop()
        if name in ("", "."):
            continue
        here = os.path.dirname(at) if name == ".." else os.path.join(at, name)
        found = _lstat(here)
        if found is None:
            return
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                return  # the kernel would not follow it either
            yield here, found, False
            target = os.readlink(here)
            waiting += target.split("/")[::-1]
            at = "/" if target.startswith("/") else at
            continue
        yield here, found, not any(each not in ("", ".") for each in waiting)
        at = here
