"""Values that are usual among hosts."""

from __future__ import annotations

from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.facts import HostFacts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.rules.cluster import Cluster


def cluster(**values: Any) -> Cluster:
    return Cluster({name: HostFacts(name, found={"value": value}) for name, value in values.items()}, "ring")


def value(host: HostFacts) -> Any:
    return host.found["value"]


def test_usual_is_the_most_frequent_value_then_the_first() -> None:
    assert cluster(a="x", b="y", c="y").usual(value) == "y"
    assert cluster(a="x", b="y").usual(value) == "x"
    assert cluster(a="", b="y").usual(value) == "y"
    assert cluster(a="", b="").usual(value) is None


def test_host_without_a_value_differs_from_nobody() -> None:
    found = cluster(a="x", b="y", c="y", d="")
    assert [found.differs(host, value) for host in found.asked] == ["y", None, None, None]


def test_zero_is_a_value_and_none_is_not() -> None:
    found = cluster(a=0, b=0, c=7, d=None)
    assert [found.differs(host, value) for host in found.asked] == [None, None, 0, None]


def test_hosts_that_did_not_answer_are_left_out() -> None:
    found = Cluster({"a": HostFacts("a", failure="off"), "b": HostFacts("b", found={"value": "x"})}, "ring")
    assert [host.host for host in found.asked] == ["b"]
    assert found.cables == ()
