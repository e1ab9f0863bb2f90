# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that leaves everything is known once it was seen below a rank."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import ps
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process import Process
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.snapshots import INTERVAL, Snapshots

PATIENCE = 60.0


def turn(selector: selectors.BaseSelector, until: Callable[[], object]) -> None:
    """Do as the supervisor's loop does until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline
        for key, _mask in selector.select(0.01):
            key.data()


def test_orphan_is_remembered_by_its_start() -> None:
    taken: list[dict[int, str]] = []
    with selectors.DefaultSelector() as selector:
        shots = Snapshots(selector, {71}, lambda known: taken.append(dict(known)))
        shots._take({71: Process("rank", 5, 71, 71, "a"), 72: Process("daemon", 71, 72, 72, "b"), 80: Process("other", 5, 80, 80, "c")})
        shots._take({71: Process("rank", 5, 71, 71, "a"), 72: Process("daemon", 1, 72, 72, "b"), 73: Process("late", 72, 73, 73, "d")})
        shots._take({72: Process("stranger", 1, 72, 72, "later"), 73: Process("late", 1, 73, 73, "d")})
    assert taken == [{71: "a", 72: "b"}, {71: "a", 72: "b", 73: "d"}, {73: "d"}]


def test_snapshot_is_taken_by_ps_and_the_next_one_is_due_later() -> None:
    now = [100.0]
    taken: list[dict[int, str]] = []
    with selectors.DefaultSelector() as selector, subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.stdin
        shots = Snapshots(selector, {child.pid}, taken.append, lambda: now[0])
        assert shots.deadline() == 100.0
        shots.on_time(99.0)
        assert not selector.get_map()
        shots.on_time(100.0)
        assert shots.deadline() is None
        shots.on_time(500.0)  # one at a time
        assert len(selector.get_map()) == 1
        turn(selector, lambda: taken)
        assert set(taken[0]) == {child.pid}
        assert shots.deadline() == 100.0 + INTERVAL
        child.stdin.close()
    reap()


def test_ps_that_cannot_be_run_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ps, "BRIEF", ("/proc/nowhere/ps",))
    taken: list[dict[int, str]] = []
    with selectors.DefaultSelector() as selector:
        shots = Snapshots(selector, set(), taken.append)
        shots.on_time(time.monotonic())
        turn(selector, lambda: taken)
    assert taken == [{}]
    assert shots.deadline() is not None
    reap()


def reap() -> None:
    """Take notice of the ps that have ended."""
    while True:
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
