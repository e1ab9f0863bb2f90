"""A rank's stream on disk: what was appended can be read until it is released, also when the disk was full in between."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _spool
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._spool import Spool

SEGMENT = 16


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_spool, "SEGMENT", SEGMENT)


@contextmanager
def disk_with_room(room: int) -> Iterator[None]:
    """Let writes fail with ENOSPC once `room` bytes are written; a write that fits in part is cut short, as write(2) does."""
    real = os.write
    left = room

    def write(fd: int, data: memoryview) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = real(fd, data[:left])
        left -= count
        return count

    with mock.patch.object(os, "write", write):
        yield


def files(folder: Path) -> list[str]:
    return sorted((path.name for path in folder.iterdir()), key=lambda name: int(name.rpartition(".")[2]))


def read_all(spool: Spool, offset: int = 0) -> bytes:
    """Read as the supervisor does: until there is nothing more."""
    found = b""
    while data := spool.read(offset + len(found), 1000):
        found += data
    return found


def test_bytes_are_kept_in_files_named_by_their_offset(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "rank0.stdout"))
    assert spool.append(bytes(range(40))) == 40
    assert files(tmp_path) == ["rank0.stdout.0", "rank0.stdout.16", "rank0.stdout.32"]
    assert read_all(spool) == bytes(range(40))
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600] * 3


def test_read_stops_at_the_end_of_a_file_and_at_the_size_asked_for(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"))
    spool.append(bytes(range(40)))
    assert spool.read(10, 100) == bytes(range(10, 16))
    assert spool.read(16, 3) == bytes(range(16, 19))
    assert spool.read(40, 10) == b""


def test_what_is_released_is_deleted_by_whole_files(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"))
    spool.append(bytes(40))
    for offset, expected in [(15, ["s.0", "s.16", "s.32"]), (16, ["s.16", "s.32"]), (40, ["s.32"]), (0, ["s.32"])]:
        spool.release(offset)
        assert files(tmp_path) == expected
    assert (spool.start, spool.end) == (32, 40)
    assert spool.read(0, 10) == b""


def test_day_long_stream_needs_no_more_room_than_its_reader_is_behind(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"))
    for _turn in range(100):
        spool.append(bytes(10))
        spool.release(spool.end)
        assert len(files(tmp_path)) <= 2


def test_full_disk_takes_what_fits_and_says_how_much(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"))
    with disk_with_room(20):
        assert spool.append(bytes(range(30))) == 20
        assert spool.append(b"more") == 0
    assert (spool.end, read_all(spool)) == (20, bytes(range(20)))
    assert spool.append(b"room again") == 10
    assert read_all(spool) == bytes(range(20)) + b"room again"


def test_what_went_another_way_leaves_a_gap_and_nothing_moves(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"))
    with disk_with_room(5):
        assert spool.append(b"before and lost") == 5
    spool.skip(10)
    assert spool.append(b"after") == 5
    assert (spool.end, read_all(spool), read_all(spool, 7), read_all(spool, 15)) == (20, b"befor", b"", b"after")


def test_gap_larger_than_a_file_reads_as_nothing(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"))
    spool.append(b"ab")
    spool.skip(5 * SEGMENT)
    assert spool.read(4 * SEGMENT, 10) == b""


def test_no_file_can_be_made(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "gone" / "s"))
    assert (spool.append(b"abc"), spool.end, spool.read(0, 3)) == (0, 0, b"")


def test_later_process_reads_what_an_earlier_one_left(tmp_path: Path) -> None:
    first = Spool(str(tmp_path / "rank1.stdout"))
    first.append(bytes(range(40)))
    first.release(20)
    Spool(str(tmp_path / "rank1.stderr")).append(b"other stream")
    Spool(str(tmp_path / "rank11.stdout")).append(b"other rank")
    (tmp_path / "rank1.MLX_HOSTFILE").touch()
    (tmp_path / "rank1.stdout.tmp").touch()
    second = Spool.reopen(str(tmp_path / "rank1.stdout"))
    assert (second.start, second.end, read_all(second, 16)) == (16, 40, bytes(range(16, 40)))


def test_later_process_finds_nothing_where_nothing_was_printed(tmp_path: Path) -> None:
    spool = Spool.reopen(str(tmp_path / "s"))
    assert (spool.start, spool.end, spool.read(0, 10)) == (0, 0, b"")


def test_remove_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"))
    spool.append(bytes(40))
    spool.remove()
    spool.remove()
    assert files(tmp_path) == []


class SpoolModel(RuleBasedStateMachine):
    """A spool against a list of bytes, None where they went another way."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.patch = mock.patch.object(_spool, "SEGMENT", SEGMENT)
        self.patch.start()
        self.path = str(Path(self.folder.name) / "s")
        self.spool = Spool(self.path)
        self.model: list[int | None] = []
        self.released = 0

    def teardown(self) -> None:
        self.spool.remove()
        assert files(Path(self.folder.name)) == []
        self.patch.stop()
        self.folder.cleanup()

    @rule(data=st.binary(max_size=40))
    def append(self, data: bytes) -> None:
        assert self.spool.append(data) == len(data)
        self.model += data

    @rule(data=st.binary(max_size=40), room=st.integers(0, 40), skip=st.booleans())
    def append_to_full_disk(self, data: bytes, room: int, skip: bool) -> None:
        with disk_with_room(room):
            count = self.spool.append(data)
        assert count == min(room, len(data))
        self.model += data[:count]
        if skip:
            self.spool.skip(len(data) - count)
            self.model += [None] * (len(data) - count)

    @rule(part=st.floats(0, 1))
    def release(self, part: float) -> None:
        offset = int(part * len(self.model))
        self.spool.release(offset)
        self.released = max(self.released, offset)

    @rule(part=st.floats(0, 1.2), size=st.integers(0, 50))
    def read(self, part: float, size: int) -> None:
        offset = int(part * len(self.model))
        data = self.spool.read(offset, size)
        assert list(data) == self.model[offset : offset + len(data)]
        readable = offset < len(self.model) and self.model[offset] is not None and offset >= self.released
        assert data or not (readable and size)

    @invariant()
    def ends_where_the_model_does(self) -> None:
        assert self.spool.end == len(self.model)
        assert self.spool.start <= max(self.released, next((at for at, byte in enumerate(self.model) if byte is not None), len(self.model)))

    @invariant()
    def what_is_on_disk_is_what_a_later_process_finds(self) -> None:
        later = Spool.reopen(self.path)
        assert later.end <= self.spool.end
        for offset in range(self.released, len(self.model)):
            if self.model[offset] is not None:
                assert later.read(offset, 1) == bytes([self.model[offset] or 0])

    @invariant()
    def released_files_are_gone(self) -> None:
        begins = [int(name.rpartition(".")[2]) for name in files(Path(self.folder.name))]
        assert [begin for begin in begins[1:] if begin <= self.released][:-1] == []


TestSpoolModel = SpoolModel.TestCase
TestSpoolModel.settings = settings(max_examples=60, stateful_step_count=30)
