# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranks of a host as processes."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.rank_group import RankGroup
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARK


class FakeRank:
    """A rank whose process id is its number and a thousand, or that cannot be started."""

    def __init__(self, rank: int, error: OSError | None = None) -> None:
        self.rank, self.pid, self.ended, self.forgotten = rank, 0, False, False
        self.error = error
        self.started_with: tuple[Any, ...] = ()

    def start(self, cwd: str, environment: dict[str, str], affinity: tuple[int, ...]) -> None:
        """Start, or fail."""
        self.started_with = (cwd, environment[MARK], affinity)
        if self.error:
            raise self.error
        self.pid = 1000 + self.rank

    def forget(self) -> None:
        """Remember it."""
        self.forgotten = True


class Guard:
    """Remembers its orders."""

    def __init__(self) -> None:
        self.orders: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *words: self.orders.append((name, *words))


class Host:
    """A group of two ranks that has begun, and the children that it has yet to hear of."""

    def __init__(self, *ranks: FakeRank) -> None:
        self.now = 100.0
        self.children: list[tuple[int, int]] = []
        self.ranks = list(ranks) or [FakeRank(0), FakeRank(1)]
        self.guard = Guard()
        self.group = RankGroup(lambda: self.now, self._wait)
        self.group.stage(self.ranks, "job.0", "/work")
        self.group.begin(self.guard)

    def _wait(self) -> tuple[int, int]:
        if not self.children:
            raise ChildProcessError
        return self.children.pop(0)


@pytest.fixture
def no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process group be empty."""

    def killpg(_group: int, _number: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "killpg", killpg)


def test_started_rank_carries_the_mark_and_is_guarded() -> None:
    host = Host()
    host.group.start(host.ranks[1], {}, (2, 3))
    assert host.ranks[1].started_with == ("/work", "job.0", (2, 3))
    assert host.guard.orders == [("add", 1001)]
    assert (set(host.group.started), host.group.groups) == ({1}, {1001})


def test_rank_that_cannot_start_counts_and_has_no_group() -> None:
    host = Host(FakeRank(0, FileNotFoundError(2, "not found", "python")))
    with pytest.raises(FileNotFoundError):
        host.group.start(host.ranks[0], {})
    assert (set(host.group.started), host.group.groups) == ({0}, set())


@pytest.mark.usefixtures("no_group")
def test_ended_children_are_ranks_or_mpiruns() -> None:
    host = Host()
    for rank in host.ranks:
        host.group.start(rank, {})
    host.children = [(1001, 7 << 8), (500, 0), (1000, 9), (600, 0)]
    others: list[tuple[int, int]] = []

    def is_other(pid: int, code: int) -> bool:
        others.append((pid, code))
        return pid == 500

    assert host.group.reap(is_other) == [(host.ranks[1], 7), (host.ranks[0], -9)]
    assert (500, 0) in others


def test_empty_group_is_forgotten_when_any_child_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last process may be a grandchild: the number is free from then on, and a stranger may get it."""
    living = {1000, 1001}

    def killpg(group: int, _number: int) -> None:
        if group not in living:
            raise ProcessLookupError

    monkeypatch.setattr(os, "killpg", killpg)
    host = Host()
    for rank in host.ranks:
        host.group.start(rank, {})
    host.children = [(1001, 0), (0, 0)]
    host.group.reap(lambda _pid, _code: False)
    assert host.group.groups == {1000, 1001}
    living.discard(1001)
    host.children = [(777, 0)]
    host.group.reap(lambda _pid, _code: False)
    assert (host.group.groups, host.guard.orders[-1]) == ({1000}, ("remove", 1001))


def test_all_have_ended_when_every_staged_rank_has() -> None:
    host = Host()
    for rank in host.ranks:
        assert not host.group.all_ended()
        host.group.start(rank, {})
        rank.ended = True
    assert host.group.all_ended()


def test_group_knows_its_ranks_and_its_time() -> None:
    host = Host()
    host.now += 2.5
    assert (host.group.seconds, host.group.guarded) == (2.5, True)
    assert (host.group.find(1), host.group.find(2)) == (host.ranks[1], None)
    host.group.start(host.ranks[0], {})
    host.group.forget()
    assert [rank.forgotten for rank in host.ranks] == [True, False]
