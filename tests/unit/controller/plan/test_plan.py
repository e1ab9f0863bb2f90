"""From the inventory to what each host is told."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.spec import HostSpec
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.backends import listeners
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings, host_settings, places, ring_addresses
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import RankPlace
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.plan import JobPlan, plan_job

KNOWN = {"a": ["10.0.0.1", "10.9.9.9"], "b": ["10.0.0.2"], "six.local": []}


def resolve(name: str) -> list[str]:
    """Resolve as a resolver with three names would."""
    if name not in KNOWN:
        raise OSError(-2, "Name or service not known")
    return KNOWN[name]


addresses = partial(ring_addresses, resolve=resolve)


def host(name: str = "a", **variables: Any) -> HostSettings:
    return host_settings(name, variables, {}, local=variables.get("ansible_connection") == "local")


def plan(*hosts: HostSettings, **settings: Any) -> JobPlan:
    job_settings = JobSettings(**{"script": "train.py", "backend": "ring", **settings})
    return plan_job(
        "job-1",
        job_settings,
        hosts,
        places(hosts, resolve, listeners(job_settings.backend)),
        sources=host_sources(),
        default_python="/usr/bin/python3",
        default_cwd="/here",
    )


def test_host_settings_come_from_its_variables() -> None:
    found = host(ansible_host="10.0.0.5", mlx_ips=["10.1.0.1"], mlx_slots="2", mlx_python="/env/bin/python")
    assert found == HostSettings("a", "10.0.0.5", ("10.1.0.1",), 2, "/env/bin/python", {}, False)
    assert host() == HostSettings("a", "a", env={})


@pytest.mark.parametrize("text", ["10.0.0.1,10.1.0.1", "10.0.0.1 10.1.0.1", " 10.0.0.1,  10.1.0.1 ,"])
def test_addresses_may_be_one_text(text: str) -> None:
    assert host(mlx_ips=text).ips == ("10.0.0.1", "10.1.0.1")


@pytest.mark.parametrize(
    ("variables", "part"),
    [
        ({"mlx_ips": ["fe80::1"]}, "mlx_ips: fe80::1 is IPv6"),
        ({"mlx_ips": "en0"}, "mlx_ips: 'en0'"),
        ({"mlx_ips": 10}, "mlx_ips: .*not 10"),
        ({"mlx_ips": {"en0": "10.0.0.1"}}, "mlx_ips: .*en0"),
        ({"mlx_ips": [None]}, "mlx_ips: None"),
        ({"mlx_slots": 0}, "mlx_slots: 0"),
        ({"mlx_rdma": "rdma_en2"}, "mlx_rdma: want a list of devices, one per rank, not 'rdma_en2'"),
        ({"mlx_rdma": {"b": "rdma_en2"}}, "mlx_rdma: want a list"),
        ({"mlx_slots": "many"}, "mlx_slots: 'many'"),
    ],
)
def test_bad_variable_names_host_and_variable(variables: dict[str, Any], part: str) -> None:
    with pytest.raises(UsageError, match=f"^a: {part}"):
        host(**variables)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"mlx_ips": ["10.5.0.1", "10.6.0.1"], "ansible_host": "10.0.0.9"}, ("10.5.0.1", "10.6.0.1")),
        ({"ansible_host": "10.0.0.9"}, ("10.0.0.9",)),
        ({"ansible_host": "me@10.0.0.9"}, ("10.0.0.9",)),
        ({"ansible_host": "me@b"}, ("10.0.0.2",)),
        ({}, ("10.0.0.1",)),
        ({"ansible_host": "nowhere", "ansible_connection": "local"}, ("127.0.0.1",)),
    ],
)
def test_rank_listens_on_mlx_ips_else_where_the_host_is_reached(variables: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert ring_addresses(host(**variables), resolve) == expected


@pytest.mark.parametrize(
    ("address", "part"), [("nowhere", "nowhere: Name or service not known"), ("six.local", "no IPv4 address"), ("fe80::1", "IPv6")]
)
def test_host_whose_address_cannot_be_told_says_what_to_set(address: str, part: str) -> None:
    with pytest.raises(UsageError, match=f"^a: .*{part}") as caught:
        ring_addresses(host(ansible_host=address), resolve)
    assert "set mlx_ips" in str(caught.value)


def test_slots_of_a_host_stand_in_a_row() -> None:
    found = places([host("b", mlx_slots=2), host("a", mlx_ips="10.0.0.1")], resolve)
    assert found == [RankPlace("b", ("<b>",), (), True)] * 2 + [RankPlace("a", ("10.0.0.1",))]


def test_each_host_is_told_its_ranks() -> None:
    specs = plan(host("a", mlx_slots=2), host("b"), args=("--lr", "1e-3")).specs
    assert {name: [rank.rank for rank in spec.ranks] for name, spec in specs.items()} == {"a": [0, 1], "b": [2]}
    assert specs["b"].ranks[0].argv == ("/usr/bin/python3", "train.py", "--lr", "1e-3")
    assert [specs["a"].index, specs["b"].index] == [0, 1]


def test_host_checks_its_own_addresses_and_ports_only() -> None:
    spec = plan(host("a", mlx_slots=2, ansible_host="10.0.0.1"), host("b")).specs["a"]
    assert spec.addresses == ("10.0.0.1",)
    assert spec.listen == ("10.0.0.1:32323", "10.0.0.1:32324")


def test_world_of_one_needs_no_address_and_no_port() -> None:
    spec = plan(host("a")).specs["a"]
    assert (spec.addresses, spec.listen, spec.files) == ((), (), {})


@pytest.mark.parametrize(
    ("on_host", "on_job", "expected"),
    [("/h/python", "/j/python", "/j/python"), ("/h/python", "", "/h/python"), ("", "", "/usr/bin/python3")],
)
def test_python_of_the_launch_wins_over_that_of_the_host(on_host: str, on_job: str, expected: str) -> None:
    spec = plan(host("a", mlx_python=on_host), python=on_job).specs["a"]
    assert (spec.python, spec.ranks[0].argv[0]) == (expected, expected)


def test_command_runs_in_place_of_python() -> None:
    spec = plan(host("a"), script="", command=("echo", "$HOME", "a b")).specs["a"]
    assert (spec.python, spec.script, spec.command, spec.ranks[0].argv) == ("", "", "echo", ("echo", "$HOME", "a b"))


def test_rank_gets_its_own_hosts_environment() -> None:
    one, other = (host_settings(name, {}, {"NAME": name}, local=False) for name in ("a", "b"))
    specs = plan(one, other).specs
    assert [specs[name].ranks[0].env["NAME"] for name in ("a", "b")] == ["a", "b"]


def test_a_host_is_told_its_files_once_however_many_ranks_it_has() -> None:
    spec = plan(host("a", mlx_slots=16), host("b", mlx_slots=16, ansible_host="10.0.0.2")).specs["a"]
    text = json.dumps(spec.to_wire())
    assert text.count("10.0.0.2:32354") == 1
    assert len(json.loads(spec.files["MLX_HOSTFILE"])) == 32


def test_spec_can_travel_as_json() -> None:
    specs = plan(host("a"), host("b")).specs
    assert {name: HostSpec.from_wire(json.loads(json.dumps(spec.to_wire()))) for name, spec in specs.items()} == specs


def test_ports_that_overflow_by_rank_count_are_refused() -> None:
    with pytest.raises(UsageError, match="ports 65530 to 65538"):
        plan(host("a", mlx_slots=8), host("b"), starting_port=65530)


@pytest.mark.parametrize("variable", ["ansible_host", "mlx_ips"])
@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1"])
def test_two_hosts_with_one_address_are_refused(variable: str, address: str) -> None:
    with pytest.raises(UsageError, match=rf"a and c both claim {address}; .* set mlx_ips"):
        plan(host("a", ansible_host=address, ansible_port=2222), host("c", **{variable: address}, ansible_port=2200))


def test_rdma_devices_of_the_inventory_are_a_row_per_rank() -> None:
    made = plan(host("a", mlx_ips="10.0.0.1", mlx_rdma=[None, ["en2", "en3"]]), host("b", mlx_rdma=[["en2", "en3"], None]), backend="jaccl")
    assert json.loads(made.specs["b"].files["MLX_IBV_DEVICES"]) == [[None, ["en2", "en3"]], [["en2", "en3"], None]]
    assert made.specs["a"].listen == ("10.0.0.1:32323",)
    assert [getattr(made.specs["b"], name) for name in ("listen", "addresses", "devices")] == [(), (), ()]


def test_rdma_devices_that_do_not_fit_the_ranks_are_refused() -> None:
    with pytest.raises(UsageError, match="rdma: want 3 entries for each host.*; a has 2, b has 2"):
        plan(host("a", mlx_rdma=[None, "en2"]), host("b", mlx_rdma=["en2", None]), host("c", mlx_rdma=[None, None, None]), backend="jaccl")


def test_a_ring_needs_no_rdma_device() -> None:
    assert set(plan(host("a", mlx_rdma=["nonsense"]), host("b")).specs["a"].files) == {"MLX_HOSTFILE"}


def test_nccl_wants_a_device_for_each_rank_of_a_host() -> None:
    specs = plan(host("a", mlx_slots=2), host("b"), backend="nccl", nccl_port=7000).specs
    assert [specs[name].devices for name in "ab"] == [("0", "1"), ("0",)]
    assert [specs[name].listen for name in "ab"] == [("0.0.0.0:7000",), ()]
    assert [specs[name].files for name in "ab"] == [{}, {}]
    assert specs["a"].port_flag == "--nccl-port"


def test_a_host_whose_address_no_rank_needs_may_have_none() -> None:
    specs = plan(host("a", ansible_host="10.0.0.1"), host("six.local"), backend="nccl").specs
    assert specs["six.local"].ranks[0].env["NCCL_HOST_IP"] == "10.0.0.1"
    found = places([host("a"), host("b", ansible_host="10.0.0.7"), host("c", ansible_host="nowhere")], resolve, "first")
    assert [(place.ips, place.asked) for place in found] == [(("<a>",), True), (("10.0.0.7",), False), ((), False)]
