"""The outcome of a job: which failure is to blame, and the exit status."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause, JobOutcome, cause_of, first_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_end import RankEnd

INTERRUPTED = Cause("interrupted", 130, "interrupted by SIGINT")
MPIRUN = Cause("mpirun_failed", 3, "mpirun ended")


def end(rank: int, code: int = 0, *, at: float = 1.0, stopped: bool = False) -> RankEnd:
    return RankEnd(rank, "a", code, 0, at, stopped)


def outcome(*ends: RankEnd, cause: Cause | None = None) -> JobOutcome:
    """Return the outcome of a job of two ranks."""
    made = JobOutcome(2)
    for each in ends:
        made.add(each)
    made.cause = cause
    return made


@pytest.mark.parametrize(
    ("made", "returncode"),
    [
        (outcome(), 1),
        (outcome(end(0)), 1),
        (outcome(end(0), end(1)), 0),
        (outcome(end(0), end(1, 7)), 7),
        (outcome(end(0, 7), cause=INTERRUPTED), 130),
        (outcome(end(0, 7), cause=MPIRUN), 7),
        (outcome(end(0, 7, stopped=True), cause=MPIRUN), 3),
    ],
    ids=["nothing known", "one unknown", "all 0", "failure", "interrupted", "failure after mpirun's", "only mpirun's"],
)
def test_returncode(made: JobOutcome, returncode: int) -> None:
    assert made.returncode == returncode


def test_rank_ends_once() -> None:
    made = outcome(end(0))
    assert not made.add(end(0, 7))
    assert made.ends == {0: end(0)}
    assert made.add(end(1))
    assert made.complete


@pytest.mark.parametrize(
    ("ends", "first"),
    [([], None), ([(0, 2.0), (1, 1.0)], 1), ([(0, 1.0), (1, 0.95)], 0), ([(0, 3.0), (1, 2.0), (2, 1.0)], 2)],
    ids=["none", "by its own clock", "within the skew by arrival", "of three"],
)
def test_first_of(ends: list[tuple[int, float]], first: int | None) -> None:
    found = first_of(end(rank, 1, at=at) for rank, at in ends)
    assert (found.rank if found else None) == first


def test_strategy_chooses_the_failure_to_blame() -> None:
    made = JobOutcome(2, blame=lambda ends: list(ends)[-1])
    made.add(end(0, 7))
    made.add(end(1, 9, at=5.0))
    assert made.first_failure == end(1, 9, at=5.0)


@pytest.mark.parametrize(
    ("cause", "after"),
    [(None, None), (INTERRUPTED, INTERRUPTED), (MPIRUN, cause_of(end(0, 7))), (cause_of(end(1, 9)), cause_of(end(0, 7)))],
    ids=["not ended", "interrupted", "mpirun failed", "another rank"],
)
def test_failure_replaces_only_a_cause_that_lies_in_ranks(cause: Cause | None, after: Cause | None) -> None:
    made = outcome(cause=cause)
    made.blame(end(0, 7))
    assert made.cause == after
