"""A plan says whether anything stands in its way."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.finding import FAIL, NOTE, WARN, Finding
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.plan import Plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.cables import Cabling
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.topology.topology import Topology


@pytest.mark.parametrize(
    ("problem", "levels", "failing"),
    [("", (), False), ("", (NOTE, WARN), False), ("", (NOTE, FAIL), True), ("no cable", (), True)],
)
def test_plan_fails_by_its_problem_or_a_finding(problem: str, levels: tuple[str, ...], failing: bool) -> None:
    findings = tuple(Finding(level, "kind", "text") for level in levels)
    assert Plan((), Cabling((), ()), Topology(0, ()), problem=problem, findings=findings).failing is failing
