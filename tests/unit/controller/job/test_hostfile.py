"""A hostfile is read in both schemas, and a bad one is refused with one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.addresses import is_ip
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.hostfile import (
    Entry,
    Hostfile,
    check_host_name,
    check_ipv4,
    hostfile_from_data,
    hostfile_from_names,
    parse_hostfile,
)
from tests.support.refusals import refusal

A = {"ssh": "a", "ips": ["10.0.0.1"]}
B = {"ssh": "b", "ips": ["10.0.0.2"]}

values = st.text(max_size=8).filter(lambda text: "\0" not in text)
names = st.from_regex(r"[a-z0-9]([a-z0-9.@_-]{0,10})", fullmatch=True)
rdma = st.lists(
    st.none() | st.from_regex(r"rdma_en[0-9]", fullmatch=True) | st.lists(st.just("rdma_en4"), min_size=1, max_size=2), max_size=3
)


@st.composite
def hostfiles(draw: st.DrawFn) -> Hostfile:
    """Any hostfile: each host with addresses of its own, in any number of entries."""
    entries = []
    for at, name in enumerate(draw(st.lists(names, min_size=1, max_size=4, unique=True))):
        ips = tuple(f"10.{at}.0.{last}" for last in range(draw(st.integers(0, 3))))
        entries += [Entry(name, ips, tuple(draw(rdma)))] * draw(st.integers(1, 2))
    envs = draw(st.lists(st.builds("{}={}".format, st.sampled_from(["A", "MLX_X", "_y1"]), values), max_size=3))
    return Hostfile(tuple(draw(st.permutations(entries))), draw(st.sampled_from(["", "ring", "jaccl"])), tuple(envs))


def test_older_schema_is_a_bare_list_in_rank_order() -> None:
    assert parse_hostfile(json.dumps([B, A, A])) == Hostfile(
        (Entry("b", ("10.0.0.2",)), Entry("a", ("10.0.0.1",)), Entry("a", ("10.0.0.1",)))
    )


def test_newer_schema_has_backend_envs_and_rdma() -> None:
    found = parse_hostfile(json.dumps({"backend": "jaccl", "envs": ["K=a=b", "E="], "hosts": [A | {"rdma": [None, ["en3", "en4"]]}, B]}))
    assert found == Hostfile((Entry("a", ("10.0.0.1",), (None, ["en3", "en4"])), Entry("b", ("10.0.0.2",))), "jaccl", ("K=a=b", "E="))


@pytest.mark.parametrize(
    "data", [[{"ssh": "a"}], [{"ssh": "a", "ips": None, "rdma": None}], {"hosts": [{"ssh": "a"}], "backend": None, "envs": None}]
)
def test_missing_or_null_field_has_its_default(data: Any) -> None:
    assert hostfile_from_data(data) == Hostfile((Entry("a"),))


@given(hostfiles())
def test_rendered_object_is_read_back_unchanged(hostfile: Hostfile) -> None:
    assert parse_hostfile(hostfile.render()) == hostfile


@given(hostfiles())
def test_rendered_list_keeps_the_hosts_and_nothing_else(hostfile: Hostfile) -> None:
    assert parse_hostfile(hostfile.render("list")) == Hostfile(hostfile.entries)


def test_same_host_may_stand_several_times_with_its_address() -> None:
    assert len(hostfile_from_data([A, B, A]).entries) == 3


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ([{"ips": ["10.0.0.1"]}], ["host 0", '"ssh" is missing']),
        ([A, {"ssh": None}], ["host 1", '"ssh" is missing']),
        ([A, {"ssh": 7}], ["host 1", '"ssh"']),
        ([A, {"ssh": ""}], ["host 1", "ssh", "empty"]),
        ([A, "b"], ["host 1", "'b'"]),
        ([A, ["b"]], ["host 1", "['b']"]),
        ([A, None], ["host 1", "None"]),
        ([A, {"ssh": "b", "ips": ["fe80::1"]}], ["host 1 (b)", "ips", "fe80::1 is IPv6"]),
        ([{"ssh": "b", "ips": ["::ffff:10.0.0.1"]}], ["host 0 (b)", "ips", "IPv6"]),
        ([{"ssh": "b", "ips": ["b.local"]}], ["host 0 (b)", "ips", "'b.local'"]),
        ([{"ssh": "b", "ips": ["10.0.0.1:80"]}], ["host 0 (b)", "ips", "'10.0.0.1:80'"]),
        ([{"ssh": "b", "ips": ["10.0.0.1/24"]}], ["host 0 (b)", "ips", "'10.0.0.1/24'"]),
        ([{"ssh": "b", "ips": ["010.0.0.1"]}], ["host 0 (b)", "ips", "'010.0.0.1'"]),
        ([{"ssh": "b", "ips": [7]}], ["host 0 (b)", "ips", "7"]),
        ([{"ssh": "b", "ips": "10.0.0.1"}], ["host 0 (b)", "ips", "'10.0.0.1'"]),
        ([{"ssh": "b", "ips": ""}], ["host 0 (b)", "ips"]),
        ([{"ssh": "b", "ips": 0}], ["host 0 (b)", "ips"]),
        ([{"ssh": "b", "ips": {}}], ["host 0 (b)", "ips"]),
        ([{"ssh": "b", "rdma": "en3"}], ["host 0 (b)", "rdma"]),
        ([A, {"ssh": "b", "ips": ["10.0.0.2", "10.0.0.1"]}], ["host 1 (b)", "ips", "10.0.0.1", "host 0 (a)"]),
        ([{"ssh": "-oProxyCommand=x"}], ["host 0", "ssh", "begins with '-'"]),
        ([{"ssh": "a b"}], ["host 0", "ssh", "'a b'", "white space"]),
        ([A, {"ssh": "b\nc"}], ["host 1", "ssh", "'b\\nc'"]),
        ([A, {"ssh": "b\tc"}], ["host 1", "ssh", "'b\\tc'"]),
        ([A, {"ssh": "b\u00a0c"}], ["host 1", "ssh", "white space"]),
        ([A, {"ssh": "b\0"}], ["host 1", "ssh", "control character"]),
        ([], ["no hosts"]),
        ({"hosts": []}, ["no hosts"]),
        ({}, ['"hosts"']),
        ({"hosts": {"a": "b"}}, ['"hosts"']),
        ({"hosts": None}, ['"hosts"']),
        ("a,b", ['"hosts"']),
        (None, ['"hosts"']),
        (7, ['"hosts"']),
        ({"hosts": [A], "envs": "K=V"}, ["envs", "NAME=VALUE"]),
        ({"hosts": [A], "envs": ["K V"]}, ["envs", "item 1", "NAME=VALUE"]),
        ({"hosts": [A], "envs": ["=V"]}, ["envs", "not a valid name"]),
        ({"hosts": [A], "envs": ["A B=V"]}, ["envs", "'A B'"]),
        ({"hosts": [A], "envs": ["1K=V"]}, ["envs", "'1K'"]),
        ({"hosts": [A], "envs": ["K=V", 7]}, ["envs"]),
        ({"hosts": [A], "envs": {"K": "V"}}, ["envs"]),
        ({"hosts": [A], "envs": 0}, ["envs"]),
        ({"hosts": [A], "backend": ["ring"]}, ["backend", "['ring']"]),
        ({"hosts": [A], "backend": 0}, ["backend", "0"]),
    ],
)
def test_bad_hostfile_is_one_line_that_names_file_host_and_field(data: Any, parts: list[str]) -> None:
    message = refusal(parse_hostfile, json.dumps(data), "hosts.json")
    assert message.startswith("hosts.json: ")
    assert len(message.splitlines()) == 1
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("text", ["", "[", "a,b", '{"hosts": [}', "\ufeff[", "[" * 100_000, "ssh: a\nips: []\n"])
def test_text_that_is_not_json_is_refused_in_one_line(text: str) -> None:
    message = refusal(parse_hostfile, text, "hosts.json")
    assert message.startswith("hosts.json: not JSON: ")
    assert len(message.splitlines()) == 1


def test_byte_order_mark_is_no_part_of_a_hostfile() -> None:
    assert parse_hostfile("\ufeff" + json.dumps([A])) == parse_hostfile(json.dumps([A]))


def test_hosts_flag_repeats_each_name_in_a_row() -> None:
    found = hostfile_from_names(["a", "10.0.0.7"], repeat=2)
    assert found.entries == (Entry("a"), Entry("a"), Entry("10.0.0.7", ("10.0.0.7",)), Entry("10.0.0.7", ("10.0.0.7",)))


@pytest.mark.parametrize(
    ("given_names", "part"),
    [
        ([], "no hosts"),
        (["a", ""], "empty"),
        (["-v"], "begins with '-'"),
        (["a b"], "white space"),
        (["a:22"], "a port belongs into"),
        (["bob@10.0.0.1:22"], "a port belongs into"),
        (["a[1:3]"], "a bracket"),
        (["[::1]"], "a bracket"),
    ],
)
def test_bad_hosts_flag_is_refused(given_names: list[str], part: str) -> None:
    with pytest.raises(UsageError, match=f"^--hosts: .*{part}"):
        hostfile_from_names(given_names)


@pytest.mark.parametrize("name", ["mac-1.local", "user@mac", "fe80::1%en0", "münchen", "10.0.0.1"])
def test_host_name_that_ssh_can_take_passes(name: str) -> None:
    assert check_host_name(name, "here") == name


@pytest.mark.parametrize("ip", ["10.0.0.1", "169.254.3.4", "127.0.0.1"])
def test_ipv4_address_passes(ip: str) -> None:
    assert check_ipv4(ip, "here") == ip


@pytest.mark.parametrize(("text", "expected"), [("10.0.0.1", True), ("fe80::1", True), ("mac-1", False), ("", False), ("10.0.0", False)])
def test_address_is_distinguished_from_a_name(text: str, expected: bool) -> None:
    assert is_ip(text) is expected


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # mlx leaves the file to the garbage collector
@pytest.mark.parametrize(
    "data", [[A, B, A], {"backend": "ring", "envs": ["K=V"], "hosts": [A, B | {"rdma": [None, "rdma_en2"]}]}, {"hosts": [{"ssh": "a"}]}]
)
def test_it_is_read_as_mlx_reads_it(data: Any, tmp_path: Any) -> None:
    theirs = pytest.importorskip("mlx._distributed_utils.common").Hostfile
    text = json.dumps(data)
    (tmp_path / "hosts.json").write_text(text)
    want, have = theirs.from_file(tmp_path / "hosts.json"), parse_hostfile(text)
    assert [(entry.ssh, list(entry.ips), list(entry.rdma)) for entry in have.entries] == [
        (h.ssh_hostname, h.ips, h.rdma) for h in want.hosts
    ]
    assert (have.backend, list(have.envs)) == (want.backend, want.envs)


@pytest.mark.parametrize(("hosts", "repeat"), [("a,b", 1), ("10.0.0.1,10.0.0.2", 2), ("127.0.0.1", 4), ("a,10.0.0.1,a", 3)])
def test_hosts_flag_means_what_mlx_means_by_it(hosts: str, repeat: int) -> None:
    theirs = pytest.importorskip("mlx._distributed_utils.common").Hostfile.from_list(hosts, repeat)
    have = hostfile_from_names(hosts.split(","), repeat)
    assert [(entry.ssh, list(entry.ips)) for entry in have.entries] == [(host.ssh_hostname, host.ips) for host in theirs.hosts]


@pytest.mark.parametrize("schema", ["list", "object"])
def test_text_has_a_line_per_rank_and_says_what_the_data_says(schema: str) -> None:
    hostfile = hostfile_from_data({"backend": "ring", "envs": ["K=ü"], "hosts": [A, B, A]})
    text = hostfile.render(schema)
    assert json.loads(text) == hostfile.data(schema)
    lines = [line for line in text.splitlines() if '"ssh"' in line]
    assert [json.loads(line.rstrip(",")) for line in lines] == [A, B, A]


def test_limited_hostfile_has_the_devices_between_its_hosts() -> None:
    rows = {"a": [None, "ab", "ac"], "b": ["ba", None, "bc"], "c": ["ca", "cb", None]}
    whole = hostfile_from_data([{"ssh": name, "ips": [], "rdma": row} for name, row in rows.items()])
    assert [(entry.ssh, entry.rdma) for entry in whole.limited(["a", "c"]).entries] == [("a", (None, "ac")), ("c", ("ca", None))]
