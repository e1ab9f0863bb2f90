"""The graph for Graphviz."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.views.dot import node_id, quoted, render_dot
from tests.unit.macs import macs


def test_graph_has_a_node_per_host_and_an_edge_per_cable() -> None:
    assert (
        render_dot(macs(3).cable("a1", "b2").cable("c3", "b1").plan())
        == """\
graph G {
  node [shape=rectangle];
  a [label="a"];
  b [label="b"];
  c [label="c"];
  a -- b [label="en2/en3"]
  b -- c [label="en2/en4"]
}
"""
    )


@pytest.mark.parametrize(("at", "name"), [(0, "a"), (25, "z"), (26, "aa"), (27, "ab"), (51, "az"), (52, "ba"), (701, "zz"), (702, "aaa")])
def test_ids_are_letters_each_once(at: int, name: str) -> None:
    assert node_id(at) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a"]; evil [label="b', 'a\\"]; evil [label=\\"b'),
        ("back\\slash", "back\\\\slash"),
        ("two\nlines", "two lines"),
        ("\x1b[1mx\x07", "x\\\\x07"),
    ],
)
def test_labels_cannot_leave_their_quotes(text: str, expected: str) -> None:
    assert quoted(text) == expected
