# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mpirun of this host, and the library that goes with it."""

from __future__ import annotations

import glob
import os
import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import DAEMONS

_VERSION = re.compile(r"\(Open MPI\) (\d+\.\d+\.\d+)")
# Below the prefix: as installed by itself, by a distribution, and on a Mac.
_LIBRARIES = ("lib/libmpi.so.*", "lib64/libmpi.so.*", "lib/*-linux-gnu*/libmpi.so.*", "lib/libmpi.*.dylib", "lib/libmpi.dylib")


def find(candidates, why_not_run):
    """Return {path: {version, libmpi, folders} or {error}} for the paths that have an mpirun.

    Args:
        candidates: paths where one may be.
        why_not_run: returns why a program must not be run, or ""; see `Owners.why_not_run`.
    """
    found = [path for path in candidates if os.path.isfile(path) and os.access(path, os.X_OK)]
    refused = {path: why_not_run(path) for path in found}
    return {path: {"error": refused[path]} if refused[path] else describe(path) for path in found}


def describe(mpirun):
    """Return version, library and directories of an mpirun, or the error that it is not one to use."""
    import subprocess  # only for this backend: it is slow to import

    try:
        done = subprocess.run(
            [mpirun, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return {"error": "%s --version: %s" % (mpirun, getattr(exc, "strerror", None) or "no answer")}
    said = done.stdout.decode("utf-8", "replace")
    version = _VERSION.search(said)
    if not version:
        first = (said.strip().splitlines() or ["status %d" % done.returncode])[0][:120]
        return {"error": "%s is not Open MPI; it says: %s" % (mpirun, first)}
    library = libmpi(mpirun)
    if not library:
        return {"error": "no libmpi was found beside %s (looked for lib/libmpi.*)" % mpirun}
    return {"version": version.group(1), "libmpi": library, "folders": folders(mpirun)}


def folders(mpirun):
    """Return the directories of an mpirun and of its daemons: as they are named, and where links lead."""
    beside = [os.path.join(os.path.dirname(mpirun), name) for name in DAEMONS]
    programs = [mpirun, os.path.realpath(mpirun), *[os.path.realpath(path) for path in beside if os.path.exists(path)]]
    return sorted({os.path.dirname(path) for path in programs})


def libmpi(mpirun):
    """Return the path of the library that belongs to an mpirun, or "". MLX loads it by `MLX_MPI_LIBNAME`."""
    for path in (mpirun, os.path.realpath(mpirun)):
        prefix = os.path.dirname(os.path.dirname(path))
        for pattern in _LIBRARIES:
            found = glob.glob(os.path.join(glob.escape(prefix), pattern))
            if found:
                return min(found, key=lambda path: (len(path), path))
    return ""
