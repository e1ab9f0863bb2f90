"""The network as text."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.views.table import WIDTH, render
from tests.unit.macs import Cluster, macs, mesh, ring


def test_table_topology_and_plan() -> None:
    cluster = macs(2, rdma=True, model="Mac17,7").cable("a1", "b2")
    cluster["a"].bridge = ("en2",)
    assert (
        render(cluster.plan())
        == """\
host  interface  kind       address         peer   state
a     en0        Ether 10G  198.18.0.1/24          up
a     en2        TB 80G     10.213.64.1/30  b en3  bridged
b     en0        Ether 10G  198.18.0.2/24          up
b     en3        TB 80G     10.213.64.2/30  a en2  to set

cables
  a en2 -- b en3  80 Gb/s, RDMA
ring of 2, 1 cable wide: a, b
mesh of 2, 1 cable wide

plan: jaccl over thunderbolt, ranks 0 to 1: a, b

warn  a en2: is a member of bridge0, which keeps RDMA off it; there, run sudo
      ifconfig bridge0 deletem en2"""
    )


def test_what_is_missing_and_what_is_there_in_part() -> None:
    text = render(macs(4).cable("a1", "b1").cable("b2", "c1").cable("c2", "a2", through=("Hub",)).plan(over="thunderbolt"))
    assert "  a en3 -- c en3  80 Gb/s, through Hub" in text
    assert "no ring over all hosts; a ring of 3: a, b, c" in text
    assert "missing for a ring: a (Thunderbolt 3) -- d (Thunderbolt 1)," in text
    assert "plan:" not in text


def test_hosts_with_one_finding_share_a_line() -> None:
    assert "note  a, b, c: it has no RDMA devices" in render(ring(3).plan())


def names(*found: str) -> Cluster:
    cluster = ring(len(found))
    for mac, name in zip(cluster.macs, found, strict=True):
        mac.name = name
    return cluster


@pytest.mark.parametrize(
    "cluster",
    [
        mesh(8, ports=8, rdma=True),
        names("x" * 60, "y" * 60, "z" * 60),
        names("mac-1.example.com", "mac-2.example.com", "mac-3.example.com"),
    ],
    ids=["mesh of 8", "very long names", "long names"],
)
def test_no_line_is_wider_than_80_columns(cluster: Cluster) -> None:
    lines = render(cluster.plan()).splitlines()
    assert max(map(len, lines)) <= WIDTH == 80


def test_texts_of_hosts_do_nothing_to_a_terminal() -> None:
    cluster = macs(2).cable("a1", "b1", through=("\x1b[31mred\x07\nDock\u202e",))
    text = render(cluster.plan())
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "Dock" in text
