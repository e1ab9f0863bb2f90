"""One file is put into its place on a host: whole, for everybody to read, and only when it is not there already."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.atomic_file import complaint, place

TEXT = '[\n  {"ssh": "käse"}\n]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path in a directory that is not there yet."""
    return tmp_path / "a" / "b" / "hostfile.json"


def test_file_is_for_everybody_to_read_whatever_the_umask(path: Path) -> None:
    mask = os.umask(0o077)
    try:
        assert place(str(path), TEXT, check=False) == {"same": False, "before": "", "mode": None}
    finally:
        os.umask(mask)
    assert path.read_text(encoding="utf-8") == TEXT
    assert [part.stat().st_mode & 0o777 for part in (path, path.parent, path.parent.parent)] == [0o644, 0o755, 0o755]
    before = path.stat()
    assert place(str(path), TEXT, check=False) == {"same": True, "before": TEXT, "mode": 0o644}
    assert path.stat() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("what", ["nothing", "text", "mode"])
def test_check_tells_the_same_and_changes_nothing(path: Path, what: str) -> None:
    if what != "nothing":
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\xff" if what == "text" else TEXT.encode())
        path.chmod(0o600)
    before = path.stat() if path.exists() else None
    told = place(str(path), TEXT, check=True)
    assert (path.stat() if path.exists() else None) == before
    assert place(str(path), TEXT, check=False) == told
    assert (
        told
        == {
            "nothing": {"same": False, "before": "", "mode": None},
            "text": {"same": False, "before": "\\xff", "mode": 0o600},
            "mode": {"same": False, "before": TEXT, "mode": 0o600},
        }[what]
    )
    assert (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777) == (TEXT, 0o644)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/passwd")], ids=["pipe", "link"])
def test_what_is_no_file_is_neither_read_nor_followed(path: Path, make: object) -> None:
    path.parent.mkdir(parents=True)
    assert callable(make)
    make(path)
    assert place(str(path), TEXT, check=False) == {"same": False, "before": "", "mode": None}
    assert path.is_file()
    assert not path.is_symlink()
    assert path.read_text(encoding="utf-8") == TEXT


@pytest.mark.parametrize("check", [True, False])
def test_what_is_in_the_way_is_named_and_stays(path: Path, check: bool) -> None:
    path.parent.parent.write_text("mine")
    with pytest.raises(NotADirectoryError) as caught:
        place(str(path), TEXT, check)
    assert complaint(str(path), caught.value) == f"cannot write {path}: {path.parent.parent}: Not a directory"
    assert path.parent.parent.read_text() == "mine"
    path.parent.parent.unlink()
    path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as caught_too:
        place(str(path), TEXT, check)
    assert complaint(str(path), caught_too.value) == f"cannot write {path}: Is a directory"
    assert list(path.parent.iterdir()) == [path]


def test_failed_write_leaves_the_old_file_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(str(path), "before", check=False)

    def full(*_args: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left") as caught:
        place(str(path), TEXT, check=False)
    monkeypatch.undo()
    assert complaint(str(path), caught.value) == f"cannot write {path}: No space left on device"
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


def test_file_with_values_of_variables_is_for_its_owner_alone(path: Path) -> None:
    text = '{"envs": ["TOKEN=canary"], "hosts": []}'
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o644)
    place(str(path), text, check=False)
    assert path.stat().st_mode & 0o777 == 0o600
    place(str(path), '{"envs": [], "hosts": []}', check=False)
    assert path.stat().st_mode & 0o777 == 0o644
