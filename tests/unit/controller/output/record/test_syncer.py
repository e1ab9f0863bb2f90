"""Logs are brought to the disk while others are written; an offset is told when it is there, and not before."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record import syncer as syncer_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record.syncer import Stream, Syncer
from tests.support.waiting import PATIENCE, wait_until

ONE, TWO = (0, "stdout"), (1, "stdout")


class Disk:
    """A disk that takes its time: as long as `go` is not set. It refuses the files named so."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.at_work = threading.Event()
        self.refused: set[int] = set()
        self.done: list[tuple[Stream, int, int | None]] = []

    def sync(self, fd: int) -> None:
        """Take the place of fdatasync(2)."""
        self.at_work.set()
        assert self.go.wait(PATIENCE)
        if os.fstat(fd).st_ino in self.refused:
            raise OSError(122, "Disk quota exceeded")

    def report(self, stream: Stream, offset: int, error: OSError | None) -> None:
        """Take what is done."""
        self.done.append((stream, offset, error and error.errno))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    monkeypatch.setattr(syncer_module, "_SYNC", made.sync)
    yield made
    made.go.set()


def opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT)


def closed(fd: int) -> bool:
    """Return whether a descriptor is closed."""
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False


def test_requests_that_come_meanwhile_are_done_together(disk: Disk, tmp_path: Path) -> None:
    syncer = Syncer(disk.report)
    fds = [opened(tmp_path / "log") for _each in range(4)]
    syncer.sync(ONE, fds[0], 1)
    assert disk.at_work.wait(PATIENCE)
    for stream, fd, offset in ((ONE, fds[1], 2), (TWO, fds[2], 7), (ONE, fds[3], 3)):
        syncer.sync(stream, fd, offset)
    assert disk.done == []
    assert not syncer.wait(0.01)
    disk.go.set()
    assert syncer.wait(PATIENCE)
    assert disk.done == [(ONE, 1, None), (TWO, 7, None), (ONE, 3, None)]
    assert all(map(closed, fds))
    syncer.close(PATIENCE)


def test_disk_that_refuses_is_reported_and_others_go_on(disk: Disk, tmp_path: Path) -> None:
    syncer = Syncer(disk.report)
    (tmp_path / "full").touch()
    disk.refused.add((tmp_path / "full").stat().st_ino)
    disk.go.set()
    syncer.sync(ONE, opened(tmp_path / "full"), 5)
    syncer.sync(TWO, opened(tmp_path / "log"), 5)
    assert syncer.wait(PATIENCE)
    assert disk.done == [(ONE, 5, 122), (TWO, 5, None)]
    syncer.close(PATIENCE)


def test_close_leaves_out_what_is_not_begun_and_does_not_wait_for_ever(disk: Disk, tmp_path: Path) -> None:
    syncer = Syncer(disk.report)
    fds = [opened(tmp_path / "log") for _each in range(2)]
    syncer.sync(ONE, fds[0], 1)
    assert disk.at_work.wait(PATIENCE)
    syncer.sync(TWO, fds[1], 1)
    syncer.close(0.01)
    assert closed(fds[1])
    disk.go.set()
    wait_until(lambda: disk.done == [(ONE, 1, None)], "what was begun is done")


def test_syncer_without_work_has_no_thread(disk: Disk) -> None:
    before = threading.active_count()
    syncer = Syncer(disk.report)
    assert syncer.wait(0.0)
    syncer.close(PATIENCE)
    assert threading.active_count() == before
