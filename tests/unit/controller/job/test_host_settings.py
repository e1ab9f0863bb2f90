"""A host's settings come from its inventory variables, and its ranks' addresses from them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import (
    HostSettings,
    host_settings,
    limited,
    places,
    rank_addresses,
    ring_addresses,
    with_slots,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import ALL, FIRST, NONE, RankPlace


def resolve(name: str) -> list[str]:
    """Know one name only, and one without an IPv4 address."""
    if name == "mac-6":
        return []
    if name != "mac-1":
        raise OSError(-2, "Name or service not known")
    return ["10.0.0.1", "10.1.0.1"]


def settings(**variables: Any) -> HostSettings:
    return host_settings("mac-1", variables, {}, local=False)


def test_without_variables_a_host_has_one_rank_and_its_name() -> None:
    assert settings() == HostSettings("mac-1", "mac-1")


def test_variables_become_settings() -> None:
    found = settings(ansible_host="me@10.0.0.9", mlx_ips=["10.0.0.1"], mlx_slots=2, mlx_python="/p", mlx_rdma=[[None, "en2"]])
    assert found == HostSettings("mac-1", "me@10.0.0.9", ("10.0.0.1",), 2, "/p", rdma=([None, "en2"],))


@pytest.mark.parametrize("ips", ["10.0.0.1, 10.1.0.1", "10.0.0.1 10.1.0.1", ["10.0.0.1", "10.1.0.1"], '["10.0.0.1", "10.1.0.1"]'])
def test_addresses_may_be_one_text(ips: object) -> None:
    assert settings(mlx_ips=ips).ips == ("10.0.0.1", "10.1.0.1")


def test_text_is_converted_as_ansible_does() -> None:
    found = settings(mlx_slots="2", mlx_python=3.12, mlx_rdma='[null, ["en2", "en3"]]')
    assert found == HostSettings("mac-1", "mac-1", slots=2, python="3.12", rdma=(None, ["en2", "en3"]))


def test_older_name_of_the_address_is_the_stronger_one() -> None:
    assert settings(ansible_ssh_host="10.0.0.8").address == "10.0.0.8"
    assert settings(ansible_ssh_host="10.0.0.8", ansible_host="10.0.0.9").address == "10.0.0.8"


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"mlx_ips": 7}, "mac-1: mlx_ips: want a list of IPv4 addresses, not 7"),
        ({"mlx_ips": "fe80::1"}, "mac-1: mlx_ips: fe80::1 is IPv6"),
        ({"mlx_ips": "[10.0.0.1"}, "mac-1: mlx_ips: this is text that begins with ["),
        ({"mlx_ips": {"a": 1}}, "mac-1: mlx_ips: want a list of IPv4 addresses, not {'a': 1}"),
        ({"mlx_python": ["/p"]}, "mac-1: mlx_python: ['/p'] is not text"),
        ({"mlx_rdma": '{"a": 1}'}, "mac-1: mlx_rdma: want a list of devices, one per rank, not {'a': 1}"),
        ({"mlx_rdma": "en2"}, "mac-1: mlx_rdma: want a list of devices, one per rank, not 'en2'"),
    ],
)
def test_wrong_variable_is_refused_with_the_host(variables: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(**variables)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        (HostSettings("a", "mac-1", ips=("10.9.0.1",)), ("10.9.0.1",)),
        (HostSettings("a", "me@10.0.0.7"), ("10.0.0.7",)),
        (HostSettings("a", "mac-1"), ("10.0.0.1",)),
        (HostSettings("a", "nowhere", local=True), ("127.0.0.1",)),
    ],
    ids=["mlx_ips", "address", "first of a name", "this machine"],
)
def test_ring_listens_on_the_first_known_address(host: HostSettings, addresses: tuple[str, ...]) -> None:
    assert ring_addresses(host, resolve) == addresses


@pytest.mark.parametrize(("address", "reason"), [("nowhere", "Name or service not known"), ("mac-6", "no IPv4 address")])
def test_host_without_address_is_refused_with_the_remedy(address: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        ring_addresses(HostSettings("a", address), resolve)
    advice = "set mlx_ips (a launch asks the host itself, and so does mlxlaunch network --output-hostfile FILE)"
    assert str(caught.value) == f"a: cannot tell its IPv4 address: {address}: {reason}; {advice}"


@pytest.mark.parametrize(("rank", "wanted"), [(0, NONE), (1, NONE), (1, FIRST)])
def test_unneeded_address_may_be_unknown(rank: int, wanted: str) -> None:
    assert rank_addresses(HostSettings("a", "nowhere"), rank, resolve, wanted) == ()


@pytest.mark.parametrize(("rank", "wanted"), [(0, ALL), (1, ALL), (0, FIRST)])
def test_needed_address_is_asked_for(rank: int, wanted: str) -> None:
    for address in ("nowhere", "mac-1", "me@box", "fe80::1%en0"):
        assert rank_addresses(HostSettings("a", address), rank, resolve, wanted) == ("<a>",)
    assert rank_addresses(HostSettings("a", "me@10.0.0.7"), rank, resolve, wanted) == ("10.0.0.7",)


def test_slots_of_a_host_are_in_a_row() -> None:
    hosts = [HostSettings("b", "10.0.0.2", slots=2, rdma=("r",)), HostSettings("a", "mac-1", ips=("10.0.0.1",))]
    assert places(hosts, resolve) == [RankPlace("b", ("10.0.0.2",), ("r",), True)] * 2 + [RankPlace("a", ("10.0.0.1",))]


@pytest.mark.parametrize(("own", "given", "slots"), [(1, 0, 1), (3, 0, 3), (1, 2, 2), (2, 2, 2)])
def test_command_line_gives_each_host_its_slots(own: int, given: int, slots: int) -> None:
    [host] = with_slots([HostSettings("a", "a", slots=own)], given)
    assert host.slots == slots


def test_slots_of_inventory_and_command_line_must_agree() -> None:
    with pytest.raises(UsageError, match=r"a: mlx_slots is 3, and -n \(--repeat-hosts\) says 2; leave one of them out"):
        with_slots([HostSettings("a", "a", slots=3)], 2)


@pytest.mark.parametrize(
    ("devices", "chosen", "left"),
    [
        ((None, "ab", "ac"), "ac", (None, "ac")),
        ((None, "ab", "ac"), "abc", (None, "ab", "ac")),
        ((), "ac", ()),
        (("x", "y"), "ac", ("x", "y")),
    ],
)
def test_devices_are_those_to_hosts_that_take_part(devices: tuple[Any, ...], chosen: str, left: tuple[Any, ...]) -> None:
    assert limited(HostSettings("a", "a", rdma=devices), list("abc"), list(chosen)).rdma == left
