# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of an inventory that look like ours and are none. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..job.settings import SETTINGS

_ALIKE = 0.85  # of difflib: a letter or two; a variable may as well be the user's own
_PER_HOST = ("mlx_ips", "mlx_rdma", "mlx_slots")
# Of other work, which has no part in a job.
_OTHERS = ("mlx_fetch", "mlx_hostfile", "mlx_network", "mlx_prepare")


def misspelled(variables: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a line for each variable that is none of ours, though it looks like one.

    Args:
        variables: the names of each host's variables, by host.
    """
    known = {*(setting.variable for setting in SETTINGS), *_PER_HOST}
    hosts: dict[str, list[str]] = {}
    for host, names in variables.items():
        for name in names:
            if name.startswith("mlx") and name not in known and not name.startswith(_OTHERS):
                hosts.setdefault(name, []).append(host)
    near = {name: _nearest(name, known) for name in hosts}
    return [
        f"{name} of {', '.join(hosts[name])}: there is no such variable; did you mean {meant}?" for name, meant in near.items() if meant
    ]


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib  # late: few inventories have a mistake

    return next(iter(difflib.get_close_matches(name, sorted(known), 1, _ALIKE)), "")
