"""A rank's stream on disk: what was appended can be read until it is released, also when the disk was full in between."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import spool as spool_module
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.spool import Room, Spool, has_room

SEGMENT = 16


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT", SEGMENT)


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


def test_read_stops_at_the_end_of_a_file_or_at_the_limit(tmp_path: Path) -> None:
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


def test_long_stream_needs_the_room_its_reader_is_behind(tmp_path: Path) -> None:
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


def test_folder_that_is_removed_costs_nothing_that_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    spool = Spool(str(folder / "s"))
    spool.append(bytes(range(20)))
    shutil.rmtree(folder)
    assert spool.append(bytes(range(20, 28))) == 8
    assert read_all(spool) == bytes(range(28))
    assert (spool.append(bytes(8)), spool.problem) == (4, "No such file or directory")
    spool.release(20)
    spool.remove()


def test_far_behind_takes_few_files(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"))
    for _turn in range(1000):
        spool.append(bytes(100))
    assert len(files(tmp_path)) < 80
    assert len(read_all(spool)) == 100_000
    spool.remove()


def test_output_of_a_job_has_a_limit_and_room_comes_back(tmp_path: Path) -> None:
    room = Room(limit=40)
    one, two = Spool(str(tmp_path / "one"), room), Spool(str(tmp_path / "two"), room)
    assert (one.append(bytes(30)), two.append(bytes(20))) == (30, 0)
    assert "the limit" in two.problem
    one.release(30)
    assert two.append(bytes(20)) == 20
    one.remove()
    two.remove()
    assert room.taken == 0


@pytest.mark.parametrize(("free", "fits"), [(5, 2 * SEGMENT), (20, 100)])
def test_spool_leaves_a_reserve_on_disk(free: int, fits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: SimpleNamespace(f_bavail=free, f_blocks=100, f_frsize=4096))
    spool = Spool(str(tmp_path / "s"))
    assert spool.append(bytes(100)) == fits
    assert spool.problem == ("" if fits == 100 else "less than a tenth of the disk is free")
    spool.remove()


@pytest.mark.parametrize(
    ("number", "text"), [(errno.EMFILE, "no more files can be opened (Too many open files)"), (errno.ENOSPC, "the disk is full")]
)
def test_reason_why_there_is_no_room(number: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_words: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    spool = Spool(str(tmp_path / "s"))
    assert (spool.append(b"abc"), spool.problem) == (0, text)


def test_large_disk_has_room_with_less_than_a_tenth() -> None:
    figures = {"f_bavail": 20, "f_blocks": 1000, "f_frsize": 4 * 1024**3}
    assert has_room(SimpleNamespace(**figures))
    assert not has_room(SimpleNamespace(**dict(figures, f_frsize=1024**3)))


class SpoolModel(RuleBasedStateMachine):
    """A spool against a list of bytes, None where they went another way."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.patch = mock.patch.object(spool_module, "SEGMENT", SEGMENT)
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
        self.check(later)
        later.close()

    def check(self, later: Spool) -> None:
        """Compare a later process's spool with the model."""
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
