"""The files of a record: whole pieces only, and few of them open."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record.files import OPEN_FILES, RecordFiles
from tests.unit.controller.output.disks import limited


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.fixture
def files(tmp_path: Path) -> Iterator[RecordFiles]:
    made = RecordFiles(tmp_path)
    yield made
    made.close()


def test_file_grows_by_pieces(files: RecordFiles, tmp_path: Path) -> None:
    for piece in (b"one", b"", b"two"):
        files.append("0/stdout.log", piece)
    assert ((tmp_path / "0/stdout.log").read_bytes(), files.size("0/stdout.log")) == (b"onetwo", 6)


def test_piece_that_has_no_room_leaves_nothing(files: RecordFiles, tmp_path: Path) -> None:
    files.append("log", b"x" * 2000)
    with limited(2500), pytest.raises(OSError, match="File too large"):
        files.append("log", b"y" * 1000)
    assert ((tmp_path / "log").read_bytes(), files.size("log")) == (b"x" * 2000, 2000)
    files.append("log", b"y" * 1000)
    assert (tmp_path / "log").read_bytes() == b"x" * 2000 + b"y" * 1000


def test_file_is_replaced_whole_or_not_at_all(files: RecordFiles, tmp_path: Path) -> None:
    files.replace("job.json", b"{}")
    with limited(10), pytest.raises(OSError, match="File too large"):
        files.replace("job.json", b'{"a": 123456789}')
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("job.json", b"{}")]


def test_few_files_are_open_however_many_there_are(files: RecordFiles, tmp_path: Path) -> None:
    before = open_files()
    for turn in range(2):
        for rank in range(512):
            files.append(f"{rank}/stdout.log", b"%d" % turn)
    assert open_files() - before <= OPEN_FILES
    assert all((tmp_path / f"{rank}/stdout.log").read_bytes() == b"01" for rank in range(512))


def test_process_with_too_many_files_closes_one_for_another(files: RecordFiles, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 8, before[1]))
    try:
        for rank in range(40):
            files.append(f"{rank}/stdout.log", b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert all((tmp_path / f"{rank}/stdout.log").read_bytes() == b"x" for rank in range(40))


def test_file_that_somebody_has_cut_goes_on_where_it_ends(files: RecordFiles, tmp_path: Path) -> None:
    files.append("log", b"12345")
    files.close()
    (tmp_path / "log").write_bytes(b"12")
    files.append("log", b"678")
    assert ((tmp_path / "log").read_bytes(), files.size("log")) == (b"12678", 5)
