"""The outcome of a check in one line."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.facts import HostFacts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.outcome import check_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import FAIL, OK, WARN, Cell, Row


def row(host: str, status: str = OK) -> Row:
    return Row(host, (0,), {"reachable": Cell("yes", status)})


@pytest.mark.parametrize(
    ("rows", "returncode", "message"),
    [
        ([row("a"), row("b")], 0, "all 2 hosts are ready"),
        ([row("a")], 0, "a is ready"),
        ([row("a"), row("b", WARN)], 0, "all 2 hosts are ready; with warnings: b"),
        ([row("a", WARN)], 0, "a is ready; with warnings: a"),
        ([row("a", FAIL), row("b", WARN), row("c", FAIL)], 3, "2 of 3 hosts not ready: a, c"),
    ],
)
def test_message_names_hosts_that_are_not_ready(rows: list[Row], returncode: int, message: str) -> None:
    result = check_result(rows, None, {})
    assert (result["returncode"], result["message"]) == (returncode, message)


def test_cause_of_an_early_end_keeps_the_facts_so_far() -> None:
    facts = {"a": HostFacts("a", found={"disk": 1, "reports": {"answers": {}}}), "b": HostFacts("b")}
    result = check_result([], Cause("interrupted", 130, "interrupted by SIGINT"), facts)
    assert (result["returncode"], result["cause"]) == (130, "interrupted")
    assert result["facts"] == {"a": {"disk": 1}, "b": {}}
