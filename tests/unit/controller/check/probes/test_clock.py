"""How far a clock is off, by the quickest of a few answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.probes.clock import read_clock
from tests.unit.controller.fleets import Clock, FakeAgent


def agent_with(clock: Clock, delays: Iterator[float], ahead: float) -> FakeAgent:
    """Return a host whose clock is ahead of ours, and whose answers take these seconds, half of it on the way there."""

    def answer() -> float:
        delay = next(delays)
        clock.now += delay
        return clock.now - delay / 2 + ahead

    return FakeAgent("a", {"clock": answer}, lambda _host, _text: None)


def test_quickest_answer_counts() -> None:
    clock = Clock()
    uncertainty, offset = read_clock(agent_with(clock, iter([4.0, 0.5, 2.0]), 7.0), wall=clock, steady=clock)
    assert uncertainty == pytest.approx(0.25)
    assert offset == pytest.approx(7.0)


def test_clock_that_is_behind_has_a_negative_offset() -> None:
    clock = Clock()
    assert read_clock(agent_with(clock, iter([1.0] * 3), -90.0), wall=clock, steady=clock)[1] == pytest.approx(-90.0)
