"""The part of a plan that waits for the facts of all hosts: addresses and ports."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import Decision
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.messages import message_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings, places
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.late import Late
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.plan import JobPlan, plan_job


def plan(*hosts: HostSettings, **settings: Any) -> JobPlan:
    """Return a plan of hosts whose names nobody here resolves."""

    def resolve(name: str) -> list[str]:
        raise OSError(name)

    job = JobSettings(**{"script": "train.py", "backend": "ring", **settings})
    where = places(hosts, resolve)
    return plan_job("job-1", job, hosts, where, sources=host_sources(), default_python="/usr/bin/python3", default_cwd="/here")


ALIAS = HostSettings("box1", "box1", slots=2)
SIX = HostSettings("six", "fe80::1%en0")
KNOWN = HostSettings("known", "10.0.0.3")
NAMED = HostSettings("named", "whatever", ips=("10.0.0.4",))


def late_of(planned: JobPlan) -> Late[JobPlan]:
    assert planned.late
    return planned.late


def decided(planned: JobPlan, **addresses: str) -> tuple[Decision, list[JobPlan]]:
    """Return the decision when hosts tell these addresses, and the plan that it comes to."""
    facts = {host: {"address": addresses.get(host, ""), "others": [], "shifts": [0]} for host in planned.specs}
    chosen: list[JobPlan] = []
    return late_of(planned).decide(planned.specs, facts, chosen.append), chosen


def test_host_known_by_name_gets_a_stand_in_until_it_is_asked() -> None:
    planned = plan(ALIAS, SIX, KNOWN, NAMED)
    assert {host: spec.reached for host, spec in planned.specs.items()} == {
        "box1": "<box1>",
        "six": "<six>",
        "known": "10.0.0.3",
        "named": "",
    }
    assert planned.specs["box1"].listen == ("<box1>:32323", "<box1>:32324")
    assert planned.specs["named"].addresses == ("10.0.0.4",)


def test_addresses_that_hosts_tell_go_to_all() -> None:
    planned = plan(ALIAS, SIX, KNOWN, NAMED)
    found, [final] = decided(planned, box1="10.0.0.1", six="10.0.0.2", known="10.0.0.3")
    rows = [["10.0.0.1:32323"], ["10.0.0.1:32324"], ["10.0.0.2:32325"], ["10.0.0.3:32326"], ["10.0.0.4:32327"]]
    assert found.problems == {}
    assert all(json.loads(go["files"]["MLX_HOSTFILE"]) == rows for go in found.go.values())
    assert found.go["named"] == {"shift": 0, "files": dict(final.specs["named"].files), "env": {"4": {"MASTER_ADDR": "10.0.0.1"}}}
    assert final.specs["box1"].reached == ""


def test_known_addresses_need_no_second_plan() -> None:
    found, chosen = decided(plan(KNOWN, NAMED), known="10.0.0.3")
    assert (found, chosen) == (Decision(), [])


def test_address_behind_a_forwarded_port_is_the_hosts_own() -> None:
    _found, [final] = decided(plan(KNOWN, NAMED), known="172.16.0.9")
    assert final.table.ranks[0].listen == ("172.16.0.9:32323",)


@pytest.mark.parametrize(
    ("hosts", "told", "problems"),
    [
        pytest.param(
            (HostSettings("a", "a"), HostSettings("b", "b")),
            {"a": "127.0.0.1", "b": "127.0.0.1"},
            {"a": "was reached by 127.0.0.1, as b was; each", "b": "was reached by 127.0.0.1, as a was; each"},
            id="one-forwarded-address",
        ),
        pytest.param(
            (HostSettings("a", "a"), NAMED), {"a": "10.0.0.4"}, {"a": "a and named both claim 10.0.0.4"}, id="the-mlx_ips-of-another"
        ),
        pytest.param((HostSettings("a", "a"), NAMED), {"a": "127.0.0.1"}, {"a": "a would listen on 127.0.0.1, where named"}, id="loopback"),
    ],
)
def test_address_that_does_not_do_is_refused(hosts: tuple[HostSettings, ...], told: Mapping[str, str], problems: Mapping[str, str]) -> None:
    found, chosen = decided(plan(*hosts), **told)
    assert chosen == []
    assert set(found.problems) == set(problems)
    for host, text in problems.items():
        assert found.problems[host][0].startswith(text)
        assert "mlx_ips" in found.problems[host][0]


ODD = ["", "0", "01", "127", "169", "224", "255", "\uff11", "1\u0661", "1\n", "x"]
OCTETS = st.one_of(st.integers(0, 1100).map(str), st.sampled_from(ODD))
ADDRESSES = st.one_of(st.lists(OCTETS, min_size=3, max_size=5).map(".".join), st.ip_addresses(v=4).map(str), st.text(max_size=16))


def as_taken(host: str, address: str) -> str:
    """Return the address as the launch has it, "" when the host has lost its place by it."""
    ready = {"cwd": "/", "address": address}
    try:
        return str(message_of(host, wire.Frame(wire.READY, json.dumps(ready).encode()))["address"])
    except wire.WireError:
        return ""


@given(st.lists(ADDRESSES, min_size=2, max_size=2), st.sampled_from(["ring", "nccl"]))
def test_no_host_gets_an_address_that_is_none(told: list[str], backend: str) -> None:
    """Whatever a host tells: its address is that of one host, or the job does not start."""
    planned = plan(ALIAS, SIX, NAMED, backend=backend)
    asked = [host for host in ("box1", "six") if planned.late and host in planned.late.asked]
    taken = {host: as_taken(host, address) for host, address in zip(asked, told, strict=False)}
    found, _chosen = decided(planned, **taken)
    assert bool(found.problems) != bool(found.go)
    files = [json.loads(go["files"]["MLX_HOSTFILE"]) for go in found.go.values() if go["files"]]
    listed = {listen.rpartition(":")[0] for rows in files for row in rows for listen in row}
    envs = [env for go in found.go.values() for env in go["env"].values()]
    firsts = {env[name] for env in envs for name in ("MASTER_ADDR", "NCCL_HOST_IP") if name in env}
    for address in map(ipaddress.IPv4Address, listed | firsts):
        assert not any((address.is_loopback, address.is_multicast, address.is_unspecified, address.is_reserved)), address


def test_rank_that_is_alone_needs_no_address() -> None:
    planned = plan(HostSettings("a", "a"))
    assert planned.specs["a"].addresses == ()
    _found, [final] = decided(planned)
    assert final.specs["a"].ranks[0].env["MASTER_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize(("backend", "asked"), [("nccl", {"box1"}), ("mpi", set())])
def test_only_needed_addresses_are_asked_for(backend: str, asked: set[str]) -> None:
    from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.backends import listeners

    hosts = [HostSettings("box1", "box1"), HostSettings("box2", "box2")]

    def resolve(name: str) -> list[str]:
        raise OSError(name)

    assert {place.host for place in places(hosts, resolve, listeners(backend)) if place.asked} == asked


def test_note_names_the_addresses_that_were_not_taken() -> None:
    late = late_of(plan(ALIAS, SIX))
    facts = {"box1": {"address": "10.0.0.1", "others": ["en1 192.168.0.1"]}, "six": {"address": "10.0.0.2", "others": []}}
    assert late.note(facts) == (
        "data goes by the address by which each host was reached: box1 10.0.0.1 (and not en1 192.168.0.1); set mlx_ips for another"
    )
    assert late.note({host: {**row, "others": []} for host, row in facts.items()}) == ""
