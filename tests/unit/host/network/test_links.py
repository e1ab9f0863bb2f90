"""Listeners and callers of links, and a rank of MLX's ring, as real programs on the loopback interface."""

from __future__ import annotations

import json
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import links
from tests.unit.local_agent import LocalAgent

TOKEN = "a token"


def test_caller_reaches_its_listener_and_nobody_else() -> None:
    agent = LocalAgent()
    ports = links.answer(agent, sys.executable, ["127.0.0.1"], TOKEN)
    target = {"address": "127.0.0.1", "port": ports["127.0.0.1"], "source": "127.0.0.1", "interface": ""}
    try:
        (found,) = links.attempt(agent, sys.executable, [target], TOKEN, 0.05, 3.0)
        assert found["bandwidth"] > 1e6
        (other,) = links.attempt(agent, "", [target], "another", 0.0, 1.0)
        assert "error" in other
    finally:
        links.silence(agent)
    assert agent.at_end == {}
    (gone,) = links.attempt(agent, "", [target], TOKEN, 0.0, 1.0)
    assert gone["error"][0] == "ECONNREFUSED"


def test_address_of_another_host_cannot_be_listened_on() -> None:
    agent = LocalAgent()
    ports = links.answer(agent, "", ["192.0.2.1"], TOKEN)
    links.silence(agent)
    assert ports["192.0.2.1"][0] == "EADDRNOTAVAIL"


def test_python_that_is_not_there_is_replaced() -> None:
    agent = LocalAgent()
    ports = links.answer(agent, "/no/such/python", ["127.0.0.1"], TOKEN)
    links.silence(agent)
    assert isinstance(ports["127.0.0.1"], int)


def test_rank_of_a_ring_without_mlx_says_why() -> None:
    found = links.ring_sum(LocalAgent(), "/usr/bin/false", 0, json.dumps([["127.0.0.1:1"]]))
    assert found == {"error": "it ended without an answer"}
