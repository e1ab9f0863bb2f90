# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of a deploy. The modules that a call needs are imported by it.

A call enters the root by `_entered`, which refuses what a stranger could change. What a deploy has found or made is
held until the agent ends: by then a supervisor holds it for its job.
"""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import ownership, programs
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import MOST_NAMED, NOT_OURS, CallFailed

_DAY = 24 * 3600.0  # seconds


def hello(agent, lease, roots, environment, script=None, trust_owner="", reached=""):
    """Return the facts about this host on which the controller decides.

    Args:
        lease: seconds of silence after which the controller is gone.
        roots: the directories that may be the one for what is deployed; which it is may not be decided yet.
        environment: None, or {wanted: base interpreter by path or version, lock: digest of what it is made from}.
        script: None, or {path, sha256, beside: {path: sha256}}: are these files here already, and safe to run?
        trust_owner: name of a user whose files are trusted too, "" for none.
        reached: stands for the address by which this host is reached, "" when it is not asked for that.
    """
    agent.lease = lease
    agent.owners = ownership.Owners(trust_owner)
    uname = os.uname()
    facts = {"system": uname.sysname, "machine": uname.machine, "root_user": os.geteuid() == 0, "rsync": _is_there("rsync", agent.owners)}
    facts["home"] = os.path.expanduser("~")
    facts["script"] = bool(script) and _has_all(script, agent.owners)
    if reached:
        # Late: only a check asks.
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.reached import data_address

        facts["address"], _others, problem = data_address(reached)
        if problem:
            raise CallFailed(problem)
    if environment:
        facts["python"] = _base_python(agent, environment, [os.path.expanduser(root) for root in roots])
    return facts


def _is_there(program, owners):
    """Return whether PATH leads to a program that may be run."""
    found = programs.find_program(program, os.getcwd())
    return bool(found) and not owners.why_not_run(found)


def _has_all(script, owners):
    files = {script["path"]: script["sha256"], **script.get("beside", {})}
    return all(_has(path, sha256, owners) for path, sha256 in files.items())


def _has(path, sha256, owners):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest

    if not owners.trust(path):
        return False  # whoever can change it would decide what the ranks run
    try:
        folder, name = os.path.split(path)
        [entry] = manifest.scan(folder, [name]).entries
    except (OSError, manifest.FileChanged):
        return False
    return entry.content == sha256


def _base_python(agent, request, roots):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment_state as environments

    known = environments.base_of(roots, request["lock"], request["wanted"], agent.owners)
    if known:
        return known
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import interpreter

    try:
        return dict(interpreter.find_python(request["wanted"], agent.run), wanted=request["wanted"])
    except interpreter.PythonNotFound as exc:
        raise CallFailed(str(exc)) from None


def look(agent, root, key, name, digest, share, hold=True):
    """Return the state of an environment and of a project, and hold what is there.

    Args:
        key: of the environment, "" for none.
        name, digest: of the project, "" for none.
        share: who else may read them; see `sharing`.
        hold: nobody removes what is there before this agent ends; without it nothing at all is changed.

    Returns:
        {"environment": complete | absent | incomplete, "environment_digest": with which it was completed,
        "project": present | edited | absent, "edited": paths, "extra": paths of modules that are not part of it}, as
        far as it was asked for, and {"shared": whether what is here can be read by those who may, and by no others}.
    """
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.closed import closed_folder

    for tree in _try(_trees, root, key, name, digest):
        closed = closed_folder(tree)
        if closed:
            raise CallFailed(closed)
    found = {"shared": not _wrong_modes(root, key, name, digest, share)}
    if key:
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment_state as environments

        path = environments.path_of(root, key)
        found["environment"] = _hold_if(agent, hold, path, "complete", lambda: environments.state(root, key))
        if found["environment"] == "complete":
            agent.owners.check(root, ownership.parts_of_environment(key))
        found["environment_digest"] = environment_digest(agent, root, key)
    if name:
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import versions

        tree = _try(versions.Version, root, name, digest).tree
        found["edited"], found["extra"] = [], []

        def look_at_version():
            state = versions.state(root, name, digest)
            found["edited"], found["extra"] = state["edited"][:MOST_NAMED], state["extra"][:MOST_NAMED]
            return state["state"]

        found["project"] = _hold_if(agent, hold, tree, "present", look_at_version)
    return found


def _hold_if(agent, hold, path, whole, look):
    """Return the state that `look` finds, and hold what is whole.

    While another deploy is at work on it, it is absent: the call that makes it waits for that one, and looks once more.
    """
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock

    if not hold or path in agent.held or not os.path.isdir(path):
        return look()
    try:
        fd = flock.hold(path)
    except flock.InUse:
        return "absent"
    state = look()
    if state == whole:
        agent.held[path] = fd
    else:
        os.close(fd)
    return state


def _hold(agent, path):
    """Hold what was made until this agent ends, once no other deploy is looking at it."""
    import time

    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock

    while path not in agent.held:
        try:
            agent.held[path] = flock.hold(path)
        except flock.InUse as exc:
            agent.progress(str(exc))
            time.sleep(flock.POLL)
        except FileNotFoundError:
            raise CallFailed("%s was removed by another deploy; try again" % path) from None


def share(_agent, root, key, name, digest, share):
    """Let others read an environment and a project, or nobody; see `look`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import sharing

    _try(sharing.set_modes, _wrong_modes(root, key, name, digest, share))


