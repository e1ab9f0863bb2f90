"""The call for the raw answers, as the agent serves it."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network.handlers import FUNCTIONS
from tests.unit.local_agent import LocalHost


def test_host_answers_and_keeps_the_lease() -> None:
    host = LocalHost(FUNCTIONS)
    found = host.call("network", lease=12.0)
    assert (found["format"], found["system"] in ("Darwin", "Linux")) == (1, True)
