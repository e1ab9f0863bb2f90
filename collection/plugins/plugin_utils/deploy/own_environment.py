# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's own environment, for `mlx_environment: copy`."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ...module_utils.shared.environment_digest import PROBE, environment_digest
from ...module_utils.shared.pip import canonical_name
from ...module_utils.shared.probe_answer import answer
from ..job.errors import UsageError

_OURSELVES = "mlxlaunch-ansible"  # may be installed from a checkout: no rank needs it


@dataclass(frozen=True)
class OwnEnvironment:
    """The environment that this Python runs in.

    Args:
        prefix: its directory.
        base: path of the interpreter it was made from.
        description: its Python, platform and packages, as PROBE in shared/environment_digest.py prints them.
        digest: of the description.
        outside: {package: directory} of packages that are installed editable, from outside.
        shared: whether it also uses the packages of its base interpreter.
    """

    prefix: str
    base: str
    description: Mapping[str, Any]
    digest: str
    outside: Mapping[str, str]
    shared: bool

    @property
    def version(self) -> str:
        """The exact version of Python."""
        return str(self.description["python"])


def own_environment(prefix: str = sys.prefix) -> OwnEnvironment:
    """Return the environment to copy.

    Raises:
        UsageError: when this Python does not run in a virtual environment.
    """
    config = Path(prefix, "pyvenv.cfg")
    if not config.is_file():
        raise UsageError(f"mlx_environment: copy: {prefix} is not a virtual environment; make one for mlxlaunch, or name a lock file")
    python = f"{prefix}/bin/python"
    done = subprocess.run([python, "-I", "-c", PROBE], capture_output=True, text=True, check=False)
    description = answer(done.stdout)
    if done.returncode or description is None:
        raise UsageError(f"mlx_environment: copy: {python} does not work: {done.stderr.strip()}")
    values = _read_config(config)
    return OwnEnvironment(
        prefix=prefix,
        base=_base(values, str(description["python"])),
        description=description,
        digest=environment_digest(description),
        outside=_editables(Path(prefix)),
        shared=values.get("include-system-site-packages", "").lower() == "true",
    )


def _read_config(config: Path) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string("[venv]\n" + config.read_text(encoding="utf-8"))
    return dict(parser["venv"])


def _base(values: Mapping[str, str], version: str) -> str:
    """Return the base interpreter by the path that pyvenv.cfg knows it by: that one must be on a host."""
    home = values.get("home", "")
    for name in (f"python{version.rpartition('.')[0]}", "python3", "python"):
        if Path(home, name).exists():
            return f"{home}/{name}"
    return os.path.realpath(sys.executable)


def _editables(prefix: Path) -> dict[str, str]:
    """Return {package: directory} of the packages that are installed from a directory outside (PEP 610)."""
    found = {}
    for file in prefix.glob("lib/python3*/site-packages/*.dist-info/direct_url.json"):
        try:
            origin = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if origin.get("dir_info", {}).get("editable"):
            name = canonical_name(file.parent.name.split("-")[0])
            found[name] = unquote(urlsplit(origin.get("url", "")).path)
    return found


def reasons_not_to_copy(own: OwnEnvironment) -> list[str]:
    """Return why the controller's environment will run on no other host; nothing when it will. Pure."""
    reasons = [
        f"{name} is installed editable: its files are in {folder}, not in {own.prefix}; install it without --editable"
        for name, folder in own.outside.items()
        if name != _OURSELVES
    ]
    if own.shared:
        reasons.append(f"{own.prefix} uses the packages of its base interpreter too (--system-site-packages), which would not be copied")
    return reasons


def difference(own: OwnEnvironment, python: Mapping[str, Any]) -> str:
    """Return why the controller's environment will not run on a host, "" when it will. Pure.

    Args:
        own: the environment that would be copied.
        python: the base interpreter there, as the host's handshake describes it.
    """
    mine, theirs = own.description["platform"], python["platform"]
    if (mine["system"], mine["machine"]) != (theirs["system"], theirs["machine"]):
        return f"the host is {theirs['system']} {theirs['machine']}, the controller {mine['system']} {mine['machine']}"
    if (own.version, own.description["implementation"]) != (python["version"], python["implementation"]):
        return f"{own.base} is Python {python['version']}, on the controller {own.version}"
    return ""
