# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts about a host that a check gathers. Nothing is changed."""

from __future__ import annotations

import json
import os
import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import reports
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check.leftovers import leftovers
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import login, machine, ownership, ports, programs, stray_variables
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.closed import closed_folder
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import MOST_NAMED, CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.manifest import short

_PATIENCE = 120.0  # seconds for a Python that has to be read from a slow disk, or imports all of Metal
_STUB = "/usr/bin/python3"
_MORE_PATH = ("/opt/homebrew/bin", "/usr/local/bin")  # not in the PATH that ssh gives on a Mac

# MLX advises to leave it unset, as of August 2026: with it, ranks may wait for each other for ever (mlx#3830, mlx#4005).
_FAST_SYNCH = "MLX_METAL_FAST_SYNCH"

# Without the current directory, which is not a rank's either: a rank has its script's there.
_PROBE = r"""
import sys
sys.path[:] = [path for path in sys.path if path]
import importlib.metadata, json, os
try:
    mlx = importlib.metadata.version("mlx")
except importlib.metadata.PackageNotFoundError:
    mlx = ""
print("PROBED " + json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3],
    "implementation": sys.implementation.name,
    "executable": sys.executable,
    "machine": os.uname().machine,
    "platform": sys.platform,
    "mlx": mlx,
}))
"""
_IMPORT = r"""
import sys
sys.path[:] = [path for path in sys.path if path]
import mlx.core
print("PROBED " + repr(str(getattr(mlx.core, "__version__", ""))))
"""


def survey(agent, spec):
    """Return the facts about this host.

    Args:
        spec: root; keep (earlier versions that are to stay); python (path) and env (variables) of the ranks;
            environment (key, or empty); project ({name, digest}, or None); script, cwd, default_cwd; addresses;
            listen ("ip:port"), port_flag; devices; mpirun (paths where a launch looks for it, best first; nothing for a
            backend that does without); own (names of the variables that the job sets); rdma (whether it needs RDMA).
    """
    started = reports.start(spec["rdma"])
    try:
        found = _look(agent, spec)
    finally:  # they end with a look that is broken off
        told = reports.collect(started, agent)
    return dict(found, reports=told)


def _look(agent, spec):
    run = agent.run
    spec = dict(spec, **{name: os.path.expanduser(spec[name]) for name in ("python", "script", "cwd")})
    problems = []
    if not programs.check_addresses(spec["addresses"], problems):
        problems += ports.check(spec["listen"], spec["port_flag"])
    programs.check_devices(spec["devices"], problems)
    root = _root(agent.owners, spec)
    safe = not (root and root["problem"])
    return {
        "system": machine.system(run),
        "root": root,
        "python": _python(run, spec) if safe else _not_run(spec["python"]),
        "environment": _environment(run, spec["root"], spec["environment"]) if spec["environment"] and safe else None,
        "project": _project(spec["root"], **spec["project"]) if spec["project"] and safe else None,
        "script": _script(spec),
        "addresses": {"own": programs.own_addresses(), "problems": problems},
        "mpirun": _mpirun(run, spec["python"], spec["mpirun"]),
        "disk": machine.disk(spec["root"]),
        "kept": _kept(spec["root"], spec["keep"]),
        "memory": machine.memory(run),
        "open_files": machine.open_files(),
        "processes": machine.processes(),
        "ends_with_login": login.ends_processes(),
        "stray": stray_variables.clear_stray(dict(os.environ), spec["own"]),
        "fast_synch": dict(os.environ, **spec["env"]).get(_FAST_SYNCH),
        "leftovers": leftovers(spec["root"] if safe else ""),
    }


def _root(owners, spec):
    """Return the path of the root, and who else could change what is in it; None when nothing is to be there."""
    if not (spec["environment"] or spec["project"]):
        return None
    below = ownership.parts_of_environment(spec["environment"]) if spec["environment"] else []
    if spec["project"]:
        below += ownership.parts_of_version(spec["project"]["name"], short(spec["project"]["digest"]))
    found = {"path": spec["root"], "problem": ""}
    try:
        owners.check(spec["root"], below)
    except CallFailed as exc:
        found["problem"] = str(exc)
    return found


