# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All hosts of a check together, as rules compare them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from ...job.check_row import Cell
from ...network.topology.cables import Cable, find_cables
from ..facts import HostFacts

_NONE = (None, "")  # of a host that has no such value
SHOWN = 4  # of several things of a kind, in the notes of one host
#: The command that changes what a rule complains about, see docs/prepare.md.
PREPARE = "mlxlaunch prepare --apply"


class Cluster:
    """The facts about all hosts, and the usual values: of several that are equally frequent, that of the first host.

    Args:
        facts: by host.
        backend: of the job.
        dry_run: whether they are looked at in a dry run, in which no deploy has brought anything.

    Attributes:
        facts, backend, dry_run: as above.
    """

    def __init__(self, facts: Mapping[str, HostFacts], backend: str, *, dry_run: bool = False) -> None:
        self.facts = facts
        self.backend = backend
        self.dry_run = dry_run

    @property
    def asked(self) -> list[HostFacts]:
        """The hosts that answered."""
        return [host for host in self.facts.values() if host.found]

    @cached_property
    def cables(self) -> tuple[Cable, ...]:
        """The Thunderbolt cables between them, by their places in `asked`."""
        return find_cables([host.network for host in self.asked]).cables

    def usual(self, get: Callable[[HostFacts], Any]) -> Any:
        """Return the most frequent value, leaving out hosts that have none: None, or an empty text."""
        counted = Counter(value for value in map(get, self.asked) if value not in _NONE)
        return counted.most_common(1)[0][0] if counted else None

    def differs(self, host: HostFacts, get: Callable[[HostFacts], Any]) -> Any:
        """Return the usual value where a host has another one, None otherwise."""
        usual, own = self.usual(get), get(host)
        return usual if own not in _NONE and own != usual else None


#: By column, the function that makes its cell.
Rules = Mapping[str, Callable[[HostFacts, Cluster], Cell]]
