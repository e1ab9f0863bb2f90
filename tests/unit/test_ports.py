"""Ports on a host: free, taken, kept for a job; and the range that all hosts have."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils._ports import Kept, inodes_of, owner, parse_lsof
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._plan import HostSettings, JobPlan, plan_job
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._portrange import FIRST, LAST, ranges
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._ranktable import Place
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._settings import JobSettings, check_settings

FLAG = "--starting-port"


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def kept() -> Iterator[list[Kept]]:
    """What a test keeps, and lets go at its end."""
    found: list[Kept] = []
    yield found
    for one in found:
        one.close()


def test_kept_port_is_no_other_jobs_until_it_is_let_go(port: int, kept: list[Kept]) -> None:
    listen = [f"127.0.0.1:{port}"]
    kept.append(Kept(listen, [0, 1], FLAG))
    assert kept[0].shifts == [0, 1]
    kept.append(Kept(listen, [0, 2], FLAG))
    assert kept[1].shifts == [2]
    kept[0].choose(1)
    kept.append(Kept(listen, [0, 1], FLAG))
    assert kept[2].shifts == [0]


def test_rank_can_listen_on_a_kept_port(port: int, kept: list[Kept]) -> None:
    kept.append(Kept([f"127.0.0.1:{port}"], [0], FLAG))
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(server.getsockname()):
        pass


def test_port_given_by_hand_that_another_job_keeps_is_a_doubt_only(port: int, kept: list[Kept]) -> None:
    kept += [Kept([f"127.0.0.1:{port}"], [0], FLAG), Kept([f"127.0.0.1:{port}"], [0], FLAG)]
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


# -- the range


def test_ranges_differ_between_jobs_and_do_not_overlap() -> None:
    mine, yours = ranges("a", 100), ranges("b", 100)
    assert mine == ranges("a", 100) != yours
    assert all(base >= FIRST and base + 100 <= LAST for base in (*mine, *yours))
    assert min(later - earlier for earlier, later in zip(sorted(mine), sorted(mine)[1:], strict=False)) >= 100


def test_job_that_needs_more_ports_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match="12001 ports are needed"):
        ranges("a", LAST - FIRST + 1)


def plan(**settings: Any) -> JobPlan:
    hosts = [HostSettings("a", "10.0.0.1", slots=2), HostSettings("b", "10.0.0.2")]
    places = [Place("a", ("10.0.0.1",)), Place("a", ("10.0.0.1",)), Place("b", ("10.0.0.2",))]
    job_settings = JobSettings(**{"script": "train.py", "backend": "ring", "starting_port": None, **settings})
    return plan_job("job-1", job_settings, hosts, places, default_python="/usr/bin/python3", default_cwd="/here")


@pytest.mark.parametrize("backend", ["mpi", "nccl"])
def test_backend_whose_ports_do_not_move_is_asked_for_no_range(backend: str) -> None:
    found = plan(backend=backend)
    assert found.ports is None
    assert {tuple(spec["shifts"]) for spec in found.specs.values()} == {(0,)}


def test_first_range_that_all_hosts_have_is_taken() -> None:
    found = plan()
    assert found.ports
    shifts = found.ports.shifts
    chosen: list[JobPlan] = []
    settled = found.ports.settle({"a": {"shifts": shifts[1:]}, "b": {"shifts": [shifts[0], *shifts[2:]]}}, chosen.append)
    base = found.ports.bases[2]
    assert [rank.listen for rank in chosen[0].table.ranks] == [(f"10.0.0.1:{base}",), (f"10.0.0.1:{base + 1}",), (f"10.0.0.2:{base + 2}",)]
    assert settled.go["b"]["shift"] == shifts[2]
    assert settled.go["a"]["files"] == settled.go["b"]["files"] == {"MLX_HOSTFILE": chosen[0].table.ring_hostfile()}
    assert set(settled.go["a"]["env"]) == {"0", "1"}
    assert settled.go["b"]["env"]["2"]["MASTER_PORT"] == str(base + 3)


def test_hosts_that_all_have_the_first_range_need_not_be_told() -> None:
    found = plan()
    assert found.ports
    settled = found.ports.settle({host: {"shifts": found.ports.shifts} for host in "ab"}, lambda _plan: pytest.fail("another"))
    assert (settled.go, settled.problems) == ({}, {})


def test_no_range_for_all_is_a_problem_of_all() -> None:
    found = plan()
    assert found.ports
    shifts = found.ports.shifts
    settled = found.ports.settle({"a": {"shifts": shifts[:3]}, "b": {"shifts": shifts[3:]}}, lambda _plan: pytest.fail("another"))
    assert set(settled.problems) == {"a", "b"}
    assert "no range of ports" in settled.problems["a"][0]


def test_auto_is_a_word_and_no_number() -> None:
    assert check_settings({"script": "x", "starting_port": "auto"}).starting_port is None
    with pytest.raises(UsageError, match="automatic"):
        check_settings({"script": "x", "starting_port": "automatic"})
