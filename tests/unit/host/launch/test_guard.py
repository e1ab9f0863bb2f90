# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes around a supervisor: what each does at the end of another."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.guard import Guard, Orders
from tests.support.processes import is_gone, parent_of
from tests.support.waiting import PATIENCE, wait_until

_ROOT = Path(__file__).parents[4] / ".ansible"
_PROGRAM = """
import fcntl, json, os, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.guard import Guard

def end(mark, groups, grace, root, known):
    with open("said.new", "w") as out:
        json.dump([mark, sorted(groups), grace, root == os.getpid(), known, len(os.listdir("/proc/self/fd"))], out)
    os.rename("said.new", "said")

guard = Guard(end)
goodbye = guard.stand_above()
lock = os.open("lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
other = os.open("other", os.O_RDWR | os.O_CREAT)
print(os.getpid(), flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Family:
    """Front, guard and supervisor; the last obeys lines of Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-c", _PROGRAM, str(_ROOT)]
        self.front = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.supervisor = int(self._line())
        self.guard = parent_of(self.supervisor)

    def _line(self) -> str:
        assert self.front.stdout
        return self.front.stdout.readline()

    def do(self, expression: str) -> str:
        """Let the supervisor evaluate an expression; return its value as text."""
        assert self.front.stdin
        self.front.stdin.write(expression + "\n")
        self.front.stdin.flush()
        return self._line().strip()

    def said(self) -> list[Any]:
        """Return the call by which the guard ended the job."""
        wait_until((self.folder / "said").exists, "the guard has ended the job")
        return json.loads((self.folder / "said").read_text())  # type: ignore[no-any-return]

    def is_locked(self) -> bool:
        """Return whether somebody holds the job's lock."""
        with (self.folder / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def files_of_guard(self) -> set[Path]:
        """Return the files that the guard has open."""
        return {path.readlink() for path in Path(f"/proc/{self.guard}/fd").iterdir()}

    def close(self) -> None:
        """End all of them."""
        for pid in (self.supervisor, self.guard):
            if not is_gone(pid):
                os.kill(pid, signal.SIGKILL)
        for stream in (self.front.stdin, self.front.stdout):
            assert stream
            stream.close()
        self.front.wait(PATIENCE)


@pytest.fixture
def family(tmp_path: Path) -> Any:
    """Give three processes that have started; they are ended afterwards."""
    made = Family(tmp_path)
    yield made
    made.close()


def test_killed_supervisor_is_followed_by_the_end_of_its_job(family: Family) -> None:
    family.do("guard.protect('job.0', 5.0, [lock])")
    for order in ("guard.add(11)", "guard.add(12)", "guard.remove(11)", "guard.know({7: 'then'})"):
        family.do(order)
    assert family.front.poll() is None
    os.kill(family.supervisor, signal.SIGKILL)
    assert family.front.wait(PATIENCE) == 1  # at once: whoever waits for it hears of the end
    assert family.said()[:5] == ["job.0", [12], 5.0, True, {"7": "then"}]
    wait_until(lambda: is_gone(family.guard), "the guard has ended")
    assert not family.is_locked()


def test_guard_holds_the_locks_and_nothing_else(family: Family) -> None:
    family.do("guard.protect('job.0', 5.0, [lock])")
    wait_until(lambda: family.folder / "lock" in family.files_of_guard(), "it came")
    assert family.folder / "other" not in family.files_of_guard()
    family.do("os.close(lock)")
    assert family.is_locked()


def test_dismissed_guard_ends_nothing(family: Family) -> None:
    family.do("guard.protect('job.0', 5.0, [])")
    family.do("guard.add(11)")
    family.do("guard.dismiss()")
    family.do("guard.remove(11)")  # of a rank whose end became known too late
    wait_until(lambda: is_gone(family.guard), "the guard has ended")
    family.do("os.write(goodbye, b'.')")
    family.close()
    assert family.front.returncode == 0
    assert not (family.folder / "said").exists()


def test_guard_without_a_job_ends_nothing(family: Family) -> None:
    os.kill(family.supervisor, signal.SIGKILL)
    wait_until(lambda: is_gone(family.guard), "the guard has ended")
    assert not (family.folder / "said").exists()


@pytest.mark.parametrize("early", [True, False])
def test_guard_that_was_killed_is_replaced(family: Family, early: bool) -> None:
    if not early:
        family.do("guard.protect('job.0', 5.0, [lock])")
        family.do("guard.add(11)")
    os.kill(family.guard, signal.SIGKILL)
    wait_until(lambda: is_gone(family.guard), "it is gone")
    if early:
        family.do("guard.protect('job.0', 5.0, [lock])")
        family.do("guard.add(11)")
    family.do("guard.add(12)")
    family.do("os.close(lock)")
    assert family.is_locked()
    os.kill(family.supervisor, signal.SIGKILL)
    assert family.said()[:3] == ["job.0", [11, 12], 5.0]
    wait_until(lambda: not family.is_locked(), "the guard has ended")


def test_guard_that_cannot_be_replaced_now_is_replaced_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing tells of its end a second time, and the supervisor does not turn in circles meanwhile."""
    now, made = [100.0], []

    def fork() -> int:
        made.append(now[0])
        raise BlockingIOError(errno.EAGAIN, "no process")

    monkeypatch.setattr(os, "fork", fork)
    guard = Guard(clock=lambda: now[0])
    with selectors.DefaultSelector() as selector:
        guard.protect("job.0", 5.0, [])
        guard.watch(selector)
        assert (made, guard.deadline(), dict(selector.get_map())) == ([100.0], 101.0, {})
        for now[0] in (100.5, 101.0, 101.5, 102.0):
            guard.on_time(now[0])
        assert (made, guard.deadline()) == ([100.0, 101.0, 102.0], 103.0)
        guard.dismiss()
    assert guard.deadline() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_front_hands_signals_on(family: Family, number: signal.Signals) -> None:
    family.do(f"__import__('signal').signal({int(number)}, lambda *_: open('signalled', 'w').close()) and None")
    wait_until(lambda: caught(family.front.pid, signal.SIGHUP), "the front takes signals")  # the last of them; Python itself takes INT
    os.kill(family.front.pid, number)
    wait_until((family.folder / "signalled").exists, "it was handed on")
    assert family.front.poll() is None


def caught(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:")]
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_orders_may_come_in_pieces() -> None:
    orders = Orders()
    for piece in (b'{"mark": "job.0", "gra', b'ce": 5.0}\n{"add": 11}\n{"add": 12}\n{"remove"', b': 11}\n{"known": {"7": "then"}}\n'):
        orders.feed(piece)
    assert (orders.mark, orders.grace, orders.groups, orders.known, orders.dismissed) == ("job.0", 5.0, {12}, {7: "then"}, False)
    orders.feed(b'{"bye": true}\n')
    assert orders.dismissed
