# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: build, describe, hold and remove Python environments.

    envs/<key>/                  complete when it has .mlxlaunch.json, which is written last
    envs/.<key>.lock             flock: exclusive while it is built or removed, shared while a job uses it

An environment is built where it stays, as its scripts and its pyvenv.cfg name their own path.
"""

from __future__ import annotations

# Most hosts have the environment already: what only making one needs is imported where it is made.
import json
import os
import re
import sys
import time

from ansible_collections.mlxlaunch.cluster.plugins.module_utils._envlock import MARKER, EnvLock, mark_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._interpreter import SAID, answer, attempt, ending, find_uv
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._lock import InUse

LOCK_TEXT = ".mlxlaunch.lock.txt"  # what it was built from, for whoever looks
_NOT_INHERITED = ("PYTHON", "__PYVENV", "VIRTUAL_ENV", "CONDA_PREFIX", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_ROOT", "PIP_REQUIRE_")

# What one environment says of itself, on the controller and on every host by these same lines.
# It reads what importlib.metadata would, which takes five times as long, as it loads a parser of mail.
PROBE = r"""
import json, os, re, sys
def fields(path):
    read = {}
    for file in (path + "/METADATA", path + "/PKG-INFO", path):
        try:
            with open(file, encoding="utf-8", errors="replace") as source:
                for line in source:
                    if not line.strip():
                        break
                    name, _colon, value = line.partition(":")
                    read.setdefault(name.lower(), value.strip())
            break
        except OSError:
            pass
    return read
def distributions():
    for folder in sys.path:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if name.lower().endswith((".dist-info", ".egg-info")):
                read = fields(folder + "/" + name)
                yield read.get("name"), read.get("version")
def all_distributions():
    import importlib.metadata
    for distribution in importlib.metadata.distributions():
        yield distribution.metadata["Name"], distribution.version
found = {}
for name, number in all_distributions() if any(path.endswith(".egg") for path in sys.path) else distributions():
    if name:
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), number)
version = "%d.%d.%d" % sys.version_info[:3]
if sys.version_info[3] != "final":
    version += sys.version_info[3][0].replace("c", "rc") + str(sys.version_info[4])
system, _node, _release, _version, machine = os.uname()
print("MLXLAUNCH " + json.dumps({
    "python": version,
    "implementation": sys.implementation.name + ("-t" if "t" in getattr(sys, "abiflags", "") else ""),
    "platform": {"system": system, "machine": machine},
    "distributions": dict(sorted(found.items())),
}), flush=True)
"""
_TRY_MLX = """
if "mlx" in found:
    import mlx.core
"""


class Broken(Exception):
    """The environment could not be built or does not work; the text says why, and where."""


def environment_key(lock_sha256, python, platform):
    """Return the name of the directory: equal locks, exact Python versions and platforms have the same.

    Args:
        lock_sha256: of the lock's content, or the digest of an environment that is copied.
        python: its version and implementation, as `find_python` returns them.
        platform: its system and machine; a release of macOS or glibc makes no other environment.
    """
    meant = [lock_sha256, python["implementation"], python["version"], platform["system"], platform["machine"]]
    return _sha256(meant)[:16]


def environment_digest(description):
    """Return the sha256 of what `describe` says: equal for environments that are the same."""
    return _sha256(description)


def _sha256(value):
    import hashlib  # OpenSSL, which a host that has the environment need not load

    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def path_of(root, key):
    """Return the path of an environment."""
    return os.path.join(root, "envs", key)


def state(root, key):
    """Return "complete", "absent" or "incomplete" of an environment, without starting a process.

    Packages that someone installed or removed by hand make it incomplete: the names of the metadata directories,
    which carry the versions, are no longer those it was completed with. So does a base interpreter that has gone.
    """
    path = path_of(root, key)
    if not os.path.isdir(path):
        return "absent"
    record = read_record(path)
    whole = (
        record.get("key") == key and os.path.exists(os.path.join(path, "bin", "python")) and record.get("metadata") == metadata_names(path)
    )
    return "complete" if whole else "incomplete"


def read_record(path):
    """Return what .mlxlaunch.json says, or nothing."""
    try:
        with open(os.path.join(path, MARKER), encoding="utf-8") as source:
            record = json.load(source)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def base_mark(path):
    """Return what changes when the base interpreter of an environment does: its path, size and time."""
    real = os.path.realpath(os.path.join(path, "bin", "python"))
    found = os.stat(real)
    return [real, found.st_size, found.st_mtime_ns]


def base_of(roots, lock_sha256, wanted):
    """Return what `find_python` said when an environment was made from this lock and wish, or None.

    That spares starting interpreters; it counts as long as the one that was found is still the same file.
    """
    for root in roots:
        for key in _names(os.path.join(root, "envs")):
            path = path_of(root, key)
            record = read_record(path) if not key.startswith(".") else {}
            try:
                if record.get("asked") == [lock_sha256, wanted] and record["base_mark"] == base_mark(path):
                    return record["base"]
            except (OSError, KeyError):
                continue
    return None


def metadata_names(path):
    """Return the sorted names of the environment's metadata directories, such as mlx-0.32.4.dist-info."""
    lib = os.path.join(path, "lib")
    found = []
    for version in _names(lib):
        if version.startswith("python"):
            site = os.path.join(lib, version, "site-packages")
            found += [name for name in _names(site) if name.endswith((".dist-info", ".egg-info", ".egg-link"))]
    return sorted(found)


