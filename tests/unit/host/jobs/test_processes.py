"""Every process of a job is found and ended."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import processes as processes_module
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process import Process
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.processes import Ender, descendants, job_processes

TERM, KILL, CONT = signal.SIGTERM, signal.SIGKILL, signal.SIGCONT


def table_of(*rows: tuple[int, int, int, int]) -> dict[int, Process]:
    """Return a table of processes given as (pid, parent, group, session), each started at its number."""
    return {pid: Process(f"p{pid}", parent, group, session, str(pid)) for pid, parent, group, session in rows}


def on_a_machine_with(monkeypatch: pytest.MonkeyPatch, table: dict[int, Process], **marks: str) -> None:
    """Let these be all processes, with marks of some: p71="job-1"."""
    found = {int(name[1:]): mark for name, mark in marks.items()}
    monkeypatch.setattr(processes_module, "take_table", lambda: (table, lambda pid: found.get(pid, "")))


def test_members_of_sessions_and_carriers_of_the_mark_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of((1, 0, 1, 1), (71, 5, 71, 71), (72, 71, 72, 71), (73, 1, 73, 73), (74, 1, 74, 74), (75, 1, 75, 75))
    on_a_machine_with(monkeypatch, table, p73="job-1", p74="job-10", p75="job-1.mpi")
    assert sorted(job_processes("job-1", {71})) == [71, 72, 73]
    assert job_processes("job-3", set()) == {}


@pytest.mark.parametrize(("gone_after", "seen"), [(0.2, {}), (1.0, {72: "p72"})])
def test_process_that_soon_ends_by_itself_is_not_seen(monkeypatch: pytest.MonkeyPatch, gone_after: float, seen: dict[int, str]) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    on_a_machine_with(monkeypatch, table_of((1, 0, 1, 1), (72, 1, 70, 70)))
    ender, now = Ender("job-1", {70}, 10, 0.0, patience=0.3), 0.0
    while now < gone_after and not ender.look(now):
        now = ender.next_look
    on_a_machine_with(monkeypatch, {})
    assert ender.look(now)
    assert set(ender.seen) == set(seen)
    assert sent == [(pid, number) for number in (TERM, CONT) for pid in seen]


def test_patience_does_not_pass_while_nothing_gets_to_run(machine: Machine) -> None:
    """On a busy machine a look may come seconds late, and then the others have not been at work either."""
    ender = Ender("job-1", {70}, 1, 0.0, patience=0.3)
    for at in range(Ender.LOOKS):
        assert not ender.look(20.0 * at)
    assert machine.sent == []
    assert not ender.look(200.0)
    assert [number for _pid, number in machine.sent] == [TERM, TERM]


def test_stranger_whose_group_has_a_ranks_old_number_is_none_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process id of a rank that is over may be given again, to a job of an interactive shell for example."""
    on_a_machine_with(monkeypatch, table_of((1, 0, 1, 1), (60, 1, 60, 60), (71, 60, 71, 60), (72, 71, 71, 60)))
    assert job_processes("job-1", {71}) == {}


def test_group_in_the_session_of_the_supervisor_is_mpiruns(monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getpid()
    on_a_machine_with(monkeypatch, table_of((own, 1, own, 5), (71, own, 71, 5), (72, 71, 71, 5)))
    assert sorted(job_processes("job-1", {71})) == [71, 72]


def test_descendants_of_the_supervisor_are_found_but_for_mpiruns(monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getpid()
    table = table_of((own, 1, own, own), (71, own, 71, 71), (72, own, 72, 72), (73, 72, 73, 73), (80, own, 80, own), (81, 80, 80, own))
    on_a_machine_with(monkeypatch, table, p71="job-1", p80="job-1.mpi", p81="job-1.mpi")
    assert sorted(job_processes("job-1", {71}, own)) == [71, 72, 73]
    assert sorted(job_processes("job-1", {71}, own, spared={73})) == [71, 72]
    assert sorted(job_processes("job-1.mpi", {80}, own)) == [71, 72, 73, 80, 81]


def test_known_process_is_found_unless_its_number_was_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_machine_with(monkeypatch, table_of((71, 1, 71, 71), (72, 1, 72, 72), (73, 71, 73, 73)))
    assert sorted(job_processes("job-1", set(), known={71: "71", 72: "earlier", 99: "99"})) == [71, 73]


def test_parents_come_before_their_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are sent signals in this order: a shell whose child is gone first would end before its trap is run."""
    rows = [(pid, parent, 70, 70) for pid, parent in ((70, 1), (64, 70), (72, 64), (65, 72), (71, 65), (128, 71))]
    on_a_machine_with(monkeypatch, table_of(*rows))
    assert list(job_processes("job-1", {70})) == [70, 64, 72, 65, 71, 128]


def test_own_process_is_never_one_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_machine_with(monkeypatch, table_of((os.getpid(), 1, 70, 70), (71, 1, 70, 70)))
    assert job_processes("job-1", {70}) == {71: "p71"}


def test_loop_of_parents_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is not of one moment: process ids may have been given again meanwhile."""
    assert descendants(table_of((71, 72, 1, 1), (72, 71, 1, 1)), {71, 99}) == {71, 72}
    on_a_machine_with(monkeypatch, table_of((71, 72, 70, 70), (72, 71, 70, 70)))
    assert sorted(job_processes("job-1", {70})) == [71, 72]


@dataclass
class Machine:
    """Processes, and how each takes a signal."""

    living: dict[int, str]
    ignore_term: set[int] = field(default_factory=set)
    immortal: set[int] = field(default_factory=set)
    foreign: set[int] = field(default_factory=set)
    sent: list[tuple[int, int]] = field(default_factory=list)

    def processes(self, job: str, groups: set[int], _root: int, _known: object, _spared: object) -> dict[int, str]:
        assert (job, groups) == ("job-1", {70})
        return dict(self.living)

    def kill(self, pid: int, number: int) -> None:
        if number == CONT:  # for those that are stopped, and none is
            return
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
    monkeypatch.setattr(processes_module, "job_processes", made.processes)
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
    assert (ender.remaining, ender.seen) == ({}, {71: "python3", 72: "tail"})


def test_processes_get_term_in_the_order_in_which_they_are_found(machine: Machine) -> None:
    machine.living = dict.fromkeys((72, 64, 71, 128, 65), "x")
    end(Ender("job-1", {70}, 10, 0.0))
    assert machine.sent == [(pid, TERM) for pid in (72, 64, 71, 128, 65)]


def test_process_that_ignores_term_is_killed_after_the_grace(machine: Machine) -> None:
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
    assert ender.remaining == {72: "tail"}


def test_process_of_another_user_does_not_stop_the_rest(machine: Machine) -> None:
    machine.foreign = {71}
    ender = Ender("job-1", {70}, 0, 0.0)
    end(ender)
    assert (ender.remaining, sorted(machine.sent[:2])) == ({71: "python3"}, [(71, KILL), (72, KILL)])


def test_nothing_to_end_is_over_at_the_first_look(machine: Machine) -> None:
    machine.living.clear()
    assert Ender("job-1", {70}, 10, 0.0).look(0.0)
    assert machine.sent == []


def test_polls_slow_down_to_a_tenth_of_a_second(machine: Machine) -> None:
    machine.ignore_term = {71, 72}
    ender = Ender("job-1", {70}, 100, 0.0)
    now, pauses = 0.0, []
    for _look in range(20):
        ender.look(now)
        pauses.append(ender.next_look - now)
        now = ender.next_look
    assert pauses[0] < 0.01
    assert max(pauses) <= 0.1 + 1e-9