def _wrong_modes(root, key, name, digest, share):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import sharing, versions

    records = [versions.Version(root, name, digest).record] if name else []
    return sharing.wrong_modes(root, _trees(root, key, name, digest), records, share)


def _trees(root, key, name, digest):
    """Return the directories of an environment and of a project."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment_state as environments
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import versions

    trees = [environments.path_of(root, key)] if key else []
    return trees + ([versions.Version(root, name, digest).tree] if name else [])


# -- environments


def environment_digest(_agent, root, key):
    """Return the digest with which an environment was completed."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment_state as environments

    return environments.read_record(environments.path_of(root, key)).get("digest", "")


def build(agent, **spec):
    """Build an environment; see `environments.build`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment as environments

    return _made(agent, spec, environments.build(spec, agent.run, agent.progress))


def begin_copy(agent, **spec):
    """Make room for a copy of the controller's environment; return its path, "" when no copy is needed any more."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment_copy

    begun = _unless_error(environment_copy.begin_copy(spec, agent.progress))
    if begun["needed"]:
        return begun["path"]
    _made(agent, spec, begun)
    return ""


def finish_copy(agent, **spec):
    """Make an environment of the files that have arrived."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment_copy

    return _made(agent, spec, environment_copy.finish_copy(spec, agent.run, agent.progress))


def _made(agent, spec, reply):
    """Return the reply about an environment that is complete now; it is held from here on."""
    _unless_error(reply)
    agent.owners.check(spec["root"], ownership.parts_of_environment(spec["key"]))
    _hold(agent, reply["path"])
    return reply


def wheels_folder(_agent, root, wheelhouse):
    """Return the directory that takes a wheelhouse; pip holds each wheel in it to the lock's hashes."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import folders

    path = os.path.join(root, "wheels", wheelhouse)
    _try(folders.make_folders, path, folders.PRIVATE)
    _try(os.utime, path)  # for `prune`
    return path


def _unless_error(reply):
    if reply["error"]:
        raise CallFailed(reply["error"])
    return reply


# -- projects


def project_begin(agent, root, name, digest, entries):
    """Begin a transfer.

    Returns:
        {"staging": directory for the files, "" when none has to be sent, "missing": paths of those that are missing or
        different}
    """
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import store

    def give_up():
        try:
            store.abort(root, name, digest)
        except OSError:
            pass  # rsync may still be at it; the next try begins by removing it

    begun = _try(store.begin, root, name, digest, entries, agent.progress)
    agent.at_end[name, digest] = give_up
    if begun["state"] == "begun":
        return {"staging": begun["staging"], "missing": store.pending(root, name, digest)}
    agent.owners.check(root, ownership.parts_of_version(name, os.path.basename(begun["path"])))
    _hold(agent, begun["path"])
    return {"staging": "", "missing": []}


