"""The plan of a launch, from its request."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.planning import plan
from tests.unit.launches import request


def test_plan_has_stdin_for_its_readers_only() -> None:
    planned = plan(request(default_stdin="all", stdin="1"))
    ranks = [rank for spec in planned.specs.values() for rank in spec.ranks]
    assert [rank.stdin for rank in ranks] == ["", "pipe"]


def test_plan_of_a_terminal_has_its_size() -> None:
    planned = plan(request(default_stdin="none", tty=True, stdin="0", screen=(80, 24)))
    [rank] = planned.specs["a"].ranks
    assert (rank.stdin, list(rank.screen or ())) == ("terminal", [80, 24])