def _not_run(path):
    return {"path": path, "problem": "%s is not run before the root is safe" % path, "import_error": ""}


def _python(run, spec):
    """Return facts about the ranks' Python, and whether it can import MLX; `problem` when it does not run."""
    path, problems = spec["python"], []
    found = {"path": path, "problem": "", "import_error": ""}
    program = programs.check_program("python", path, spec["cwd"] or os.path.expanduser("~"), spec["env"], problems)
    if problems:
        return dict(found, problem=problems[0])
    if path == _STUB and machine.is_mac() and not machine.output(run, ["/usr/bin/xcode-select", "-p"]):
        # Running it would open a dialog on the Mac's screen.
        return dict(found, problem="%s is only a stub; run xcode-select --install on that Mac" % path)
    env = dict(os.environ, **spec["env"])
    status, text = machine.attempt(run, [program, "-c", _PROBE], env=env, timeout=_PATIENCE)
    said = _answer(text)
    if status or not said:
        return dict(found, problem="%s does not run: %s" % (path, _last(status, text)))
    found.update(json.loads(said))
    found["program"] = os.path.realpath(found["executable"])
    status, text = machine.attempt(run, [program, "-c", _IMPORT], env=env, timeout=_PATIENCE)
    said = _answer(text)
    if status or not said:
        return dict(found, import_error=_last(status, text))
    return dict(found, mlx=found["mlx"] or said.strip("'\""))


def _answer(text):
    answers = [line[len("PROBED ") :] for line in text.splitlines() if line.startswith("PROBED ")]
    return answers[-1] if answers else ""


def _last(status, text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if status < 0 or not lines:
        how = "killed by signal %d" % -status if status < 0 else "exit status %d" % status
        return "%s (%s)" % (lines[-1], how) if lines else how
    return lines[-1]


def _environment(run, root, key):
    """Return state, digest and problem of an environment, after a look at all of it."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment

    path = os.path.join(root, "envs", key)
    found = {"path": path, "state": environment.state(root, key), "digest": "", "problem": ""}
    if found["state"] != "complete":
        return dict(found, problem=closed_folder(path))
    try:
        found["digest"] = environment.environment_digest(environment.describe(path, run))
    except environment.Broken as exc:
        return dict(found, problem=str(exc))
    if environment.read_record(path).get("digest") != found["digest"]:
        found["problem"] = "packages in %s are not those it was made with" % path
    return found


def _project(root, name, digest):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import versions

    found = versions.state(root, name, digest)
    return dict(found, edited=found["edited"][:MOST_NAMED], extra=found["extra"][:MOST_NAMED], closed=closed_folder(found["path"]))


def _kept(root, keep):
    """Return which old versions no deploy will remove, as a text."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import retention

    try:
        return retention.describe(retention.kept(root, keep))
    except OSError:
        return ""  # they are closed, and their owner is told


def _script(spec):
    """Return the problems with a script that is a path on this host."""
    problems = []
    if spec["script"] and not spec["project"]:
        cwd = programs.find_cwd(spec["cwd"], spec["default_cwd"], problems)
        programs.check_script(spec["script"], cwd, problems)
    return problems


def _mpirun(run, python, paths):
    """Return path and version of mpirun, empty when there is none: at `paths`, or else where any program may be."""
    if not paths:
        folders = [os.path.dirname(python)] if os.path.isabs(python) else []
        folders += os.environ.get("PATH", os.defpath).split(os.pathsep) + list(_MORE_PATH)
        paths = [os.path.join(folder, "mpirun") for folder in folders]
    for path in paths:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            version = re.search(r"\d+\.\d+[\w.]*", machine.output(run, [path, "--version"]))
            return {"path": path, "version": version.group(0) if version else ""}
    return {"path": "", "version": ""}
