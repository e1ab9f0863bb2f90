# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: in what the hosts differ though they should not. Pure.

mlx#3933: runs were not comparable because one host's shell profile set a variable that another's did not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def differences(facts: Mapping[str, Mapping[str, Any]], declared: Collection[str] = ()) -> list[str]:
    """Return one line per thing in which hosts differ.

    Args:
        facts: what each host reported when it was ready, by host.
        declared: variables the job itself sets.
    """
    names = {name for known in facts.values() for name in known.get("environment", {})} - set(declared)
    lines = []
    for name in sorted(names):
        values = {host: known.get("environment", {}).get(name) for host, known in facts.items()}
        if len(set(values.values())) > 1:
            lines.append(f"{name} differs between hosts: {_phrase(values)}; set it with --env or mlx_env to make it the same")
    folders = {host: known.get("cwd") for host, known in facts.items()}
    if len(set(folders.values())) > 1:
        lines.append(f"the working directory differs between hosts: {_phrase(folders)}; name one with --cwd or mlx_cwd")
    return lines


def _phrase(values: Mapping[str, str | None]) -> str:
    """Return "VALUE on a, b; unset on c"."""
    hosts_by_value: dict[str | None, list[str]] = {}
    for host, value in values.items():
        hosts_by_value.setdefault(value, []).append(host)
    parts = [f"{'unset' if value is None else repr(value)} on {', '.join(hosts)}" for value, hosts in hosts_by_value.items()]
    return "; ".join(parts)
