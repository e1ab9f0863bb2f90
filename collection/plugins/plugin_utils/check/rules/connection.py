# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the connection to a host. They judge hosts that did not answer as well. Pure."""

from __future__ import annotations

from ...job.check_row import FAIL, OK, Cell
from ..facts import HostFacts
from .cluster import Cluster, Rules


def _reachable(host: HostFacts, _cluster: Cluster) -> Cell:
    if not host.failure:
        return Cell("local" if host.local else "yes", OK)
    if _is_host_key(host.failure):
        return Cell("yes", OK)  # somebody answers
    value = "denied" if "Permission denied" in host.failure else "no"
    silent = any(words in host.failure for words in ("no answer", "did not answer", "timed out"))
    advice = "; is it on, awake, and in the network? try ssh to it" if silent else ""
    return Cell(value, FAIL, [host.failure + advice])


def _host_key(host: HostFacts, _cluster: Cluster) -> Cell:
    if host.local:
        return Cell()
    if not host.failure or "Permission denied" in host.failure:
        return Cell("ok", OK)
    if not _is_host_key(host.failure):
        return Cell()
    return Cell("changed" if "changed" in host.failure else "unknown", FAIL, [host.failure])


def _is_host_key(failure: str) -> bool:
    return "its host key" in failure  # in the words of `explain` in hosts/connection.py


RULES: Rules = {"reachable": _reachable, "host key": _host_key}