def project_commit(agent, root, name, digest, contents=None):
    """Put files that have arrived, or come with this call, into place; return the new path of an edited version."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import store

    if contents is not None:
        _try(store.receive, root, name, digest, contents)
    committed = _try(store.commit, root, name, digest)
    del agent.at_end[name, digest]
    _hold(agent, committed["path"])
    return committed["aside"]


def project_differences(_agent, root, name, digest, entries):
    """Return the paths that a transfer would add, change and remove, compared with this version or else the newest."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import versions
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest

    wanted, version = manifest.unpack(entries), versions.Version(root, name, digest)
    if version.read() is None:
        version = _newest(root, name)
    recorded = version.read() if version else None
    there = [entry.path for entry in recorded.entries if os.path.lexists(os.path.join(version.tree, entry.path))] if recorded else []
    compared = manifest.compare(wanted, manifest.scan(version.tree, there).entries if there else [])
    return {"added": compared.missing, "changed": [path for path, _what in compared.changed], "removed": compared.extra}


def _newest(root, name):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import versions

    folder = os.path.join(root, "projects", name)
    found = versions.versions(folder) if os.path.isdir(folder) else []
    return versions.Version(root, name, found[0]) if found else None


def _try(function, *args):
    """Call a function of the store, and turn its errors into texts for a person."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import versions
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest

    try:
        return function(*args)
    except (versions.StoreError, flock.InUse, manifest.FileChanged) as exc:
        raise CallFailed(str(exc)) from None
    except PermissionError as exc:
        raise CallFailed("%s: %s; %s" % (exc.filename, exc.strerror, NOT_OURS)) from None


# -- all of it


def prune(_agent, root, keep, key, name, digest):
    """Remove old versions that are not in use; return as texts the failures, and what stays because it holds work."""
    import time

    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment as environments
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import removal, retention

    complaints = []
    if key:
        complaints += environments.prune(root, keep, key)["failed"]
    if name:
        kept = retention.describe(_try(retention.prune, root, name, keep, digest)["kept"])
        complaints += [kept] if kept else []
    wheels = os.path.join(root, "wheels")
    for each in os.listdir(wheels) if os.path.isdir(wheels) else ():
        # What was built from it stands. Another deploy may be about to use it, or to need it again.
        path = os.path.join(wheels, each)
        if ownership.is_own(path) and time.time() - os.lstat(path).st_mtime > _DAY:
            try:
                removal.remove_tree(path)
            except PermissionError as exc:
                complaints.append("%s cannot be removed: %s" % (exc.filename, exc.strerror))
    return complaints


# -- the hostfile


def place_hostfile(agent, root, text, check):
    """Write the hostfile below `root`; see `atomic_file.place`."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import atomic_file

    path = os.path.join(root, atomic_file.NAME)
    try:
        if not check:
            agent.owners.make(root)
        return atomic_file.place(path, text, check)
    except OSError as exc:
        hint = "; %s" % NOT_OURS if exc.errno in atomic_file.DENIED else ""
        raise CallFailed(atomic_file.complaint(path, exc) + hint) from None


# -- the way in


def _entered(function, makes=False):
    """Let a call enter its root: made if it is to be, and safe as far as the call uses it; see host/ownership.py."""

    def call(agent, root, **given):
        if makes:
            agent.owners.make(root)
        agent.owners.check(root, *_used(**given))
        return function(agent, root=root, **given)

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


def _used(key="", name="", digest="", wheelhouse="", **_other):
    """Return the paths that a call uses, and those of things that may be unfinished; see `Owners.check`."""
    below, unfinished = [], []
    if key:
        folder, lock, path, marker, programs = ownership.parts_of_environment(key)
        below += [folder, lock]
        unfinished += [path, marker, programs]
    if name:
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.manifest import short

        below += ownership.parts_of_version(name, short(digest))
    if wheelhouse:
        below.append("wheels")
        unfinished.append(os.path.join("wheels", wheelhouse))
    return below, unfinished


FUNCTIONS = {
    function.__name__: function
    for function in (
        hello,
        *(_entered(function) for function in (look, share, prune, environment_digest, project_commit, project_differences, place_hostfile)),
        *(_entered(function, makes=True) for function in (build, begin_copy, finish_copy, wheels_folder, project_begin)),
    )
}
