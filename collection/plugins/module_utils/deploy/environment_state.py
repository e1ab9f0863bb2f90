# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a Python environment on this host, read from its record; for the layout see environment.py.

Every deploy asks for it, and most change nothing: what only making an environment needs is imported there.
"""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import ownership
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.environment_digest import FORMAT
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import plain_json
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARKER


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
        [record.get("format"), record.get("key")] == [FORMAT, key]
        and os.path.exists(os.path.join(path, "bin", "python"))
        and record.get("metadata") == metadata_names(path)
    )
    return "complete" if whole else "incomplete"


def read_record(path):
    """Return the content of .mlxlaunch.json, or nothing."""
    try:
        with open(os.path.join(path, MARKER), "rb") as source:
            record = plain_json.loads(source.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def base_mark(path):
    """Return path, size and time of an environment's base interpreter, which change when it is replaced."""
    real = os.path.realpath(os.path.join(path, "bin", "python"))
    found = os.stat(real)
    return [real, found.st_size, found.st_mtime_ns]


def base_of(roots, lock_sha256, wanted, owners):
    """Return the result of `find_python` for an earlier environment of this lock and this wanted Python, or None.

    That spares starting interpreters; it counts as long as the one that was found is still the same file. A record
    that a stranger could have written does not count.

    Args:
        roots: where environments may be.
        lock_sha256, wanted: as the environment was asked for.
        owners: the `Owners` whose records count.
    """
    for root in roots:
        for key in names(os.path.join(root, "envs")):
            if key.startswith(".") or not owners.trust(root, ownership.parts_of_environment(key)):
                continue
            path = path_of(root, key)
            record = read_record(path)
            try:
                same = record.get("asked") == [lock_sha256, wanted] and record["base_mark"] == base_mark(path)
                if same and not owners.why_not_run(record["base"]["path"]):
                    return record["base"]
            except (OSError, KeyError, TypeError):
                continue
    return None


def metadata_names(path):
    """Return the sorted names of the environment's metadata directories, for example mlx-0.32.4.dist-info."""
    lib = os.path.join(path, "lib")
    found = []
    for version in names(lib):
        if version.startswith("python"):
            site = os.path.join(lib, version, "site-packages")
            found += [name for name in names(site) if name.endswith((".dist-info", ".egg-info", ".egg-link"))]
    return sorted(found)


def names(folder):
    """Return the names in a directory, none for one that cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []
