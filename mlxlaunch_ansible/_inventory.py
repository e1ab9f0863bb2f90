# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the hosts come from: an inventory, a hostfile in either schema, a list of names, or this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._core import Hostfile, UsageError, connection_variables, hostfile_from_data, hostfile_from_names, parse_env

# What `inventory` may be.
Inventory = str | os.PathLike[str] | Mapping[str, Any] | Sequence[str] | Sequence[Mapping[str, Any]] | Hostfile


@dataclass(frozen=True)
class Source:
    """Hosts as Ansible takes them, and the hostfile they came from, if any.

    Attributes:
        path: an inventory on disk, or None.
        data: an inventory as a mapping, to be written for Ansible, or None.
        hostfile: ranks in order, when a hostfile or a list of names says them.
    """

    path: str | None = None
    data: Mapping[str, Any] | None = None
    hostfile: Hostfile | None = None


def resolve_inventory(inventory: Inventory, group: str = "mlx") -> Source:
    """Return the source of hosts that `inventory` means.

    Args:
        inventory: path of an Ansible inventory or of an MLX hostfile; a mapping that is either of them; a list
            of host names or addresses, one rank each; a list of hostfile entries.
        group: inventory group that hosts of a hostfile or list become.

    Raises:
        UsageError: naming the file, the host and the field.
    """
    if isinstance(inventory, Hostfile):
        return _from_hostfile(inventory, group)
    if isinstance(inventory, Mapping):
        if isinstance(inventory.get("hosts"), list):
            return _from_hostfile(hostfile_from_data(inventory, "inventory"), group)
        return Source(data=inventory)
    if isinstance(inventory, (str, os.PathLike)):
        return _from_path(os.fspath(inventory), group)
    if inventory and all(isinstance(item, str) for item in inventory):
        return _from_hostfile(hostfile_from_names([str(item) for item in inventory]), group)
    return _from_hostfile(hostfile_from_data(list(inventory), "inventory"), group)


def read_hostfile(path: str | os.PathLike[str]) -> Hostfile:
    """Return the MLX hostfile at `path`, or raise UsageError naming it."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"{os.fspath(path)}: cannot read the hostfile: {exc.strerror}") from None
    except ValueError as exc:
        raise UsageError(f"{os.fspath(path)}: not JSON: {exc}") from None
    return hostfile_from_data(data, os.fspath(path))


def _from_path(path: str, group: str) -> Source:
    if not Path(path).exists():
        raise UsageError(f"{path}: no such inventory")
    if path.endswith(".json") and _looks_like_hostfile(path):
        return _from_hostfile(read_hostfile(path), group)
    return Source(path=os.path.abspath(path))


def _looks_like_hostfile(path: str) -> bool:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, list) or (isinstance(data, dict) and isinstance(data.get("hosts"), list))


def _from_hostfile(hostfile: Hostfile, group: str) -> Source:
    hosts = {entry.ssh: connection_variables(entry.ssh) for entry in hostfile.entries}
    variables = {"mlx_env": parse_env(hostfile.envs, "hostfile: envs")} if hostfile.envs else {}
    return Source(data={group: {"hosts": hosts, "vars": variables}}, hostfile=hostfile)
