# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The barrier: every host has answered before any rank starts, and the facts of all of them decide whether ranks do."""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import Decide, Decision, no_decision
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host import H_REFUSED, Hosts
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host_drift import differences
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.exit_status import EXIT_NOT_READY


class Barrier:
    """The condition for the go.

    Args:
        decide: decides from the facts of all hosts.
        declared: names of variables that the job sets; differences between hosts in these do not count.
    """

    def __init__(self, decide: Decide = no_decision, declared: Collection[str] = ()) -> None:
        self._decide = decide
        self._declared = declared

    def decision(self, hosts: Hosts) -> Decision | None:
        """Return the decision, None while a host has not answered. Where one has refused there is nothing to decide."""
        if not hosts.answered:
            return None
        return Decision() if hosts.within(H_REFUSED) else self._decide(hosts.facts)

    def differences(self, hosts: Hosts) -> list[tuple[str, str]]:
        """Return (host, line) for the things in which hosts differ though they should not."""
        return differences(hosts.facts, self._declared)


def not_ready(hosts: Hosts) -> Cause | None:
    """Return the cause for which no rank starts, None when every host is ready."""
    refused = hosts.within(H_REFUSED)
    if not refused:
        return None
    text = f"{len(refused)} of {len(hosts)} hosts not ready: {', '.join(refused)}; no rank was started anywhere"
    return Cause("not_ready", EXIT_NOT_READY, text)
