"""A rank gets the variables its backend needs, and the user's unchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_table import RankTable
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.backends import (
    BackendOptions,
    backend_requirements,
    devices,
    listeners,
    plan_rank,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.backend_names import SUPPORTED
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.env import check_env, parse_env
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import build_rank_table
from tests.unit.jobs import ranks_on

ODD_VALUES = ["", " ", "a b", "'", '"', "$HOME", "`id`", "a\nb", "\t", "é 日本 🎉", "a=b", "\\", "*", "\udcff", "x" * 100_000]


def test_identity_of_a_rank() -> None:
    table = ranks_on("a", "b", "b")
    assert planned(table, 2, {}) == {
        "PYTHONUNBUFFERED": "1",
        "MLX_RANK": "2",
        "RANK": "2",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "32326",
    }


def test_ring_hostfile_goes_into_a_file() -> None:
    table = ranks_on("a", "b")
    assert backend_requirements("ring", table, BackendOptions()).files == {"MLX_HOSTFILE": table.ring_hostfile()}


def test_master_without_addresses_is_its_name() -> None:
    table = build_rank_table([("a", ()), ("b", ())])
    assert planned(table, 1, {})["MASTER_ADDR"] == "a"


def test_user_wins_over_conveniences_and_loses_to_the_backend() -> None:
    table = ranks_on("a")
    user = {"PYTHONUNBUFFERED": "0", "COLUMNS": "40", "MLX_RANK": "7", "MLX_RING_VERBOSE": "0", "X": "y"}
    env = planned(table, 0, user, verbose=True, terminal=(120, 50))
    assert {name: env[name] for name in user} == {
        "PYTHONUNBUFFERED": "0",
        "COLUMNS": "40",
        "MLX_RANK": "0",
        "MLX_RING_VERBOSE": "1",
        "X": "y",
    }
    assert env["LINES"] == "50"


@pytest.mark.parametrize("value", ODD_VALUES)
def test_value_arrives_unchanged(value: str) -> None:
    table = ranks_on("a")
    assert planned(table, 0, parse_env([f"K={value}"]))["K"] == value
    assert check_env({"K": value}) == {"K": value}


# -- nccl


def test_nccl_finds_rank_0_and_has_a_device_for_each_rank() -> None:
    table = ranks_on("a", "b", "b", backend="nccl")
    env = [planned(table, at, {"CUDA_VISIBLE_DEVICES": "", "NCCL_PORT": "1"}, "nccl", nccl_port=700) for at in range(3)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in env] == ["0", "0", "1"]
    for one in env:
        assert (one["NCCL_HOST_IP"], one["NCCL_PORT"], one["MLX_WORLD_SIZE"]) == ("10.0.0.1", "700", "3")
        assert not {"NCCL_DEBUG", "MLX_HOSTFILE", "MLX_RING_VERBOSE"} & set(one)


def test_verbose_nccl_tells_what_it_does() -> None:
    assert planned(ranks_on("a", backend="nccl"), 0, {"NCCL_DEBUG": "WARN"}, "nccl", verbose=True)["NCCL_DEBUG"] == "INFO"


def test_nccl_port_is_wanted_at_all_addresses_of_one_host() -> None:
    needs = backend_requirements("nccl", ranks_on("a", "b", backend="nccl"), BackendOptions(nccl_port=700))
    assert (needs.listen, needs.own, needs.port_flag) == ({"a": ["0.0.0.0:700"]}, {"a": ["10.0.0.1"]}, "--nccl-port")


@pytest.mark.parametrize(
    ("given_devices", "expected"),
    [("2,3", ["2", "3"]), (" 5 , 1 ,0", ["5", "1"]), ("GPU-8a,MIG-9b", ["GPU-8a", "MIG-9b"]), ("", ["0", "1"])],
)
def test_devices_are_those_the_user_lists(given_devices: str, expected: list[str]) -> None:
    assert devices({"CUDA_VISIBLE_DEVICES": given_devices}, "a", 2) == expected


def test_fewer_listed_devices_than_ranks_are_refused() -> None:
    with pytest.raises(UsageError, match="^gpu-1: 3 ranks, and CUDA_VISIBLE_DEVICES lists 2 devices"):
        devices({"CUDA_VISIBLE_DEVICES": "0,1"}, "gpu-1", 3)


# -- jaccl

MESH = [[None, "en2", "en3"], ["en2", None, ["en4", "en5"]], ["en3", ["en4", "en5"], None]]


@pytest.mark.parametrize(("backend", "ring"), [("jaccl", {}), ("jaccl-ring", {"MLX_JACCL_RING": "1"})])
def test_jaccl_finds_its_coordinator_and_its_devices(backend: str, ring: dict[str, str]) -> None:
    table = ranks_on("a", "b", backend=backend)
    matrix = [row[:2] for row in MESH[:2]]
    needs = backend_requirements(backend, table, BackendOptions(starting_port=5000, rdma=matrix, verbose=True))
    assert needs.env == {"MLX_JACCL_COORDINATOR": "10.0.0.1:5000", **ring}
    assert {name: json.loads(text) for name, text in needs.files.items()} == {"MLX_IBV_DEVICES": matrix}
    assert (needs.listen, needs.own, needs.port_flag) == ({"a": ["10.0.0.1:5000"]}, {"a": ["10.0.0.1"]}, "--starting-port")


def test_store_of_the_program_never_gets_the_coordinators_port() -> None:
    table = ranks_on("a", "b", backend="jaccl")
    assert planned(table, 0, {}, "jaccl", rdma=[[None, "en2"], ["en2", None]])["MASTER_PORT"] == "32324"


@pytest.mark.parametrize(("backend", "wanted"), [("ring", "all"), ("nccl", "first"), ("jaccl", "first"), ("jaccl-ring", "first")])
def test_only_a_ring_needs_the_address_of_every_rank(backend: str, wanted: str) -> None:
    assert listeners(backend) == wanted


def test_every_backend_that_can_be_started_has_its_needs() -> None:
    for backend in SUPPORTED:
        table = ranks_on("a", "b", backend=backend)
        backend_requirements(backend, table, BackendOptions(rdma=[[None, "en2"], ["en2", None]]))


def planned(
    table: RankTable, rank: int, user: dict[str, str], backend: str = "ring", terminal: tuple[int, int] | None = None, **wishes: Any
) -> dict[str, str]:
    """Return the variables of a rank."""
    return plan_rank(table.ranks[rank], table, backend, backend_requirements(backend, table, BackendOptions(**wishes)), user, terminal)
