"""Processes that the launching program has started for a worker, with programs of this machine in place of ssh."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early import handed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early.handed import (
    HandedProcess,
    all_taken,
    on_failure,
    receive,
    rest_for,
    take,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early.kept import AGENT, SUPERVISOR, Place, kept_commands
from tests.unit.controller.hosts.early.parents import Parent
from tests.unit.controller.hosts.early.test_kept import ARGV

PATIENCE = 60.0
CAT = ("cat",)


@pytest.fixture
def parent() -> Iterator[Parent]:
    parent = Parent()
    yield parent
    handed.drop()
    parent.close()


def test_process_is_talked_to_over_its_pipes(parent: Parent) -> None:
    cat = parent.process("cat")
    assert cat.stdin
    assert cat.stdout
    assert cat.poll() is None
    cat.stdin.write(b"word")
    assert cat.stdout.read(4) == b"word"
    cat.stdin.close()
    assert (cat.wait(PATIENCE), cat.poll()) == (0, 0)
    cat.discard()


@pytest.mark.parametrize(("code", "status"), [("exit 3", 3), ("kill -9 $$", -9), ("exit 0", 0)])
def test_exit_status_is_that_which_its_parent_tells(parent: Parent, code: str, status: int) -> None:
    ended = parent.process("/bin/sh", "-c", code)
    assert ended.wait(PATIENCE) == status
    ended.discard()


def test_process_whose_parent_is_gone_counts_as_failed(parent: Parent) -> None:
    ended = parent.process("true", lives=False)
    assert ended.wait(PATIENCE) == 255
    ended.discard()


def test_wait_is_bounded(parent: Parent) -> None:
    cat = parent.process("cat")
    with pytest.raises(subprocess.TimeoutExpired):
        cat.wait(0.01)
    cat.discard()


def test_kill_does_not_wait_for_a_parent_that_is_stopped(parent: Parent) -> None:
    reads = parent.process(sys.executable, "-c", "import signal, sys; print(flush=True); signal.pause()")
    assert reads.stdout
    reads.stdout.read(1)
    reads.kill()
    assert (reads.wait(), reads.poll()) == (-signal.SIGKILL, -signal.SIGKILL)
    assert parent.processes[0].wait(PATIENCE) == -signal.SIGKILL
    reads.discard()


def test_descriptors_are_not_for_children_and_are_given_back(parent: Parent) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    told, fds = parent.start("cat")
    cat = HandedProcess(CAT, told["pid"], 0, fds)
    assert not any(os.get_inheritable(fd) for fd in fds)
    cat.discard()
    parent.close()
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_process_is_taken_once_by_its_very_command_line(parent: Parent) -> None:
    receive(None, [parent.start("cat"), parent.start("cat", "-")])
    assert take(["cat", "/other"]) is None
    taken = take(["cat", "-"])
    assert taken
    assert taken.pid == parent.processes[1].pid
    assert take(["cat", "-"]) is None
    taken.discard()


def test_process_that_has_ended_is_not_taken(parent: Parent) -> None:
    receive(None, [parent.start("true")])
    parent.processes[0].wait(PATIENCE)
    handed._worker.processes[("true",)].wait(PATIENCE)
    assert take(["true"]) is None


def test_what_nobody_takes_ends(parent: Parent) -> None:
    receive(None, [parent.start("cat"), parent.start("cat", "-")])
    taken = take(["cat"])
    assert taken
    all_taken(SUPERVISOR, [CAT])
    assert parent.processes[1].wait(PATIENCE) == -signal.SIGKILL
    assert taken.poll() is None
    taken.discard()


def test_only_what_a_task_begins_with_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = Place("hosts", "digest")
    receive(place, [])
    all_taken(AGENT, [ARGV])
    all_taken(SUPERVISOR, [ARGV, ARGV])
    assert (kept_commands(place).program, len(kept_commands(place).argvs)) == (AGENT, 1)


def test_after_a_failure_the_next_run_begins_nothing_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = Place("hosts", "digest")
    receive(place, [])
    all_taken(AGENT, [ARGV])
    on_failure()
    all_taken(SUPERVISOR, [ARGV])
    assert kept_commands(place).argvs == ()


def test_end_that_comes_late_is_one_of_a_process_that_was_well(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    cat = parent.process("cat")
    assert cat.is_fresh
    monkeypatch.setattr(handed, "_MOMENT", 0.0)
    assert not cat.is_fresh
    cat.discard()


def test_nothing_is_kept_for_a_play_that_no_program_has_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    receive(None, [])
    all_taken(AGENT, [ARGV])
    assert list(tmp_path.iterdir()) == []


def test_process_gets_the_rest_of_its_program(parent: Parent) -> None:
    cat = parent.process("cat")
    cat.sent = 3
    assert (rest_for(cat, b"program"), rest_for(object(), b"program")) == (b"gram", b"program")
    cat.discard()
