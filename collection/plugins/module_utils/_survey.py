# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: what a check wants to know of it. Changes nothing."""

from __future__ import annotations

import json
import os
import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _hostcheck as hostcheck
from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _machine as machine
from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _ports as ports
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._leftovers import leftovers

_PATIENCE = 120.0  # seconds for a Python that has to be read from a slow disk, or imports all of Metal
_STUB = "/usr/bin/python3"
_MORE_PATH = ("/opt/homebrew/bin", "/usr/local/bin")  # not in the PATH that ssh gives on a Mac

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
    """Return what is here.

    Args:
        spec: root; python (path) and env (variables) of the ranks; environment (key, or empty); project
            ({name, digest}, or None); script, cwd, default_cwd; addresses; listen ("ip:port"), port_flag; devices;
            mpirun (paths where a launch looks for it, best first; nothing for a backend that does without).
    """
    run = agent.run
    problems = []
    if not hostcheck.check_addresses(spec["addresses"], problems):
        problems += ports.check(spec["listen"], spec["port_flag"])
    hostcheck.check_devices(spec["devices"], problems)
    return {
        "system": machine.system(run),
        "python": _python(run, spec),
        "environment": _environment(run, spec["root"], spec["environment"]) if spec["environment"] else None,
        "project": _project(spec["root"], **spec["project"]) if spec["project"] else None,
        "script": _script(spec),
        "addresses": {"own": hostcheck.own_addresses(), "problems": problems},
        "mpirun": _mpirun(run, spec["python"], spec["mpirun"]),
        "disk": machine.disk(spec["root"]),
        "memory": machine.memory(run),
        "open_files": machine.open_files(),
        "leftovers": leftovers(spec["root"]),
    }


def _python(run, spec):
    """Return what the ranks' Python says of itself, and whether MLX can be imported; `problem` when it does not run."""
    path = spec["python"]
    found = {"path": path, "problem": "", "import_error": ""}
    if not hostcheck._find_program(path, spec["cwd"] or os.path.expanduser("~")):
        return dict(found, problem="%s is not there, or cannot be run" % path)
    if path == _STUB and machine.is_mac() and not machine.output(run, ["/usr/bin/xcode-select", "-p"]):
        # Running it would open a dialog on the Mac's screen.
        return dict(found, problem="%s is only a stub; run xcode-select --install on that Mac" % path)
    env = dict(os.environ, **spec["env"])
    status, text = machine.attempt(run, [path, "-c", _PROBE], env=env, timeout=_PATIENCE)
    said = _answer(text)
    if status or not said:
        return dict(found, problem="%s does not run: %s" % (path, _last(status, text)))
    found.update(json.loads(said))
    status, text = machine.attempt(run, [path, "-c", _IMPORT], env=env, timeout=_PATIENCE)
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
    """Return state and digest of an environment, all of it looked at, and what is wrong with it."""
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _environment as environment

    path = os.path.join(root, "envs", key)
    found = {"path": path, "state": environment.state(root, key), "digest": "", "problem": ""}
    if found["state"] != "complete":
        return found
    try:
        found["digest"] = environment.environment_digest(environment.describe(path, run))
    except environment.Broken as exc:
        return dict(found, problem=str(exc))
    if environment.read_record(path).get("digest") != found["digest"]:
        found["problem"] = "packages in %s are not those it was made with" % path
    return found


def _project(root, name, digest):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _versions

    return _versions.state(root, name, digest)


def _script(spec):
    """Return what is wrong with a script that is a path on this host, or nothing."""
    problems = []
    if spec["script"] and not spec["project"]:
        cwd = hostcheck._find_cwd(spec, problems)
        hostcheck._check_script(spec["script"], cwd, problems)
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
