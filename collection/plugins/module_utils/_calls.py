# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: what the controller can call. What a call needs is imported by it."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _agent
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._agent import CallFailed

_DAY = 24 * 3600.0  # seconds
_NOT_OURS = "set mlx_root to a directory that this user may write to, or become one who may"


def hello(agent, lease, root, environment, script=None):
    """Return what the controller has to know before it can decide anything.

    Args:
        lease: seconds of silence after which the controller is gone.
        root: directory for what is deployed, "" when it is not decided.
        environment: None, or {wanted: base interpreter by path or version, lock: digest of what it is made from}.
        script: None, or {path, sha256}: is this file here already?
    """
    agent.lease = lease
    uname = os.uname()
    facts = {"system": uname.sysname, "machine": uname.machine, "rsync": _is_there("rsync")}
    facts["script"] = bool(script) and _has(script["path"], script["sha256"])
    if environment:
        facts["python"] = _base_python(agent, environment, root)
    return facts


def _is_there(program):
    """Whether PATH leads to a program. (`shutil` is slow to import.)"""
    paths = [os.path.join(folder, program) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    return any(os.path.isfile(path) and os.access(path, os.X_OK) for path in paths)


def _has(path, sha256):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _manifest

    try:
        folder, name = os.path.split(path)
        [entry] = _manifest.scan(folder, [name]).entries
    except (OSError, _manifest.Changed):
        return False
    return entry.content == sha256


def _base_python(agent, environment, root):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _environment, _interpreter

    known = _environment.base_of(_roots(root), environment["lock"], environment["wanted"])
    if known:
        return known
    try:
        return dict(_interpreter.find_python(environment["wanted"], agent.run), wanted=environment["wanted"])
    except _interpreter.NotThere as exc:
        raise CallFailed(str(exc)) from None


def _roots(root):
    return [root] if root else ["/Users/Shared/mlxlaunch", "/opt/mlxlaunch"]


def look(_agent, root, key, name, digest):
    """Return what there is already.

    Args:
        key: of the environment, "" for none.
        name, digest: of the project, "" for none.

    Returns:
        {"environment": complete | absent | incomplete, "environment_digest": with which it was completed,
        "project": present | edited | absent, "edited": paths}, as far as it was asked for.
    """
    found = {}
    if key:
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _environment

        found["environment"] = _environment.state(root, key)
        found["environment_digest"] = environment_digest(_agent, root, key)
    if name:
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _versions

        state = _try(_versions.state, root, name, digest)
        found["project"], found["edited"] = state["state"], state["edited"]
    return found


# -- environments


def environment_digest(_agent, root, key):
    """Return the digest with which an environment was completed."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _environment

    return _environment.read_record(_environment.path_of(root, key)).get("digest", "")


def build(agent, **spec):
    """Build an environment; see `_environment.build`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _environment

    return _unless_error(_environment.build(spec, agent.run, agent.progress))


def begin_copy(agent, **spec):
    """Make room for a copy of the controller's environment; return where to, "" when it is not needed any more."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _envcopy

    begun = _unless_error(_envcopy.begin_copy(spec, agent.progress))
    return begun["path"] if begun["needed"] else ""


def finish_copy(agent, **spec):
    """Make what has arrived an environment."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _envcopy

    return _unless_error(_envcopy.finish_copy(spec, agent.run, agent.progress))


def wheels_folder(_agent, root, name):
    """Return the directory that takes a wheelhouse; pip holds each wheel in it to the lock's hashes."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _folders

    path = os.path.join(root, "wheels", name)
    _try(_folders.make_folders, path)
    _try(os.utime, path)  # for `prune`
    return path


def _unless_error(reply):
    if reply["error"]:
        raise CallFailed(reply["error"])
    return reply


# -- projects


def project_begin(agent, root, name, digest, entries):
    """Begin a transfer; return where to send files to ("" when nothing has to be), which are missing or different, and their size."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _store

    def give_up():
        with contextlib.suppress(OSError):  # rsync may still be at it; the next try begins by removing it
            _store.abort(root, name, digest)

    begun = _try(_store.begin, root, name, digest, entries, agent.progress)
    agent.at_end[name, digest] = give_up
    missing = _store.pending(root, name, digest) if begun["state"] == "begun" else []
    return {"staging": begun.get("staging", ""), "missing": missing, "bytes": begun.get("bytes", 0)}


def project_commit(agent, root, name, digest, contents=None):
    """Put what has arrived, or comes with this call, into its place; return where an edited version went."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _store

    if contents is not None:
        _try(_store.receive, root, name, digest, contents)
    aside = _try(_store.commit, root, name, digest)["aside"]
    del agent.at_end[name, digest]
    return aside


def project_differences(_agent, root, name, digest, entries):
    """Return what a transfer would add, change and remove, compared with this version if it is there, else the newest."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _manifest, _versions

    wanted, version = _manifest.unpack(entries), _versions.Version(root, name, digest)
    if version.read() is None:
        version = _newest(root, name)
    recorded = version.read() if version else None
    there = [entry.path for entry in recorded.entries if os.path.lexists(os.path.join(version.tree, entry.path))] if recorded else []
    compared = _manifest.compare(wanted, _manifest.scan(version.tree, there).entries if there else [])
    return {"added": compared.missing, "changed": [path for path, _what in compared.changed], "removed": compared.extra}


def _newest(root, name):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _versions

    folder = os.path.join(root, "projects", name)
    found = _versions.versions(folder) if os.path.isdir(folder) else []
    return _versions.Version(root, name, found[0]) if found else None


def _try(function, *args):
    """Call a function of the store, and make what it raises a text for a person."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _lock, _versions

    try:
        return function(*args)
    except (_versions.StoreError, _lock.InUse) as exc:
        raise CallFailed(str(exc)) from None
    except PermissionError as exc:
        raise CallFailed("%s: %s; %s" % (exc.filename, exc.strerror, _NOT_OURS)) from None


# -- the hostfile


def place_hostfile(_agent, root, text, check):
    """Let the hostfile below `root` have this text; see `_hostfile_calls.place`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _hostfile_calls

    path = os.path.join(root, _hostfile_calls.NAME)
    try:
        return _hostfile_calls.place(path, text, check)
    except OSError as exc:
        hint = "; %s" % _NOT_OURS if exc.errno in _hostfile_calls.DENIED else ""
        raise CallFailed(_hostfile_calls.complaint(path, exc) + hint) from None


# -- all of it


def prune(_agent, root, keep, key, name, digest):
    """Remove what is old and not in use; return what could not be removed and why, a text each."""
    import time

    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _environment, _folders, _versions

    complaints = []
    if key:
        complaints += _environment.prune(root, keep, key)["failed"]
    if name:
        _try(_versions.prune, root, name, keep, digest)
    wheels = os.path.join(root, "wheels")
    for each in os.listdir(wheels) if os.path.isdir(wheels) else ():
        # What was built from it stands. Another deploy may be about to use it, or to need it again.
        if time.time() - os.stat(os.path.join(wheels, each)).st_mtime > _DAY:
            _folders.remove_tree(os.path.join(wheels, each))
    return complaints


# -- a check


def survey(agent, spec):
    """Return what is here; see `_survey.survey`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _survey

    return _survey.survey(agent, spec)


def clock(_agent):
    """Return what time it is here, seconds since 1970."""
    import time

    return time.time()


def listen(agent, **what):
    """Listen for neighbours; see `_neighbours.listen`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _neighbours

    return _neighbours.listen(agent, **what)


def dial(agent, **what):
    """Connect to neighbours; see `_neighbours.dial`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _neighbours

    return _neighbours.dial(agent, **what)


def hush(agent):
    """Stop listening."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _neighbours

    _neighbours.hush(agent)


FUNCTIONS = {
    function.__name__: function
    for function in (
        *(hello, look, prune),
        *(environment_digest, build, begin_copy, finish_copy, wheels_folder),
        *(project_begin, project_commit, project_differences),
        *(survey, clock, listen, dial, hush),
        place_hostfile,
    )
}


def main():
    """Serve the channel on standard input and output."""
    _agent.serve(FUNCTIONS)
