"""The report of a benchmark: floor, peer, and the trend against the run that was kept."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks import flood, launch
from benchmarks.contestants import COMMAND, EMPTY, MLX_LAUNCH, PLAIN_SSH, PLAYBOOK
from benchmarks.measure import COLD, Results
from benchmarks.report import Kept, as_json, markdown


def run(ours: Sequence[float], floor: float = 1.0, rate: float = 200.0) -> Results:
    """Return the figures of a cold start of 4 hosts, and of a flood."""
    results = Results()
    results.add(launch.WALL, EMPTY, 4, "s", floor * 0.75, state=COLD)
    results.add(launch.WALL, PLAIN_SSH, 4, "s", floor * 0.25, state=COLD)
    results.add(launch.WALL, MLX_LAUNCH, 4, "s", 0.5, state=COLD)
    results.add(launch.WALL, PLAYBOOK, 4, "s", *ours, state=COLD)
    results.add(flood.FLOOD, MLX_LAUNCH, 1, "MB/s", 100.0)
    results.add(flood.FLOOD, COMMAND, 1, "MB/s", rate)
    return results


def kept(results: Results) -> Kept:
    return Kept.from_json(as_json({}, results, "2026-01-01"))


def row(text: str, what: str) -> list[str]:
    [line] = [line for line in text.splitlines() if what in line and ("| ok" in line or "| MISSED" in line)]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_figure_stands_beside_its_floor_and_the_peer() -> None:
    text = markdown({"cores": "2"}, run([1.2, 1.1, 1.3]), "2026-02-01")
    assert row(text, "launch, 4 hosts, cold") == [
        *("MISSED", "launch, 4 hosts, cold", PLAYBOOK, "1.20 s"),
        *("1.00 s empty playbook and plain ssh", "1.20x", "0.50 s mlx.launch", "2.40x", "<= 1.15x", ""),
    ]
    assert row(text, "flood")[0] == "ok"
    assert "Worse" not in text


@pytest.mark.parametrize(
    ("ours", "floor", "trend", "worse"),
    [
        ([1.5], 1.0, "50% worse", "- launch, 4 hosts, cold, ansible-playbook: 50%"),
        ([0.75], 1.0, "25% better", "Nothing, by more than noise."),
        ([1.05], 1.0, "", "Nothing, by more than noise."),  # less than a tenth
        ([1.2, 0.9, 1.6], 1.0, "", "Nothing, by more than noise."),  # within its own spread
        ([3.0], 3.0, "", "Nothing, by more than noise."),  # the machine was slower
    ],
)
def test_change_is_told_if_it_is_more_than_noise(ours: list[float], floor: float, trend: str, worse: str) -> None:
    text = markdown({}, run(ours, floor), "2026-02-01", kept(run([1.0])))
    assert row(text, "launch, 4 hosts, cold")[-1] == trend
    assert text.rstrip().endswith(f"## Worse than on 2026-01-01\n\n{worse}")


def test_rate_that_falls_is_worse() -> None:
    text = markdown({}, run([1.0], rate=100.0), "2026-02-01", kept(run([1.0])))
    assert row(text, "flood")[-1] == "50% worse"


def test_row_that_is_new_has_no_trend() -> None:
    assert row(markdown({}, run([1.0]), "2026-02-01", kept(Results())), "launch, 4 hosts, cold")[-1] == ""
