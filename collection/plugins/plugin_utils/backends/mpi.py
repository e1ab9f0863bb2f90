# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The call of mpirun: its paths, the names it uses for hosts, and the program it starts. Pure.

mpirun runs on the host of rank 0. In place of ssh it starts a shim (module_utils/launch/mpi_shim.py) that hands HOST
COMMAND back through the channel, so no host needs to reach another by ssh. In place of a rank it starts the same shim,
and the host's supervisor starts the rank.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from ...module_utils.lead.mpi_job import SSH
from ...module_utils.lead.rank_table import Rank, RankTable
from ...module_utils.shared.addresses import is_ip

_WHERE = ("/opt/homebrew/bin/mpirun", "/usr/local/bin/mpirun", "/usr/bin/mpirun")


def candidates(mpirun: str, python: str) -> list[str]:
    """Return paths where mpirun may be, best first: the one that is set, or beside the ranks' Python and usual ones."""
    if mpirun:
        return [mpirun]
    beside = [str(PurePosixPath(python).with_name("mpirun"))] if python.startswith("/") else []
    return list(dict.fromkeys([*beside, *_WHERE]))


def runnable(shim: str) -> str:
    """Return the program that mpirun starts in place of ssh and of ranks, from the source of the shim."""
    return shim + "\n\nmain()\n"


def labels(table: RankTable, addresses: Mapping[str, str], agent: str) -> dict[str, str]:
    """Return {host: its name for mpirun}, which need not be a name that resolves.

    Args:
        table: the ranks.
        addresses: the address by which each host is reached.
        agent: with SSH, mpirun connects to these addresses.
    """
    first, *others = table.hosts
    if agent == SSH:
        return {first: "localhost"} | {host: addresses[host] for host in others}
    return {first: "localhost"} | {host: _label(table.of_host(host)[0], addresses[host].rpartition("@")[2]) for host in others}


def _label(rank: Rank, address: str) -> str:
    """Return the name for mpirun of the host of a rank.

    A name may be that of another host, for mpirun or for the host itself, and of a name with a domain mpirun sees the
    first part. So where there is no address it is a name that nobody else has.
    """
    if rank.ips:
        return rank.ips[0]
    if is_ip(address) and ":" not in address and not address.startswith("127."):
        return address
    return f"{re.sub('[^A-Za-z0-9]+', '-', rank.host).strip('-')}-rank{rank.rank}".lstrip("-")
