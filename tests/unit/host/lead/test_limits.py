"""The timers of a job, when each is due and how often; and the texts of a host."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.limits import (
    LONGEST_TEXT,
    NEXT_TEXT,
    NOTICE,
    PING,
    TEXTS,
    TIME_LIMIT,
    Limits,
    Texts,
    Timers,
)


def timers(timeout: float = 0.0) -> Timers:
    return Timers(Limits(lease=30, timeout=timeout), 0.0)


def due(found: Timers, until: int) -> list[tuple[int, str]]:
    """Return the timers that are due in these seconds."""
    return [(second, timer) for second in range(1, until) for timer in found.due(second)]


def test_notices_come_after_two_seconds_and_every_five() -> None:
    assert [second for second, timer in due(timers(), 15) if timer == NOTICE] == [2, 7, 12]


def test_pings_come_three_times_per_lease() -> None:
    assert [second for second, timer in due(timers(), 35) if timer == PING] == [10, 20, 30]


def test_running_ranks_are_no_wait() -> None:
    found = timers()
    found.on_go(1.0)
    assert due(found, 15) == [(10, PING)]


@pytest.mark.parametrize(("timeout", "expected"), [(5.0, [(6, TIME_LIMIT)]), (0.0, [])])
def test_time_limit_counts_from_the_go_and_once(timeout: float, expected: list[tuple[int, str]]) -> None:
    found = timers(timeout)
    found.on_go(1.0)
    assert [event for event in due(found, 30) if event[1] != PING] == expected


def test_time_limit_is_over_with_the_stop() -> None:
    found = timers(5.0)
    found.on_go(1.0)
    found.on_stop(2.0)
    assert found.deadline == 4
    assert due(found, 9) == [(4, NOTICE)]


def test_nobody_waits_for_a_job_that_is_over() -> None:
    found = timers()
    found.on_end()
    assert found.deadline == 10


def test_timers_count_from_the_opening_of_channels() -> None:
    found = timers()
    found.on_opening(100.0)
    assert found.deadline == 102


def test_texts_of_a_host_pass_until_they_are_too_many() -> None:
    texts = Texts(0.0)
    passed = [texts.pass_on(str(number), 0.0) for number in range(TEXTS + 7)]
    assert passed == [*map(str, range(TEXTS)), *[None] * 7]
    assert texts.dropped == 7


def test_next_text_tells_how_many_were_left_out() -> None:
    texts = Texts(0.0)
    for _each in range(TEXTS + 7):
        texts.pass_on("x", 0.0)
    assert texts.pass_on("y", NEXT_TEXT) == "y (7 more were left out before)"
    assert texts.pass_on("z", NEXT_TEXT) is None
    assert (texts.pass_on("z", 3 * NEXT_TEXT), texts.dropped) == ("z (1 more were left out before)", 0)


def test_long_text_is_cut() -> None:
    assert Texts(0.0).pass_on("x" * (LONGEST_TEXT + 5), 0.0) == "x" * LONGEST_TEXT + "... (5 characters more)"
