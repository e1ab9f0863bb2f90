"""A row of a check has the worst status of its cells."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import FAIL, OK, UNKNOWN, WARN, Cell, Row


@pytest.mark.parametrize(
    ("statuses", "worst"), [([], OK), ([OK, UNKNOWN], OK), ([OK, WARN], WARN), ([WARN, FAIL, OK], FAIL)], ids=["none", OK, WARN, FAIL]
)
def test_worst_cell_decides(statuses: list[str], worst: str) -> None:
    assert Row("a", (0,), {str(at): Cell("x", status) for at, status in enumerate(statuses)}).status == worst


def test_doubt_after_a_failure_leaves_it_one() -> None:
    cell = Cell("x", OK)
    cell.note(WARN, "old")
    assert (cell.status, cell.notes) == (WARN, ["old"])
    cell.note(FAIL, "broken")
    cell.note(WARN, "slow")
    assert (cell.status, cell.notes) == (FAIL, ["old", "broken", "slow"])


def test_row_survives_json() -> None:
    row = Row("a", (0, 1), {"ssh": Cell("yes", OK), "mlx": Cell("none", FAIL, ["install it"])})
    data = json.loads(json.dumps(row.to_json()))
    assert data["status"] == FAIL
    assert Row.from_json(data) == row
