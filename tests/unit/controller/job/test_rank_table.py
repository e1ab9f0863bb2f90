"""The rank table numbers ranks, ports and slots as mlx.launch does."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.backends import BackendOptions, backend_requirements, plan_rank
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import build_rank_table

Places = list[tuple[str, tuple[str, ...]]]

A, B = ("a", ("10.0.0.1",)), ("b", ("10.0.0.2",))
A2, B2 = ("a", ("10.0.0.1", "10.1.0.1")), ("b", ("10.0.0.2", "10.1.0.2"))


def test_rank_is_position_and_local_rank_counts_per_host() -> None:
    table = build_rank_table([A, B, A])
    assert [(rank.rank, rank.host, rank.local_rank, rank.local_size) for rank in table.ranks] == [
        (0, "a", 0, 2),
        (1, "b", 0, 1),
        (2, "a", 1, 2),
    ]
    assert (table.world_size, table.hosts) == (3, ("a", "b"))


def test_ports_count_up_over_ranks_addresses_and_connections() -> None:
    table = build_rank_table([A2, B], starting_port=5000, connections_per_ip=2)
    assert [rank.listen for rank in table.ranks] == [
        ("10.0.0.1:5000", "10.0.0.1:5001", "10.1.0.1:5002", "10.1.0.1:5003"),
        ("10.0.0.2:5004", "10.0.0.2:5005"),
    ]
    assert table.next_port == 5006


def test_last_port_may_be_used_and_the_free_port_is_still_a_port() -> None:
    table = build_rank_table([A, B], starting_port=65534)
    assert table.ranks[1].listen == ("10.0.0.2:65535",)
    assert table.next_port == 65533


@pytest.mark.parametrize(
    ("places", "port", "connections", "last"),
    [([A, B], 65535, 1, 65536), ([A2, B2], 65530, 2, 65537), ([A], 65535, 2, 65536), ([A] * 99, 65500, 1, 65598)],
)
def test_ports_beyond_the_last_are_refused(places: Places, port: int, connections: int, last: int) -> None:
    with pytest.raises(UsageError, match=f"^ports {port} to {last} .*--starting-port"):
        build_rank_table(places, port, connections)


def test_address_claimed_by_two_hosts_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a and b both claim 10\.0\.0\.1"):
        build_rank_table([A, ("b", ("10.0.0.2", "10.0.0.1"))])


def test_ranks_that_do_not_listen_need_no_address_and_no_port() -> None:
    table = build_rank_table([A, ("b", ())], 5000, 3, "first")
    assert [rank.listen for rank in table.ranks] == [(), ()]
    assert (table.master, table.next_port) == ("10.0.0.1", 5001)


def test_free_port_is_none_that_is_taken_otherwise() -> None:
    assert build_rank_table([A, B], 5000, listeners="first", taken=5001).next_port == 5002
    assert build_rank_table([A, B], 5000, listeners="all", taken=5002).next_port == 5003


def test_only_a_rank_that_listens_may_not_be_at_a_loopback() -> None:
    here = ("here", ("127.0.0.1",))
    assert build_rank_table([A, here], listeners="first").world_size == 2
    with pytest.raises(UsageError, match=r"here would listen on 127\.0\.0\.1, where a cannot reach it"):
        build_rank_table([here, A], listeners="first")


def test_no_ranks_are_refused() -> None:
    with pytest.raises(UsageError, match="no hosts"):
        build_rank_table([])


def test_world_of_one_has_no_ring() -> None:
    assert backend_requirements("ring", build_rank_table([A]), BackendOptions()).files == {}


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize(("port", "connections"), [(32323, 1), (32323, 3), (1024, 2)])
@pytest.mark.parametrize("places", [[A, B], [A2, B2], [A2, B], [A, A, B, B], [A, B, A], [A2, A2, A2]])
def test_ring_is_what_mlx_launch_computes(
    places: Places, port: int, connections: int, verbose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = pytest.importorskip("mlx._distributed_utils.launch")
    common = pytest.importorskip("mlx._distributed_utils.common")
    captured: list[Any] = []
    monkeypatch.setattr(launch, "_launch_with_io", lambda _process, arguments, _verbose: captured.extend(arguments))
    hosts = [common.Host(at, host, list(ips), []) for at, (host, ips) in enumerate(places)]
    args = argparse.Namespace(starting_port=port, connections_per_ip=connections, env=["K=V"], verbose=verbose, cwd=None, python=None)
    launch.launch_ring(argparse.ArgumentParser(), hosts, args, ["train.py"])

    table = build_rank_table(places, port, connections)
    needs = backend_requirements("ring", table, BackendOptions(port, verbose=verbose))
    assert len(captured) == table.world_size
    for rank, ((number, host, _python, _cwd, files, env, _command), _options) in zip(table.ranks, captured, strict=True):
        planned = plan_rank(rank, table, "ring", needs, {"K": "V"})
        assert (rank.rank, rank.host, needs.files) == (number, host, files)
        assert set(env) <= {f"{name}={value}" for name, value in planned.items()}
