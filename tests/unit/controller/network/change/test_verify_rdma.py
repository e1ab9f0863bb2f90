"""RDMA ports after a setup: active, and with the address that jaccl looks for."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.verify_rdma import rdma_troubles
from tests.unit.controller.fleets import Events, FakeFleet
from tests.unit.macs import mesh, ring

PLAN = mesh(2, rdma=True).plan(over="thunderbolt", backend="jaccl")


def text(state: str = "PORT_ACTIVE (4)", gid: str = "::ffff:10.213.64.1") -> str:
    return f"hca_id:\trdma_en2\n\t\tport:\t1\n\t\t\tstate:\t\t{state}\n\t\t\tGID[  0]:\t\tfe80::1\n\t\t\tGID[  1]:\t\t{gid}\n"


def troubles(a: str, plan: Any = PLAN) -> list[tuple[str, str, str]]:
    fleet = FakeFleet({"a": {"rdma_ports": {"rdma_en2": a}}, "b": {"rdma_ports": {"rdma_en2": text(gid="::ffff:10.213.64.2")}}})
    with fleet.open(Events()):
        return rdma_troubles(fleet, plan, ())


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (text(), []),
        (text(gid="0000:0000:0000:0000:0000:ffff:0ad5:4001"), []),
        (text("PORT_DOWN (1)"), []),  # it is tried
        (text("PORT_INIT (2)"), ["its RDMA port is PORT_INIT"]),
        (text().partition("\t\t\tGID[  1]")[0], ["it has no GID 1, where jaccl wants ::ffff:10.213.64.1"]),
        (text().partition("\t\t\tGID[  0]")[0], []),  # as some versions show it
        (text(gid="fe80::2"), ["its GID 1 is fe80::2, and jaccl wants ::ffff:10.213.64.1 there"]),
        ("", ["ibv_devinfo shows no such RDMA port"]),
    ],
)
def test_port_is_active_and_has_its_address(said: str, found: list[str]) -> None:
    told = [trouble for _host, _interface, trouble in troubles(said)]
    assert len(told) == len(found)
    assert all(trouble.startswith(start) for trouble, start in zip(told, found, strict=True))


@pytest.mark.parametrize("said", ["\n" * 65_536, "\tGID[ 1]:\n" * 6000, "state:" * 10_000])
def test_long_answer_takes_no_time(said: str) -> None:
    started = time.process_time()
    troubles(said)
    assert time.process_time() - started < 1


def test_ring_has_no_rdma_to_verify() -> None:
    assert troubles("", ring(2).plan(over="thunderbolt", backend="ring")) == []
