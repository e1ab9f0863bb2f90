# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python environments on this host: build, describe, hold and remove them.

    envs/<key>/                  complete when it has .mlxlaunch.json, which is written last
    envs/.<key>.lock             flock: exclusive while it is built or removed, shared while a job uses it

An environment is built where it stays, as its scripts and its pyvenv.cfg name their own path.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment_lock import EnvLock, mark_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.environment_state import (
    base_mark,
    metadata_names,
    names,
    path_of,
    read_record,
    state,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.removal import remove_tree
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import ownership
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.flock import InUse
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.interpreter import attempt, ending, find_uv
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.environment_digest import FORMAT, PROBE, environment_digest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.folders import PRIVATE
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARKER
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.probe_answer import SAID, answer

LOCK_TEXT = ".mlxlaunch.lock.txt"  # what it was built from, for whoever looks
_NOT_INHERITED = ("PYTHON", "__PYVENV", "VIRTUAL_ENV", "CONDA_PREFIX")

_TRY_MLX = """
if "mlx" in found:
    import mlx.core
"""


class Broken(Exception):
    """The environment could not be built or does not work; the text names the reason and the place."""


def describe(path, run):
    """Return python, implementation, platform and distributions {name: version} of an environment.

    Raises:
        Broken: when its Python cannot tell.
    """
    return _probe(path, run, PROBE)[0]


def examine(path, run):
    """Return the result of `describe`, and the reason why the environment's MLX cannot be imported, or "".

    One process does both, and the first import of a job is then a warm one.

    Raises:
        Broken: when its Python cannot tell.
    """
    said, code, text = _probe(path, run, PROBE + _TRY_MLX)
    return said, "import mlx.core fails in %s (%s):\n%s" % (path, ending(code), _tail(text)) if code else ""


def _probe(path, run, program):
    """Return the facts of the environment's Python about itself, its exit status, and its other output."""
    code, text = attempt(run, [os.path.join(path, "bin", "python"), "-I", "-c", program], env=clean_environment())
    said = answer(text)
    if said is None or (code != 0 and program == PROBE):
        raise Broken("environment %s does not work: %s" % (path, _tail(text) or ending(code)))
    return said, code, "\n".join(line for line in text.splitlines() if not line.startswith(SAID))


def _tail(text, lines=12):
    return "\n".join(text.strip().splitlines()[-lines:])


def clean_environment(**more):
    """Return the variables for a child, without those that lead Python to somewhere else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    kept.update(more)
    return kept


def build(spec, run, progress):
    """Build an environment, or wait for another deploy that does.

    Returns {error, changed, path, digest, description, warnings}.

    Args:
        spec: root, key, python (path), lock (text: requirements with hashes), wheels (directory here, or ""),
            index_url ("" for the configured one), index_options (the lock's own, a list, may be missing).
        run: runs a command, see `_agent`.
        progress: is called with a line of text now and then.
    """
    return guarded(spec, lambda: _build(spec, run, progress))


def guarded(spec, work):
    """Return the result of `work`, or its failure as {error}; whoever may enter the environment may read it."""
    path = path_of(spec["root"], spec["key"])
    try:
        return dict(work(), error="")
    except (Broken, InUse) as exc:
        return {"error": str(exc)}
    except OSError as exc:
        return {"error": _os_error(exc, path)}


def _os_error(exc, path):
    advice = ""
    if isinstance(exc, PermissionError):
        advice = "; set mlx_root to a directory that this user may write to, or become one who may"
    return "environment %s cannot be made: %s: %s%s" % (path, exc.filename or path, exc.strerror, advice)


def _build(spec, run, progress):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARK

    path = path_of(spec["root"], spec["key"])
    lock = take_unless_complete(spec, progress)
    if lock is None:
        return dict(_reply(path, read_record(path)), changed=False)
    with lock:
        clear(path)
        try:
            os.mkdir(path, PRIVATE)
            warnings = _install(spec, path, run, clean_environment(**{MARK: mark_of(path)}), progress)
            progress("looking at what was installed")
            description, problem = examine(path, run)
        except BaseException:
            end_leftovers(path)
            _remove(path)
            raise
        return dict(complete(spec, path, description, problem, warnings), warnings=warnings)


def take_unless_complete(spec, progress):
    """Return the lock with which to make an environment, or None when it is complete already, or by now.

    Raises:
        InUse: a running job uses it, and it is not complete.
    """
    try:
        lock = EnvLock.take(path_of(spec["root"], spec["key"]), progress)
    except InUse:
        # Held by the deploy that was waited for, or its job.
        if state(spec["root"], spec["key"]) == "complete":
            return None
        raise
    if state(spec["root"], spec["key"]) != "complete":
        return lock
    lock.release()
    return None


def _in_environment(run, environment):
    return lambda argv, **options: run(argv, **dict(options, env=environment))


def clear(path):
    """Remove the rest of an interrupted build, and processes that still work at it; the lock is held."""
    if os.path.lexists(path):
        end_leftovers(path)
        _remove(path)


def end_leftovers(path):
    """End processes of a killed agent that still work on an environment: they would write into the next one."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.processes import Ender

    ender = Ender(mark_of(path), set(), 0, time.monotonic())
    while not ender.look(time.monotonic()):
        time.sleep(max(0.0, ender.next_look - time.monotonic()))


def _remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(os.path.join(path, MARKER))  # first: half an environment must not look like a whole one
    remove_tree(path)


def _install(spec, path, plain_run, inherited, progress):
    """Make the environment and install the lock, with uv where there is one; return the result of a check of it."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import installer_config
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import pip

    python = os.path.join(path, "bin", "python")
    lock = os.path.join(path, LOCK_TEXT)
    where_from = (spec["wheels"], spec["index_url"], spec.get("index_options", []))
    uv = find_uv(plain_run)
    of_files, warnings = installer_config.of_uv(spec["python"], plain_run, os.environ) if uv else ({}, [])
    run = _in_environment(plain_run, dict(pip.variables(inherited, of_files, *where_from), UV_PYTHON_DOWNLOADS="never"))
    if uv:
        _step(spec, run, progress, [uv, "venv", "--no-config", "--no-project", "--python", spec["python"], path])
    else:
        _step(spec, run, progress, [spec["python"], "-I", "-m", "venv", path])
    with open(lock, "w", encoding="utf-8") as out:
        out.write(spec["lock"])
    if uv:
        link_mode = "clone" if sys.platform == "darwin" else "copy"  # a hard link would let one edit reach the cache
        argv = pip.uv_install(uv, python, lock, pip.sources(*where_from, ["--offline"]), link_mode)
        _step(spec, run, progress, argv)
        return warnings + pip.complaints(attempt(run, [uv, "pip", "check", "--no-config", "--python", python])[1])
    of_files = installer_config.of_pip(path, inherited)
    run = _in_environment(plain_run, pip.variables(inherited, of_files, *where_from))
    _step(spec, run, progress, pip.pip_install(python, lock, pip.sources(*where_from, ["--isolated"])))
    warnings = pip.complaints(attempt(run, [*pip.pip(python), "check"])[1])
    _remove_pip(spec, python, run, progress)
    return warnings


def _remove_pip(spec, python, run, progress):
    """Take out the packages of venv that are not in the lock: uv puts none in, and both are to be the same."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import pip

    locked = {pip.canonical_name(name) for name in re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)", spec["lock"])}
    unwanted = sorted({"pip", "setuptools"} - locked)
    if unwanted:
        _step(spec, run, progress, [*pip.pip(python), "uninstall", "--yes", *unwanted])


def _step(spec, run, progress, argv):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.credentials import without_credentials

    code, text = attempt(run, argv, on_line=lambda line: progress(without_credentials(line)), cwd=os.path.join(spec["root"], "envs"))
    if code == 0:
        return
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import pip

    where = pip.describe_platform(*_platform_of(spec["python"], run))
    why = pip.explain(text, where) if text.strip() else ending(code)
    raise Broken("environment %s could not be built: %s" % (path_of(spec["root"], spec["key"]), why))


def _platform_of(python, run):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.interpreter import PythonNotFound, find_python

    try:
        said = find_python(python, run)
    except PythonNotFound:
        return {"system": os.uname().sysname, "machine": os.uname().machine}, "?"
    return said["platform"], said["version"]


def complete(spec, path, description, problem="", warnings=()):
    """Write the record that completes an environment; return the reply.

    Args:
        description, problem: what `examine` says of it.
        warnings: what else may be the reason of the problem.

    Raises:
        Broken: when there is a problem; the environment stays as it is for whoever looks, and incomplete.
    """
    if problem:
        raise Broken("\n".join([problem, *warnings]))
    record = {
        "format": FORMAT,
        "key": spec["key"],
        "created": time.time(),
        "digest": environment_digest(description),
        "description": description,
        "metadata": metadata_names(path),
        "asked": [spec.get("lock_sha256", ""), spec.get("wanted", "")],
        "base": spec.get("base") if isinstance(spec.get("base"), dict) else None,  # of a copy only the path is known
        "base_mark": base_mark(path),
    }
    os.chmod(path, PRIVATE)  # uv may have made it again
    _write_record(path, record)
    return dict(_reply(path, record), changed=True)


def _reply(path, record):
    return {"path": path, "digest": record["digest"], "description": record["description"], "warnings": []}


def _write_record(path, record):
    target = os.path.join(path, MARKER)
    with open(target + ".new", "w", encoding="utf-8") as out:
        json.dump(record, out, indent=1, sort_keys=True)
        out.flush()
        os.fsync(out.fileno())
    os.replace(target + ".new", target)


def prune(root, keep, current_key):
    """Remove incomplete environments, and the complete ones that were not deployed for longest.

    Args:
        keep: how many complete ones stay beside the current one.
        current_key: the one just deployed.

    Returns:
        {removed: [key], in_use: [key], failed: [text]}; in use are those that a job or another deploy holds.
    """
    folder = os.path.join(root, "envs")
    done = {"removed": [], "in_use": [], "failed": []}
    _touch(path_of(root, current_key))
    for key in _unwanted(folder, keep, current_key):
        try:
            done["removed" if _prune_one(os.path.join(folder, key)) else "in_use"].append(key)
        except OSError as exc:
            done["failed"].append("%s cannot be removed: %s" % (exc.filename or os.path.join(folder, key), exc.strerror))
    return done


def _touch(path):
    """Note that an environment was deployed again; another user's cannot be touched, and then stays as old as it is."""
    try:
        os.utime(os.path.join(path, MARKER))
    except OSError:
        pass


def _unwanted(folder, keep, current_key):
    ages, incomplete = {}, []
    for key in names(folder):
        if key == current_key or key.startswith(".") or not ownership.is_own(os.path.join(folder, key)):
            continue
        try:
            ages[key] = os.stat(os.path.join(folder, key, MARKER)).st_mtime_ns
        except OSError:
            incomplete.append(key)
    return sorted(incomplete) + sorted(ages, key=lambda key: ages[key], reverse=True)[max(0, keep) :]


def _prune_one(path):
    """Remove an environment unless it is in use; return whether it was removed."""
    lock = EnvLock.try_take(path)
    if lock is None:
        return False
    with lock:
        clear(path)
        lock.forget()
    return True
