"""What is told of the RDMA devices of a job, with the reason for which one is not ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import Cell
from tests.unit.controller.check.good import cells, facts
from tests.unit.macs import Cluster, macs


def ready() -> Cluster:
    """Return two Macs that are connected and ready."""
    cluster = macs(2, rdma=True).cable("a1", "b1")
    for mac, address in zip(cluster.macs, ("10.0.0.1/30", "10.0.0.2/30"), strict=True):
        mac.addresses["en2"] = address
    return cluster


def cell(cluster: Cluster, backend: str = "jaccl", device: str = "rdma_en2", system: str = "macOS") -> Cell:
    """Return the cell of the first of two hosts."""
    hosts = [
        facts(name, {"system": {"name": system}, "reports": {"answers": dict(each.texts), "failed": dict(each.failed)}}, rdma=(device,))
        for name, each in cluster.answers().items()
    ]
    return cells(*hosts, backend=backend)[0]["rdma"]


def attribute(name: str, value: Any, of: str = "a") -> Callable[[Cluster], None]:
    return lambda cluster: setattr(cluster[of], name, value)


def answer(name: str, text: str) -> Callable[[Cluster], None]:
    return lambda cluster: cluster["a"].answers.update({name: text})


def fail(name: str, reason: str) -> Callable[[Cluster], None]:
    return lambda cluster: cluster["a"].failed.update({name: reason})


def slow(cluster: Cluster) -> None:
    cluster.cables[0]["speed"] = "40 Gb/s"


def off(cluster: Cluster) -> None:
    cluster["a"].rdma = False
    cluster["a"].answers["rdma_ctl.txt"] = "RDMA is disabled\n"


NOTHING = "device          node GUID\n------          ----------------\n"
HCA = "hca_id:\trdma_en2\n\tport:\t1\n\t\tstate:\t\tPORT_DOWN (1)\n"


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        (lambda _cluster: None, "ok", ""),
        (attribute("rdma", False), "fail", "rdma_en2: it has no RDMA devices; in Recovery, rdma_ctl enable makes them"),
        (off, "fail", "rdma_en2: RDMA is disabled; start it in Recovery and run rdma_ctl enable"),
        (attribute("version", "26.1"), "ok", ""),  # the devices are there, so somebody is wrong about that
        (answer("ibv_devices.txt", NOTHING), "fail", "rdma_en2: it has no RDMA devices, though rdma_ctl says that it is enabled"),
        (attribute("addresses", {}), "warn", "rdma_en2: its port has no IPv4 address, and jaccl needs one; mlxlaunch network --apply"),
        (attribute("addresses", {"en2": "10.0.0.1/30 10.9.0.1/24"}), "warn", "rdma_en2: its port has 10.0.0.1, 10.9.0.1, and jaccl takes"),
        (attribute("bridge", ("en2",)), "warn", "rdma_en2: bridge0 has its port, which keeps RDMA off it; mlxlaunch network --apply takes"),
        (answer("ibv_devinfo.txt", HCA), "warn", "rdma_en2: its port is down, which it also says after a job that was ended"),
        (slow, "warn", "rdma_en2: its link has 40 Gb/s, and RDMA needs 80"),
        (lambda cluster: cluster.cables.clear(), "warn", "rdma_en2: no cable to one of these hosts is seen there"),
        (
            fail("ibv_devices.txt", "no answer within 8 s"),
            "warn",
            "its RDMA devices are not known, as ibv_devices failed: no answer within 8 s",
        ),
        (fail("system_profiler.json", "no answer within 20 s"), "ok", ""),
    ],
)
def test_device_that_is_not_ready_has_its_reason(change: Callable[[Cluster], None], status: str, told: str) -> None:
    cluster = ready()
    change(cluster)
    found = cell(cluster)
    assert (found.status, [note.startswith(told) for note in found.notes][:1]) == (status, [True] * bool(told)), found.notes


def test_old_system_has_no_devices() -> None:
    cluster = ready()
    cluster["a"].version = "15.7"
    cluster["a"].answers["ibv_devices.txt"] = ""
    assert cell(cluster).notes == ["rdma_en2: RDMA needs macOS 26.2 or newer, and this is Darwin 15.7; update it"]


def test_device_that_the_host_does_not_have_fails() -> None:
    assert cell(ready(), device="rdma_en9").notes == ["rdma_en9: it has no device rdma_en9; its port may be no Thunderbolt 5"]
    assert cell(ready(), device="other").status == "fail"


@pytest.mark.parametrize(
    ("backend", "system", "status"), [("ring", "macOS", "unknown"), ("jaccl", "Debian", "unknown"), ("jaccl-ring", "macOS", "ok")]
)
def test_rdma_counts_for_the_backends_that_need_it(backend: str, system: str, status: str) -> None:
    assert cell(ready(), backend, system=system).status == status
