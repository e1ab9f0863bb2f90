"""Wishes, checked."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError, naming_options
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import Wishes, check_wishes


def test_nothing_given_is_the_default() -> None:
    assert check_wishes({"over": None, "subnet": "", "ignore_unreachable": None}) == Wishes()


def test_values_are_converted() -> None:
    found = check_wishes({"subnet": "10.99.1.0/22", "ignore_unreachable": "yes", "interface": "en0", "over": "ethernet"} | {"subnet": None})
    assert found == Wishes(over="ethernet", interface="en0", ignore_unreachable=True)
    assert check_wishes({"subnet": "10.99.1.0/22"}).subnet == IPv4Network("10.99.0.0/22")


@pytest.mark.parametrize(("text", "value"), [("y", True), ("on", True), ("1", True), ("n", False), ("Off", False), ("false", False)])
def test_texts_for_yes_and_no_are_those_of_ansible(text: str, value: bool) -> None:
    assert check_wishes({"measure": text}).measure == value


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"over": "wifi"}, "--over 'wifi': want auto or thunderbolt or ethernet"),
        ({"backend": "mpi"}, "--backend 'mpi': want auto or ring or jaccl or jaccl-ring"),
        ({"require": "star"}, "--require 'star': want ring or mesh"),
        ({"schema": "yaml"}, "--schema 'yaml': want list or object"),
        ({"interface": "-a"}, "--interface '-a': want the name of an interface"),
        ({"interface": "en0; reboot"}, "want the name of an interface"),
        ({"subnet": "here"}, "--subnet 'here': want a block of IPv4 addresses"),
        ({"subnet": "fd00::/64"}, "want a block of IPv4 addresses"),
        ({"subnet": "10.0.0.0/31"}, "want a prefix from /8 to /30"),
        ({"subnet": "0.0.0.0/0"}, "want a prefix from /8 to /30"),
        ({"subnet": "224.0.0.0/16"}, "these addresses have another use"),
        ({"subnet": "127.0.0.0/16"}, "these addresses have another use"),
        ({"subnet": "169.254.0.0/16"}, "these addresses have another use"),
        ({"ignore_unreachable": "maybe"}, "--ignore-unreachable: 'maybe' is not yes or no"),
        ({"svg": 7}, "--svg 7: want text"),
        ({"record": "a\0b"}, "want text"),
        ({"svg": "same", "output_hostfile": "./same"}, "--output-hostfile and --svg same: one would replace the other; name two places"),
        ({"record": "/x/same", "output_vars": "/x/same/"}, "--output-vars and --record /x/same: one would replace the other"),
        ({"over": "ethernet", "backend": "jaccl"}, "jaccl needs RDMA over Thunderbolt"),
        ({"over": "ethernet", "require": "ring"}, "a ring or mesh of cables is one of Thunderbolt"),
        ({"over": "ethernet", "subnet": "10.9.0.0/24"}, "addresses are chosen for Thunderbolt cables only"),
        ({"over": "thunderbolt", "backend": "ring", "interface": "en0"}, "--interface is for --over ethernet"),
    ],
)
def test_wrong_wish_is_named(given: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_wishes(given)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"over": "x"}, "mlx_network_over 'x': "),
        ({"apply": "x"}, "mlx_network_apply: 'x' is not yes or no"),
        ({"svg": 7}, "mlx_network_svg 7: "),
        ({"interface": "-a"}, "mlx_network_interface '-a': "),
        ({"subnet": "x"}, "mlx_network_subnet 'x': "),
        ({"subnet": "10.0.0.0/31"}, "mlx_network_subnet 10.0.0.0/31: "),
        ({"subnet": "127.0.0.0/16"}, "mlx_network_subnet 127.0.0.0/16: "),
        ({"state": "absent", "apply": True}, "mlx_network_state=absent takes a setup back; mlx_network_apply and mlx_network_measure are "),
        ({"over": "ethernet", "require": "ring"}, "mlx_network_over ethernet mlx_network_require ring: "),
        ({"over": "thunderbolt", "backend": "ring", "interface": "en0"}, "mlx_network_interface is for mlx_network_over ethernet, "),
    ],
)
def test_wrong_wish_of_a_play_is_named_by_its_variable(given: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught, naming_options(by_flag=False):
        check_wishes(given)
    assert str(caught.value).startswith(text)
