# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between hosts that should be alike.

mlx#3933: runs were not comparable, because the shell profile of only one host set a variable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

MOST = 8  # variables in which one host differs that get a line each


def differences(facts: Mapping[str, Mapping[str, Any]], declared: Collection[str] = ()) -> list[tuple[str, str]]:
    """Return the differences between hosts, as (host, line): the host is the first one that is not as most are.

    Each variable and folder has a line. A host that differs in many variables has lines for the first of them, and one
    with the number of the others.

    Args:
        facts: reported by the hosts when they were ready, by host. Variables are hashed: a value may be a secret.
        declared: names of variables that the job itself sets.
    """
    names = {name for known in facts.values() for name in known.get("environment", {})} - set(declared)
    lines = []
    count: Counter[str] = Counter()
    for name in sorted(names):
        hosts_of = _by_value({host: known.get("environment", {}).get(name) for host, known in facts.items()})
        if len(hosts_of) > 1:
            host = _odd_one(hosts_of)
            count[host] += 1
            if count[host] <= MOST:
                advice = "--verbose shows the values; set it with --env or mlx_env to make it the same"
                lines.append((host, f"{name} differs between hosts: {_hidden(hosts_of)}; {advice}"))
    lines += [(host, f"and {number - MOST} more variables differ between hosts") for host, number in count.items() if number > MOST]
    folders = _by_value({host: known.get("cwd") for host, known in facts.items()})
    if len(folders) > 1:
        text = f"the working directory differs between hosts: {_phrase(folders)}; name one with --cwd or mlx_cwd"
        lines.append((_odd_one(folders), text))
    return lines


def _odd_one(by_value: Mapping[str | None, list[str]]) -> str:
    """Return the first host without the most frequent value; of two as frequent, "unset" is the usual one."""
    usual = max(by_value, key=lambda value: (len(by_value[value]), value is None))
    return next(hosts[0] for value, hosts in by_value.items() if value != usual)


def _hidden(by_value: Mapping[str | None, list[str]]) -> str:
    """Return "one value on a, b; another value on c; unset on d"."""
    first = next(value for value in by_value if value is not None)
    names = {None: "unset", first: "one value"}
    return "; ".join(f"{names.get(value, 'another value')} on {', '.join(hosts)}" for value, hosts in by_value.items())


def _phrase(by_value: Mapping[str | None, list[str]]) -> str:
    """Return "VALUE on a, b; VALUE on c"."""
    return "; ".join(f"{value!r} on {', '.join(hosts)}" for value, hosts in by_value.items())


def _by_value(values: Mapping[str, str | None]) -> dict[str | None, list[str]]:
    """Return the hosts with each value, in the order of the hosts."""
    found: dict[str | None, list[str]] = {}
    for host, value in values.items():
        found.setdefault(value, []).append(host)
    return found
