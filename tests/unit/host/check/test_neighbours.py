# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Neighbours in the ring find out whether they reach each other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import neighbours
from tests.support.waiting import wait_until
from tests.unit.local_agent import LocalAgent
from tests.unit.loopback import free_address


@pytest.fixture
def agent() -> Iterator[LocalAgent]:
    """Give an agent; nothing of it listens afterwards."""
    made = LocalAgent()
    yield made
    neighbours.hush(made)


def is_open(address: str) -> bool:
    """Return whether something listens there."""
    ip, _, port = address.rpartition(":")
    with socket.socket() as one:
        return one.connect_ex((ip, int(port))) == 0


def test_neighbour_that_listens_is_reached_as_often_as_one_likes(agent: LocalAgent) -> None:
    addresses = [free_address(), free_address()]
    assert neighbours.listen(agent, "", addresses, "secret") == dict.fromkeys(addresses)
    for _ in range(3):
        assert neighbours.dial(agent, "", [[addresses[0], "127.0.0.1"], [addresses[1], ""]], "secret", 5.0) == [None, None]
    neighbours.hush(agent)
    assert not any(map(is_open, addresses))
    assert neighbours.listen(agent, "", addresses, "secret") == dict.fromkeys(addresses)


def test_refusal_and_strangers_are_told_apart(agent: LocalAgent) -> None:
    nobody, other = free_address(), free_address()
    neighbours.listen(agent, "", [other], "another job's")
    refused, stranger = neighbours.dial(agent, "", [[nobody, ""], [other, ""]], "secret", 5.0)
    assert refused == ["ECONNREFUSED", "Connection refused"]
    assert stranger == ["", "connected, but to something else"]


def test_one_that_says_nothing_is_given_up(agent: LocalAgent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        [answer] = neighbours.dial(agent, "", [[f"127.0.0.1:{mute.getsockname()[1]}", ""]], "secret", 0.2)
    assert answer == ["", "connected, and nothing came"]


def test_address_that_cannot_be_listened_at_is_told(agent: LocalAgent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        answers = neighbours.listen(agent, "", [address, "192.0.2.1:1"], "secret")
    assert answers[address] == ["EADDRINUSE", "Address already in use"]
    assert answers["192.0.2.1:1"] == ["EADDRNOTAVAIL", "Cannot assign requested address"]


def test_nothing_listens_when_the_agent_is_killed() -> None:
    address = free_address()
    program = (
        "import sys, time\n"
        "from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import neighbours\n"
        "class Agent: at_end = {}\n"
        f"neighbours.listen(Agent, '', [{address!r}], 'secret')\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        assert is_open(address)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_open(address), "nothing listens any more")
