# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about addresses, and the connections between neighbours. Pure."""

from __future__ import annotations

from ...job.check_row import FAIL, OK, Cell
from ..facts import HostFacts, Link
from .cluster import SHOWN, Cluster, Rules


def _addresses(host: HostFacts, _cluster: Cluster) -> Cell:
    problems = host.found["addresses"]["problems"]
    if not problems:
        return Cell("ok", OK)
    cell = Cell("taken" if all(text.startswith("port ") for text in problems) else "wrong", OK)
    running = host.found["leftovers"]["jobs"]
    for text in problems:
        more = f" (job {running[0]} runs there)" if running and text.startswith("port ") else ""
        advice = "" if text.startswith("port ") else "; set mlx_ips to its own"
        cell.note(FAIL, f"{text}{more}{advice}")
    return cell


def _neighbours(host: HostFacts, _cluster: Cluster) -> Cell:
    tried = [link for link in host.links if link.tried]
    if not tried:
        return Cell()
    broken = [link for link in tried if link.problem]
    cell = Cell(f"{len(tried) - len(broken)}/{len(host.links)}", OK)
    for link in broken[:SHOWN]:
        cell.note(FAIL, _broken(link, host))
    if len(broken) > SHOWN:
        cell.note(FAIL, f"and {len(broken) - SHOWN} more connections")
    return cell


_CABLE = "look at the cable, and whether mlx_ips names the right network"
_ADVICE = {
    "EADDRNOTAVAIL": "the address has vanished, as after a restart or a new plug; run mlxlaunch network --apply",
    "ECONNREFUSED": "something in between rejects it; look at firewalls",
    "EHOSTDOWN": _CABLE,
    "EHOSTUNREACH": _CABLE,
    "ENETDOWN": "its interface is down; plug the cable in again, or run mlxlaunch network --apply",
    "ENETUNREACH": "it has no address in that network; look at mlx_ips and its interfaces, or run mlxlaunch network --apply",
    "ETIMEDOUT": "look at the cable, at firewalls, VPNs, and whether mlx_ips names the right network",
}
# Local Network privacy, Apple TN3179: denied connections look like a missing way. Programs below sshd may connect.
_LOCAL_NETWORK = (
    "macOS 15 or newer does that to programs of an app without the Local Network permission: in System Settings, Privacy & Security, "
    "Local Network, turn on the app that this was started from (off and on again if it is on) and restart the app, "
    "or reach this Mac by ssh as well (ansible_connection: ssh), which needs no permission"
)
_NOT_LOCAL_NETWORK = f"{_CABLE}; it is hardly Local Network privacy, from which macOS exempts programs started by ssh"


def _broken(link: Link, host: HostFacts) -> str:
    source = f" from {link.source}" if link.source else ""
    mac = host.found["system"]["name"] == "macOS"
    advice = _ADVICE.get(link.errno, "look at what answers there" if not link.errno else "look at mlx_ips")
    problem = link.problem
    if mac and link.errno == "EHOSTUNREACH":
        problem += " (EHOSTUNREACH, errno 65)"  # as MLX and people tell it
        advice = _LOCAL_NETWORK if host.local else _NOT_LOCAL_NETWORK
    return f"cannot reach {link.to} at {link.address}{source}: {problem}; {advice}"


RULES: Rules = {"addresses": _addresses, "neighbours": _neighbours}
