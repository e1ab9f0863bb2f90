# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections between neighbours in the ring: each host listens, then each connects to its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....module_utils.lead.rank_table import RankTable
from ...hosts.agents import Agent
from ..facts import Link, links_of

_DIAL = 3.0  # seconds until a connection without answer is given up: two tries of TCP


class NeighbourProbe:
    """Tries the connections that the ranks will make.

    Args:
        table: the ranks and their addresses.
        token: by which hosts know each other's connections.
    """

    def __init__(self, table: RankTable, token: str) -> None:
        self._links = {host: links_of(host, table) for host in table.hosts}
        self._token = token
        self._listening: set[tuple[str, str]] = set()
        self._problems: dict[tuple[str, str], tuple[str, str]] = {}  # by host and address: errno, text

    def links(self, host: str) -> list[Link]:
        """Return the connections of a host, as far as they were tried."""
        found = []
        for link in self._links[host]:
            errno, problem = self._problems.get((host, link.address), ("", ""))
            found.append(replace(link, tried=(link.to, link.address) in self._listening, problem=problem, errno=errno))
        return found

    def listen(self, agent: Agent, addresses: Sequence[str], python: str) -> None:
        """Let a host listen at its ranks' addresses."""
        if self._links[agent.host]:
            answers = agent.call("listen", python=python, addresses=addresses, token=self._token)
            self._listening |= {(agent.host, address) for address, problem in answers.items() if problem is None}

    def dial(self, agent: Agent, python: str, *, from_source: bool) -> None:
        """Let a host connect to the neighbours that listen.

        Args:
            agent: of the host.
            python: the ranks' Python there, "" for the agent's own.
            from_source: bind to the link's own address first.
        """
        links = [link for link in self.links(agent.host) if link.tried]
        if not links:
            return
        targets = [[link.address, link.source if from_source else ""] for link in links]
        answers = agent.call("dial", python=python, targets=targets, token=self._token, patience=_DIAL)
        for link, answer in zip(links, answers, strict=True):
            if answer:
                self._problems[agent.host, link.address] = (answer[0], answer[1])
