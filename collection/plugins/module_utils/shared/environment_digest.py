# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digest of a Python environment and the key of its directory, computed by the same lines on both sides."""

from __future__ import annotations

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


# Of the directory and its record: environments of another format are others, and are made anew.
FORMAT = 1


def environment_key(lock_sha256, python, platform):
    """Return the name of the directory: equal locks, exact Python versions and platforms have the same.

    Args:
        lock_sha256: of the lock's content, or the digest of an environment that is copied.
        python: its version and implementation, as `find_python` returns them.
        platform: its system and machine; a release of macOS or glibc makes no other environment.
    """
    meant = [FORMAT, lock_sha256, python["implementation"], python["version"], platform["system"], platform["machine"]]
    return _sha256(meant)[:16]


def environment_digest(description):
    """Return the sha256 of the result of `describe`: equal for environments that are the same."""
    return _sha256(description)


def _sha256(value):
    import hashlib  # OpenSSL, which a host that has the environment need not load
    import json

    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
