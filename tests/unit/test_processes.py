"""Every process of a job is found and ended."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _processes
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._processes import Ender, job_processes, parse_ps, parse_stat

TERM, KILL = signal.SIGTERM, signal.SIGKILL


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        (b"71 (python3) S 1 70 70 0 -1 4194304 99 0", ("python3", "S", 70)),
        (b"71 (a (b) c) R 1 70 70 0 -1 4194304 99 0", ("a (b) c", "R", 70)),
        (b"71 (x) Z 1) S 1 70 70 0 -1", ("x) Z 1", "S", 70)),
        (b"71 (two words) Z 1 71 70 0 -1", ("two words", "Z", 71)),
        (b"71 (\xff) S 1 70 70", ("\ufffd", "S", 70)),
        (b"71 () S 1 70 70", ("", "S", 70)),
    ],
)
def test_stat_of_a_process_with_any_name(stat: bytes, expected: tuple[str, str, int]) -> None:
    assert parse_stat(stat) == expected


PS = """\
    1     1 Ss   /sbin/launchd
  501   501 Ss   /env/bin/python3 train.py --lr 1e-3 PATH=/usr/bin MLXLAUNCH_JOB=job-1 HOME=/Users/me
  502   501 S+   /usr/bin/tail -f log
  503   503 S    (python3)
  504   504 Z    (python3)
  505   501 ZN   (tail)
  506   506 R    sleep 100 A=1 MLXLAUNCH_JOB=job-1
  507   507 R    sleep 100 MLXLAUNCH_JOB=job-10
  508   508 R    sleep 100 XMLXLAUNCH_JOB=job-1
  509   509 R    echo MLXLAUNCH_JOB=job-2
  510   510 S    \n"""


def test_ps_shows_group_members_and_those_that_left_the_group() -> None:
    assert parse_ps(PS, "job-1", {501}) == {501: "python3", 502: "tail", 506: "sleep"}


def test_ps_of_a_job_that_is_over_is_empty() -> None:
    assert parse_ps(PS, "job-3", set()) == {}
    assert parse_ps("", "job-1", {501}) == {}


def test_own_process_is_never_one_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(_processes, "_from_ps", lambda _job, _groups: {os.getpid(): "me", 71: "python3"})
    assert job_processes("job-1", {70}) == {71: "python3"}


@dataclass
class Machine:
    """Processes, and how each takes a signal."""

    living: dict[int, str]
    ignore_term: set[int] = field(default_factory=set)
    immortal: set[int] = field(default_factory=set)
    foreign: set[int] = field(default_factory=set)
    sent: list[tuple[int, int]] = field(default_factory=list)

    def processes(self, job: str, groups: set[int]) -> dict[int, str]:
        assert (job, groups) == ("job-1", {70})
        return dict(self.living)

    def kill(self, pid: int, number: int) -> None:
        self.sent.append((pid, number))
        if pid in self.foreign:
            raise PermissionError
        if pid not in self.living:
            raise ProcessLookupError
        if pid not in self.immortal and not (number == TERM and pid in self.ignore_term):
            del self.living[pid]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine({71: "python3", 72: "tail"})
    monkeypatch.setattr(_processes, "job_processes", made.processes)
    monkeypatch.setattr(os, "kill", made.kill)
    return made


def end(ender: Ender, now: float = 0.0) -> float:
    """Look whenever the ender wants to; return the time at which it is done."""
    for _look in range(2000):
        if ender.look(now):
            return now
        assert ender.next_look > now
        now = ender.next_look
    raise AssertionError("it looks for ever")


def test_processes_that_honour_term_are_gone_at_once(machine: Machine) -> None:
    ender = Ender("job-1", {70}, 10, 0.0)
    assert end(ender) < 0.1
    assert sorted(machine.sent) == [(71, TERM), (72, TERM)]
    assert (ender.left, ender.seen) == ({}, {71: "python3", 72: "tail"})


def test_process_that_ignores_term_is_killed_when_the_grace_is_over(machine: Machine) -> None:
    machine.ignore_term = {72}
    assert 10 <= end(Ender("job-1", {70}, 10, 0.0)) < 10.2
    assert sorted(machine.sent[:2]) == [(71, TERM), (72, TERM)]
    assert machine.sent[2:] == [(72, KILL)]


def test_no_grace_kills_at_once(machine: Machine) -> None:
    end(Ender("job-1", {70}, 0, 0.0))
    assert sorted(machine.sent) == [(71, KILL), (72, KILL)]


def test_hurry_ends_the_grace(machine: Machine) -> None:
    machine.ignore_term = {71, 72}
    ender = Ender("job-1", {70}, 10, 0.0)
    assert not ender.look(0.0)
    ender.hurry(1.0)
    assert ender.next_look == 1.0
    assert end(ender, 1.0) < 1.2
    assert sorted(machine.sent[2:]) == [(71, KILL), (72, KILL)]


def test_child_that_appears_later_gets_its_term_too(machine: Machine) -> None:
    machine.ignore_term = {71, 72}
    ender = Ender("job-1", {70}, 10, 0.0)
    ender.look(0.0)
    machine.living[73] = "sh"
    ender.look(ender.next_look)
    ender.look(ender.next_look)
    assert sorted(machine.sent[:2]) == [(71, TERM), (72, TERM)]
    assert machine.sent[2:] == [(73, TERM)]


def test_process_that_cannot_be_killed_is_given_up_and_named(machine: Machine) -> None:
    machine.immortal = {72}
    ender = Ender("job-1", {70}, 1, 0.0)
    assert 11 < end(ender) < 11.5
    assert ender.left == {72: "tail"}


def test_process_of_another_user_does_not_stop_the_rest(machine: Machine) -> None:
    machine.foreign = {71}
    ender = Ender("job-1", {70}, 0, 0.0)
    end(ender)
    assert (ender.left, sorted(machine.sent[:2])) == ({71: "python3"}, [(71, KILL), (72, KILL)])


def test_nothing_to_end_is_over_at_the_first_look(machine: Machine) -> None:
    machine.living.clear()
    assert Ender("job-1", {70}, 10, 0.0).look(0.0)
    assert machine.sent == []


def test_looks_come_quickly_first_and_never_more_than_a_tenth_of_a_second_apart(machine: Machine) -> None:
    machine.ignore_term = {71, 72}
    ender = Ender("job-1", {70}, 100, 0.0)
    now, pauses = 0.0, []
    for _look in range(20):
        ender.look(now)
        pauses.append(ender.next_look - now)
        now = ender.next_look
    assert pauses[0] < 0.01
    assert max(pauses) <= 0.1 + 1e-9
