"""Ports on a host: free, taken, kept for a job."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.ports import Kept, inodes_of, owner, parse_lsof
from tests.unit.loopback import free_port, own_address

FLAG = "--starting-port"


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return free_port()


@pytest.fixture
def kept() -> Iterator[list[Kept]]:
    """What a test keeps, and lets go at its end."""
    found: list[Kept] = []
    yield found
    for one in found:
        one.close()


def test_kept_port_is_no_other_jobs_until_it_is_let_go(port: int, kept: list[Kept]) -> None:
    listen = [f"{own_address()}:{port}"]
    kept.append(Kept(listen, [0, 1], FLAG))
    assert kept[0].shifts == [0, 1]
    kept.append(Kept(listen, [0, 2], FLAG))
    assert kept[1].shifts == [2]
    kept[0].choose(1)
    kept.append(Kept(listen, [0, 1], FLAG))
    assert kept[2].shifts == [0]


def test_rank_can_listen_on_a_kept_port(port: int, kept: list[Kept]) -> None:
    kept.append(Kept([f"{own_address()}:{port}"], [0], FLAG))
    with socket.create_server((own_address(), port)) as server, socket.create_connection(server.getsockname()):
        pass


def test_given_port_that_another_job_keeps_is_a_doubt_only(port: int, kept: list[Kept]) -> None:
    kept += [Kept([f"{own_address()}:{port}"], [0], FLAG) for _job in range(2)]
    assert (kept[1].shifts, kept[1].problems) == ([0], [])
    assert kept[1].doubts == [f"port {port} is kept for another job here{owner('udp', port)}; try another {FLAG}, or auto"]
    assert str(os.getpid()) in kept[1].doubts[0]


def test_port_that_is_taken_names_who_has_it(kept: list[Kept]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        kept.append(Kept([f"127.0.0.1:{port}"], [0], FLAG))
        name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
        assert kept[0].problems == [
            f"port 127.0.0.1:{port} cannot be used: Address already in use ({name}, process {os.getpid()}); try another {FLAG}"
        ]
        assert kept[0].shifts == []


def test_sockets_that_do_not_listen_are_no_owners() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    row = "   0: 0100007F:{port} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1\n"
    table = head + "".join(row.format(port=port, state=state, inode=inode) for port, state, inode in (("1F90", "0A", 7), ("1F90", "01", 8)))
    assert inodes_of(table, 8080, listening=True) == {"7"}
    assert inodes_of(table, 8080, listening=False) == {"7", "8"}
    assert inodes_of(table, 80, listening=False) == set()


@pytest.mark.parametrize(
    ("text", "found"), [("p812\ncpython3.11\nf5\n", ("python3.11", 812)), ("p1\nca\np2\ncb\n", ("a", 1)), ("", None), ("p5\n", None)]
)
def test_what_lsof_says(text: str, found: tuple[str, int] | None) -> None:
    assert parse_lsof(text) == found
