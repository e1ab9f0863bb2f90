"""A hostfile from an inventory is the one that the inventory came from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.env import parse_env
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.hostfile import Entry, Hostfile
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.inventory import (
    group_variables,
    host_variables,
    hostfile_from_inventory,
)
from tests.unit.controller.job.test_hostfile import hostfiles


def again(hostfile: Hostfile) -> Hostfile:
    """Return the hostfile of the inventory that a hostfile is."""
    hosts, group = host_variables(hostfile), group_variables(hostfile)
    return hostfile_from_inventory(
        list(hosts),
        {name: group | own for name, own in hosts.items()},
        lambda name: [],
        ranks=group.get("mlx_hostfile"),
        backend=group.get("mlx_backend", ""),
        env=group.get("mlx_hostfile_env"),
    )


@given(hostfiles().filter(lambda hostfile: all(entry.ips for entry in hostfile.entries)))
def test_hostfile_of_the_inventory_is_the_hostfile(hostfile: Hostfile) -> None:
    have = again(hostfile)
    assert (have.entries, have.backend) == (hostfile.entries, hostfile.backend)
    assert parse_env(have.envs) == parse_env(hostfile.envs)


def test_a_host_without_addresses_gets_what_its_name_resolves_to() -> None:
    made = hostfile_from_inventory(["a"], {"a": {"ansible_host": "mac-1"}}, {"mac-1": ["10.0.0.7", "10.0.0.8"]}.__getitem__)
    assert made == Hostfile((Entry("mac-1", ("10.0.0.7",)),))


@pytest.mark.parametrize(
    ("variables", "ssh"),
    [
        ({}, "a"),
        ({"ansible_host": "mac-1"}, "mac-1"),
        ({"ansible_host": "mac-1", "ansible_user": "mlx"}, "mlx@mac-1"),
        ({"ansible_host": "x@mac-1", "ansible_user": "mlx"}, "x@mac-1"),
        ({"ansible_connection": "local"}, "127.0.0.1"),
        ({"ansible_connection": "ansible.builtin.local", "ansible_host": "mac-1"}, "127.0.0.1"),
    ],
)
def test_a_host_is_called_what_ssh_reaches_it_by(variables: dict[str, Any], ssh: str) -> None:
    made = hostfile_from_inventory(["a"], {"a": variables | {"mlx_ips": ["10.0.0.1"]}}, lambda name: [])
    assert made.entries == (Entry(ssh, ("10.0.0.1",)),)


@pytest.mark.parametrize(
    ("variables", "options", "wrong"),
    [
        ({"mlx_rdma": "en2"}, {}, "a: mlx_rdma: want a list"),
        ({"mlx_slots": 0}, {}, "a: mlx_slots: 0"),
        ({"mlx_ips": ["fe80::1"]}, {}, "a: mlx_ips: fe80::1 is IPv6"),
        ({"mlx_ips": ["10.0.0.2"]}, {}, "host 1 (b): ips: 10.0.0.2 is an address of host 0 (a) already"),
        ({"mlx_ips": []}, {}, "a: cannot tell its IPv4 address"),
        ({}, {"ranks": [{"ssh": "c"}]}, "mlx_hostfile: c is not among the hosts: a, b"),
        ({}, {"env": {"1": "x"}}, "mlx_hostfile_env: '1' is not a valid name"),
    ],
)
def test_an_inventory_that_gives_no_hostfile_is_refused(variables: dict[str, Any], options: dict[str, Any], wrong: str) -> None:
    hostvars = {"a": {"mlx_ips": ["10.0.0.1"]} | variables, "b": {"mlx_ips": ["10.0.0.2"]}}
    with pytest.raises(UsageError) as caught:
        hostfile_from_inventory(["a", "b"], hostvars, lambda name: [], **options)
    assert wrong in str(caught.value)