def _names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def describe(path, run):
    """Return python, implementation, platform and distributions {name: version} of an environment.

    Raises:
        Broken: when its Python cannot tell.
    """
    return _probe(path, run, PROBE)[0]


def examine(path, run):
    """Return what `describe` does, and why MLX, if the environment has it, cannot be imported, or "".

    One process does both, and the first import of a job is then a warm one.

    Raises:
        Broken: when its Python cannot tell.
    """
    said, code, text = _probe(path, run, PROBE + _TRY_MLX)
    return said, "import mlx.core fails in %s (%s):\n%s" % (path, ending(code), _tail(text)) if code else ""


def _probe(path, run, program):
    """Return what the environment's Python says of itself, its exit status, and what else it said."""
    code, text = attempt(run, [os.path.join(path, "bin", "python"), "-I", "-c", program], env=clean_environment())
    said = answer(text)
    if said is None or (code != 0 and program == PROBE):
        raise Broken("environment %s does not work: %s" % (path, _tail(text) or ending(code)))
    return said, code, "\n".join(line for line in text.splitlines() if not line.startswith(SAID))


def _tail(text, lines=12):
    return "\n".join(text.strip().splitlines()[-lines:])


def clean_environment(**more):
    """Return the variables for a child, without those that lead Python or pip to somewhere else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    kept.update(more)
    return kept


def build(spec, run, progress):
    """Build an environment, or wait for another deploy to; return {error, changed, path, digest, description, warnings}.

    Args:
        spec: root, key, python (path), lock (text: requirements with hashes), wheels (directory here, or ""),
            index_url ("" for the configured one), index_options (the lock's own, a list, may be missing).
        run: runs a command, see `_agent`.
        progress: is called with a line of text now and then.
    """
    return guarded(spec, lambda: _build(spec, run, progress))


def guarded(spec, work):
    """Return the result of `work`, or what went wrong in it as {error}, with files made for everybody to read."""
    path = path_of(spec["root"], spec["key"])
    mask = os.umask(0o022)
    try:
        return dict(work(), error="")
    except (Broken, InUse) as exc:
        return {"error": str(exc)}
    except OSError as exc:
        return {"error": _os_error(exc, path)}
    finally:
        os.umask(mask)


def _os_error(exc, path):
    advice = ""
    if isinstance(exc, PermissionError):
        advice = "; set mlx_root to a directory that this user may write to, or become one who may"
    return "environment %s cannot be made: %s: %s%s" % (path, exc.filename or path, exc.strerror, advice)


def _build(spec, run, progress):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils._processes import MARK

    path = path_of(spec["root"], spec["key"])
    with EnvLock.take(path, progress):
        if state(spec["root"], spec["key"]) == "complete":
            record = read_record(path)
            return dict(_reply(path, record), changed=False)
        clear(path)
        try:
            environment = clean_environment(UV_PYTHON_DOWNLOADS="never", **{MARK: mark_of(path)})
            warnings = _install(spec, path, _in_environment(run, environment), progress)
            progress("looking at what was installed")
            description, problem = examine(path, run)
        except BaseException:
            end_leftovers(path)
            _remove(path)
            raise
        return dict(complete(spec, path, description, problem, warnings), warnings=warnings)


def _in_environment(run, environment):
    return lambda argv, **options: run(argv, **dict(options, env=environment))


def clear(path):
    """Remove what an interrupted build left, and its processes, if any still work at it; the lock is held."""
    if os.path.lexists(path):
        end_leftovers(path)
        _remove(path)


def end_leftovers(path):
    """End what an agent that was killed has left at work on an environment: it would write into the next one."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils._processes import Ender

    ender = Ender(mark_of(path), set(), 0, time.monotonic())
    while not ender.look(time.monotonic()):
        time.sleep(max(0.0, ender.next_look - time.monotonic()))


def _remove(path):
    import shutil

    try:
        os.unlink(os.path.join(path, MARKER))  # first: half an environment must not look like a whole one
    except OSError:
        pass
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


def _install(spec, path, run, progress):
    """Make the environment and install the lock, with uv where there is one; return what a check of it says."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _pip

    python = os.path.join(path, "bin", "python")
    lock = os.path.join(path, LOCK_TEXT)
    uv = find_uv(run)
    if uv:
        _step(spec, run, progress, [uv, "venv", "--no-project", "--python", spec["python"], path])
    else:
        _step(spec, run, progress, [spec["python"], "-I", "-m", "venv", path])
    with open(lock, "w", encoding="utf-8") as out:
        out.write(spec["lock"])
    where_from = (spec["wheels"], spec["index_url"], spec.get("index_options", []))
    if uv:
        link_mode = "clone" if sys.platform == "darwin" else "copy"  # a hard link would let one edit reach the cache
        argv = _pip.uv_install(uv, python, lock, _pip.sources(*where_from, ["--no-config", "--offline"]), link_mode)
        _step(spec, run, progress, argv)
        return _pip.complaints(attempt(run, [uv, "pip", "check", "--python", python])[1])
    _step(spec, run, progress, _pip.pip_install(python, lock, _pip.sources(*where_from, ["--isolated"])))
    warnings = _pip.complaints(attempt(run, [*_pip.pip(python), "check"])[1])
    _remove_pip(spec, python, run, progress)
    return warnings


def _remove_pip(spec, python, run, progress):
    """Take out what venv has put in, unless the lock wants it: uv puts nothing in, and both are to be the same."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _pip

    locked = {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)", spec["lock"])}
    unwanted = sorted({"pip", "setuptools"} - locked)
    if unwanted:
        _step(spec, run, progress, [*_pip.pip(python), "uninstall", "--yes", *unwanted])


def _step(spec, run, progress, argv):
    code, text = attempt(run, argv, on_line=progress, cwd=os.path.join(spec["root"], "envs"))
    if code == 0:
        return
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _pip

    where = _pip.describe_platform(*_platform_of(spec["python"], run))
    why = _pip.explain(text, where) if text.strip() else ending(code)
    raise Broken("environment %s could not be built: %s" % (path_of(spec["root"], spec["key"]), why))


def _platform_of(python, run):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils._interpreter import NotThere, find_python

    try:
        said = find_python(python, run)
    except NotThere:
        return {"system": os.uname().sysname, "machine": os.uname().machine}, "?"
    return said["platform"], said["version"]


def complete(spec, path, description, problem="", warnings=()):
    """Write the record that makes what is built an environment; return the reply.

    Args:
        description, problem: what `examine` says of it.
        warnings: what else may be the reason of the problem.

    Raises:
        Broken: when there is a problem; the environment stays as it is for whoever looks, and incomplete.
    """
    if problem:
        raise Broken("\n".join([problem, *warnings]))
    record = {
        "key": spec["key"],
        "created": time.time(),
        "digest": environment_digest(description),
        "description": description,
        "metadata": metadata_names(path),
        "asked": [spec.get("lock_sha256", ""), spec.get("wanted", "")],
        "base": spec.get("base") if isinstance(spec.get("base"), dict) else None,  # of a copy only the path is known
        "base_mark": base_mark(path),
    }
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
    """Remove what is no longer wanted: incomplete environments, and complete ones that were not deployed for longest.

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
    for key in _names(folder):
        if key == current_key or key.startswith("."):
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
