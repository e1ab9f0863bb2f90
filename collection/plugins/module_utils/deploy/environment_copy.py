# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of the controller's own environment to this host.

Between `begin_copy` and `finish_copy` the controller sends the files, all but .mlxlaunch.json; the lock is held
throughout.
"""

from __future__ import annotations

import os
import stat

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment import (
    Broken,
    clear,
    complete,
    examine,
    guarded,
    path_of,
    take_unless_complete,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import ownership
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.interpreter import PythonNotFound, find_python
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.environment_digest import environment_digest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.folders import PRIVATE
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARKER

_LARGEST_SCRIPT = 1 << 20  # bytes; what names the prefix is a script of a few lines

_copies = {}  # the locks of copies between begin and finish, by path


def begin_copy(spec, progress):
    """Take the environment's lock and make room; return {error, path, needed}. Not needed: it is complete already.

    Args:
        spec: root, key.
        progress: is called with a line of text now and then.
    """
    return guarded(spec, lambda: _begin(spec, progress))


def _begin(spec, progress):
    path = path_of(spec["root"], spec["key"])
    lock = take_unless_complete(spec, progress)
    if lock is None:
        return {"path": path, "needed": False}
    try:
        clear(path)
        os.mkdir(path, PRIVATE)
    except BaseException:
        lock.release()
        raise
    _copies[path] = lock
    return {"path": path, "needed": True}


def finish_copy(spec, run, progress):
    """Make an environment of the files that have arrived; return as `environment.build` does.

    Args:
        spec: root, key, source (its prefix on the controller), base (path of its base interpreter), version (of that,
            exact), digest (of the environment on the controller).
        run: runs a command, see `_agent`.
        progress: is called with a line of text now and then.
    """
    return guarded(spec, lambda: _finish(spec, run, progress))


def _finish(spec, run, progress):
    path = path_of(spec["root"], spec["key"])
    lock = _copies.pop(path, None)
    if lock is None:
        raise Broken("environment %s: its copy was not begun by this agent" % path)
    with lock:
        ownership.close_tree(path)  # it has arrived with the modes of the controller
        if os.path.lexists(os.path.join(path, MARKER)):
            os.unlink(os.path.join(path, MARKER))  # the controller's environment is a deployed one itself
        try:
            description, problem = _take_over(spec, path, run, progress)
        except (Broken, OSError):
            _check_base(spec, run)
            raise
        return complete(spec, path, description, problem)


def _take_over(spec, path, run, progress):
    """Fit the files that have arrived to this path, and return the result of `examine`."""
    drop_special_bits(path)
    move_prefix(path, spec["source"])
    progress("looking at what has arrived")
    description, problem = examine(path, run)
    if environment_digest(description) != spec["digest"]:
        raise Broken("environment %s: what arrived differs from %s on the controller; was that changed meanwhile?" % (path, spec["source"]))
    return description, problem


def drop_special_bits(path):
    """Take setuid, setgid and sticky bits from all files: they would be those of the user who deploys, root maybe."""
    base = manifest.to_bytes(os.path.join(path, ""))
    for name in map(manifest.to_bytes, manifest.walk(path)):
        mode = os.lstat(base + name).st_mode
        if stat.S_ISREG(mode) and mode & 0o7000:
            os.chmod(base + name, mode & 0o777)


def abandon_copy(spec):
    """Give up a copy that was begun, for the next try to clear; return {error}."""
    lock = _copies.pop(path_of(spec["root"], spec["key"]), None)
    if lock:
        lock.release()
    return {"error": ""}


def _check_base(spec, run):
    """Raise Broken unless the base interpreter is here at the same path and of the same version: else no copy works."""
    try:
        found = find_python(spec["base"], run)
    except PythonNotFound as exc:
        raise Broken("the controller's environment cannot be copied here: its base interpreter: %s" % exc) from None
    if found["version"] != spec["version"]:
        what = (spec["base"], found["version"], spec["version"])
        raise Broken("the controller's environment cannot be copied here: %s is Python %s, on the controller %s" % what)


def move_prefix(path, source):
    """Let the scripts of an environment, and its pyvenv.cfg, name its own path instead of the one it came from."""
    source = source.rstrip("/")
    if not source or source == path:
        return
    folder = os.path.join(path, "bin")
    for name in [os.path.join(folder, name) for name in os.listdir(folder)] + [os.path.join(path, "pyvenv.cfg")]:
        _move_in(name, os.fsencode(source), os.fsencode(path))


def _move_in(name, source, target):
    info = os.lstat(name)
    if not stat.S_ISREG(info.st_mode) or info.st_size > _LARGEST_SCRIPT:
        return
    with open(name, "rb") as file:
        text = file.read()
    moved = replace_prefix(text, source, target)
    if moved == text:
        return
    with open(name + ".new", "wb") as out:  # a new file: the old one may be a hard link to somebody's cache
        out.write(moved)
    os.chmod(name + ".new", stat.S_IMODE(info.st_mode))
    os.replace(name + ".new", name)


def replace_prefix(text, source, target):
    """Return the bytes of a text file with one prefix in the place of another; a binary file stays as it is.

    Pure. /a/env does not stand for /a/env2, nor for /b/a/env.
    """
    import re

    if b"\0" in text:
        return text
    return re.sub(rb"(?<![\w./-])" + re.escape(source) + rb"(?![\w.-])", lambda _match: target, text)
