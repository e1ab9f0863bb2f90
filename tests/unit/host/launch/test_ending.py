# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases of a job on a host: from the wait for its go to the last byte sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.ending import (
    CLOSING,
    DONE,
    DRAINING,
    ENDING,
    RUNNING,
    WAITING,
    Ending,
    Misfit,
)


class FakeEnder:
    """Has one look at processes per second, and is done when `remaining` is empty."""

    def __init__(self, grace: float, now: float) -> None:
        self.grace = grace
        self.next_look = now
        self.remaining = {7: "python"}
        self.seen = {7: "python"}
        self.hurried = False

    def look(self, now: float) -> bool:
        """Look, and come again in a second."""
        self.next_look = now + 1.0
        return not self.remaining

    def postpone(self, now: float) -> bool:
        """Come again in a second, for twenty seconds."""
        self.next_look = now + 1.0
        return now < 20.0

    def hurry(self, now: float) -> None:
        """Remember that the grace is over."""
        self.next_look, self.hurried = now, True


class Job:
    """A job with a clock, and the ender that it has started."""

    def __init__(self) -> None:
        self.now = 0.0
        self.enders: list[FakeEnder] = []
        self.ending = Ending(self._start, lambda: self.now)

    def _start(self, grace: float, now: float) -> FakeEnder:
        self.enders.append(FakeEnder(grace, now))
        return self.enders[-1]

    def pass_time(self) -> bool:
        """Let a second pass; return whether the ranks are gone now."""
        self.now += 1.0
        gone: bool = self.ending.ranks_gone()
        return gone


@pytest.fixture
def job() -> Job:
    return Job()


def test_job_that_ends_by_itself_goes_through_all_phases(job: Job) -> None:
    phases = [job.ending.phase]
    assert job.ending.go()
    phases.append(job.ending.phase)
    job.ending.all_exited(5)
    phases.append(job.ending.phase)
    job.enders[0].remaining = {}
    assert job.pass_time()
    phases.append(job.ending.phase)
    job.ending.nothing_runs()
    phases.append(job.ending.phase)
    job.ending.all_sent()
    assert [*phases, job.ending.phase] == [WAITING, RUNNING, ENDING, CLOSING, DRAINING, DONE]
    assert (job.ending.stopped, job.ending.left_behind, job.ending.remaining) == (False, {7: "python"}, {})


def test_processes_of_a_stopped_job_were_not_left_behind(job: Job) -> None:
    job.ending.go()
    job.ending.stop(5)
    job.enders[0].remaining = {}
    assert job.pass_time()
    assert (job.ending.stopped, job.ending.left_behind) == (True, {})


def test_ranks_are_gone_only_once_and_not_before_their_time(job: Job) -> None:
    job.ending.go()
    job.ending.stop(5)
    assert not job.ending.ranks_gone()
    job.enders[0].remaining = {}
    assert not job.ending.ranks_gone(), "the next look is in a second"
    assert job.pass_time()
    assert not job.pass_time()


def test_process_that_cannot_be_ended_remains(job: Job) -> None:
    job.ending.go()
    job.ending.stop(5)
    job.enders[0].look = lambda _now: True  # type: ignore[method-assign]
    assert job.pass_time()
    assert job.ending.remaining == {7: "python"}


def test_stop_without_grace_hurries_an_end_that_has_begun(job: Job) -> None:
    job.ending.go()
    job.ending.stop(5)
    job.ending.stop(5)
    assert not job.enders[0].hurried
    job.ending.stop(0)
    assert job.enders[0].hurried
    assert len(job.enders) == 1


def test_go_after_a_stop_starts_nothing(job: Job) -> None:
    job.ending.stop(5)
    assert not job.ending.go()
    assert job.ending.phase == ENDING


def test_stop_that_comes_too_late_changes_nothing(job: Job) -> None:
    job.ending.go()
    job.ending.all_exited(5)
    job.enders[0].remaining = {}
    job.pass_time()
    job.ending.nothing_runs()
    for over in (job.ending.all_sent, lambda: None):
        job.ending.stop(0)
        over()
    assert (job.ending.phase, job.ending.stopped, job.ending.next_look()) == (DONE, False, None)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (lambda ending: ending.all_exited(5), "all exited does not fit WAITING"),
        (lambda ending: ending.nothing_runs(), "nothing runs does not fit WAITING"),
        (lambda ending: (ending.go(), ending.go()), "go does not fit RUNNING"),
        (lambda ending: (ending.go(), ending.all_sent()), "all sent does not fit RUNNING"),
    ],
)
def test_event_that_cannot_happen_names_itself_and_the_phase(job: Job, event: Callable[[Ending], object], text: str) -> None:
    with pytest.raises(Misfit, match=text):
        event(job.ending)


def test_ranks_are_gone_only_when_their_exits_are_known() -> None:
    """A process with threads leaves the lists of processes some time before its exit can be taken."""
    job = Job()
    job.ending.go()
    job.ending.stop(5.0)
    job.enders[0].remaining = {}
    for job.now in (1.0, 2.0, 3.0):
        assert not job.ending.ranks_gone(dying=True)
    assert job.ending.phase == ENDING
    job.now = 4.0
    assert job.ending.ranks_gone(dying=False)


def test_exit_that_never_becomes_known_holds_up_nobody_for_ever() -> None:
    job = Job()
    job.ending.go()
    job.ending.stop(5.0)
    job.enders[0].remaining = {}
    job.now = 30.0
    assert job.ending.ranks_gone(dying=True)
