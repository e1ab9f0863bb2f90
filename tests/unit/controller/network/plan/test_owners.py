"""Other software that owns a host's ports."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import HostNetwork
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.owners import owner_findings

EXO = HostNetwork("a", owners=("io.exo.networksetup.plist",))


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (HostNetwork("a"), []),
        (EXO, [("warn", "owner", "")]),
        (HostNetwork("a", location="exo"), [("warn", "owner", "")]),
        (HostNetwork("a", owners=("Tailscale.app",)), [("note", "owner", "")]),
        (HostNetwork("a", shared=("en2", "en9", "bridge100")), [("warn", "sharing", "en2"), ("warn", "sharing", "bridge100")]),
        (HostNetwork("a", lease=True), [("warn", "dhcp", "bridge0")]),
    ],
)
def test_owner_is_told_with_the_interface(host: HostNetwork, found: list[tuple[str, str, str]]) -> None:
    assert [(each.level, each.kind, each.interface) for each in owner_findings(host, {"en2"})] == found
