"""Who connects to whom in a check of the ring."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.facts import HostFacts, links_of
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import build_rank_table


def test_both_neighbours_are_tried_from_the_same_network() -> None:
    places = [(name, (f"10.0.0.{at}", f"10.0.1.{at}")) for at, name in enumerate("abc", 1)]
    table = build_rank_table(places, 100)
    found = {(one.to, one.address, one.source) for one in links_of("b", table)}
    assert found == {
        ("a", "10.0.0.1:100", "10.0.0.2"),
        ("a", "10.0.1.1:101", "10.0.1.2"),
        ("c", "10.0.0.3:104", "10.0.0.2"),
        ("c", "10.0.1.3:105", "10.0.1.2"),
    }


def test_with_several_connections_per_address_each_port_is_tried() -> None:
    table = build_rank_table([("a", ("10.0.0.1", "10.0.1.1")), ("b", ("10.0.0.2", "10.0.1.2"))], 100, 2)
    assert [(one.address, one.source) for one in links_of("a", table)] == [
        ("10.0.0.2:104", "10.0.0.1"),
        ("10.0.0.2:105", "10.0.0.1"),
        ("10.0.1.2:106", "10.0.1.1"),
        ("10.0.1.2:107", "10.0.1.1"),
    ]


def test_ranks_on_one_host_are_no_neighbours_to_try() -> None:
    table = build_rank_table([("a", ("10.0.0.1",)), ("a", ("10.0.0.1",)), ("b", ("10.0.0.2",))], 100)
    assert {one.address for one in links_of("a", table)} == {"10.0.0.2:102"}
    assert {one.address for one in links_of("b", table)} == {"10.0.0.1:100", "10.0.0.1:101"}
    assert links_of("a", build_rank_table([("a", ("127.0.0.1",))])) == []


def test_unequal_numbers_of_addresses_leave_the_source_open() -> None:
    table = build_rank_table([("a", ("10.0.0.1",)), ("b", ("10.0.0.2", "10.0.1.2"))], 100)
    assert {one.source for one in links_of("a", table)} == {""}


def test_answers_of_programs_are_those_of_a_mac() -> None:
    plain = HostFacts("a", found={"reports": None})
    assert (plain.reports, plain.failed, plain.network.owners) == ({}, {}, ())
    told = HostFacts("a", found={"reports": {"answers": {"owners.txt": "/Applications/Tailscale.app\n"}, "failed": {"vpn.txt": "no"}}})
    assert (dict(told.failed), told.network.owners) == ({"vpn.txt": "no"}, ("Tailscale.app",))
    assert HostFacts("a", failure="off").reports == {}
