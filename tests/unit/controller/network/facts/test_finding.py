"""Findings as plain data."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.finding import WARN, Finding


def test_finding_is_plain_data() -> None:
    found = Finding(WARN, "bridged", "is in a bridge", "a", "en2").to_json()
    assert found == {"level": "warn", "kind": "bridged", "text": "is in a bridge", "host": "a", "interface": "en2"}
