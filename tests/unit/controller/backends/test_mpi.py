"""Where mpirun may be, and what it calls the hosts."""

from __future__ import annotations

import re

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.mpi_job import CHANNEL, SSH
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_table import RankTable
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.mpi import candidates, labels
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import build_rank_table

ENV, BREW, LOCAL, SYSTEM = "/e/bin/mpirun", "/opt/homebrew/bin/mpirun", "/usr/local/bin/mpirun", "/usr/bin/mpirun"


# -- where mpirun may be


def test_mpirun_is_looked_for_beside_the_python_first() -> None:
    assert candidates("", "/e/bin/python") == [ENV, BREW, LOCAL, SYSTEM]


def test_mpirun_that_is_named_is_the_only_one() -> None:
    assert candidates("/x/mpirun", "/e/bin/python") == ["/x/mpirun"]


@pytest.mark.parametrize(("python", "first"), [("python3", BREW), ("", BREW), ("/usr/bin/python3", SYSTEM)])
def test_no_place_is_looked_at_twice_or_beside_a_bare_name(python: str, first: str) -> None:
    found = candidates("", python)
    assert found[0] == first
    assert sorted(found) == sorted([BREW, LOCAL, SYSTEM])


# -- what mpirun calls the hosts


def table_of(**ips: str) -> RankTable:
    """Return the table of one rank per host; without an address where it is empty."""
    return build_rank_table([(host, (ip,) if ip else ()) for host, ip in ips.items()])


@pytest.mark.parametrize(
    ("ip", "address", "label"),
    [
        ("10.0.0.2", "b.lan", "10.0.0.2"),
        ("", "10.0.0.7", "10.0.0.7"),
        ("", "me@10.0.0.7", "10.0.0.7"),
        ("", "b.lan", "b-rank1"),
        ("", "127.0.0.1", "b-rank1"),
        ("", "::1", "b-rank1"),
        ("", "fd00::2", "b-rank1"),
    ],
)
def test_label_is_an_ipv4_address_or_no_other_host_s_name(ip: str, address: str, label: str) -> None:
    found = labels(table_of(a="", b=ip), {"a": "10.0.0.1", "b": address}, CHANNEL)
    assert found == {"a": "localhost", "b": label}


@pytest.mark.parametrize(
    ("first", "second", "third"),
    [("n.one", "n.two", "n.three"), ("a", "localhost", "127.0.0.1"), ("a", "::1", "[::1]"), ("a", "b c", "b,c:2"), ("a", "ö", "ü")],
)
def test_labels_differ_and_are_words_that_mpirun_cannot_misread(first: str, second: str, third: str) -> None:
    names = (first, second, third)
    found = labels(table_of(**dict.fromkeys(names, "")), dict.fromkeys(names, "x"), CHANNEL)
    assert list(found) == list(names)
    assert len(set(found.values())) == 3
    assert all(re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", label) for label in found.values()), found
    assert not set(list(found.values())[1:]) & {*names, "localhost"}


def test_hosts_that_mpirun_reaches_itself_have_their_addresses() -> None:
    assert labels(table_of(a="10.0.0.1", b="10.0.0.2"), {"a": "a.lan", "b": "me@b.lan"}, SSH) == {"a": "localhost", "b": "me@b.lan"}
