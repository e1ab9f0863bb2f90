# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between hosts that should be alike.

mlx#3933: runs were not comparable, because the shell profile of only one host set a variable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def differences(facts: Mapping[str, Mapping[str, Any]], declared: Collection[str] = ()) -> list[str]:
    """Return one line for each variable and folder in which hosts differ.

    Args:
        facts: reported by the hosts when they were ready, by host. Variables are hashed: a value may be a secret.
        declared: names of variables that the job itself sets.
    """
    names = {name for known in facts.values() for name in known.get("environment", {})} - set(declared)
    lines = []
    for name in sorted(names):
        values = {host: known.get("environment", {}).get(name) for host, known in facts.items()}
        if len(set(values.values())) > 1:
            advice = "--verbose shows the values; set it with --env or mlx_env to make it the same"
            lines.append(f"{name} differs between hosts: {_hidden(values)}; {advice}")
    folders = {host: known.get("cwd") for host, known in facts.items()}
    if len(set(folders.values())) > 1:
        lines.append(f"the working directory differs between hosts: {_phrase(folders)}; name one with --cwd or mlx_cwd")
    return lines


def _hidden(values: Mapping[str, str | None]) -> str:
    """Return "one value on a, b; another value on c; unset on d"."""
    by_value = _by_value(values)
    first = next(value for value in by_value if value is not None)
    names = {None: "unset", first: "one value"}
    return "; ".join(f"{names.get(value, 'another value')} on {', '.join(hosts)}" for value, hosts in by_value.items())


def _phrase(values: Mapping[str, str | None]) -> str:
    """Return "VALUE on a, b; VALUE on c"."""
    return "; ".join(f"{value!r} on {', '.join(hosts)}" for value, hosts in _by_value(values).items())


def _by_value(values: Mapping[str, str | None]) -> dict[str | None, list[str]]:
    """Return the hosts with each value, in the order of the hosts."""
    found: dict[str | None, list[str]] = {}
    for host, value in values.items():
        found.setdefault(value, []).append(host)
    return found
