# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of the jobs' folders: the user's own, wherever it has to be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import place
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.folder import find_folder
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.status import Status

JOB = "20260101-120000-abcdef"
MINE = f"mlxlaunch-{os.geteuid()}"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of another user")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home directory, and nothing else of this machine."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    monkeypatch.setattr(place, "_TEMPORARY", str(tmp_path / "tmp"))
    monkeypatch.setattr(place.pwd, "getpwuid", lambda _user: SimpleNamespace(pw_dir=str(home)))
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_STATE_HOME", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    return home


def made(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Path:
    """Return the folder that a job makes with some variables, without its name and the host's."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    status = Status.make(JOB, 0)
    folder = Path(status.folder)
    assert folder.name == f"{JOB}-0"
    assert [path.stat().st_mode & 0o7777 for path in (folder, folder.parent)] == [0o700, 0o700]
    os.close(status.lock)
    return folder.parent if folder.parent.name == MINE else folder.parent.parent


def test_folder_is_in_the_state_directory_whatever_tmpdir_is(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(monkeypatch, TMPDIR=str(tmp_path / "tmp")) == home / ".local/state/mlxlaunch/jobs"
    monkeypatch.delenv("TMPDIR")
    found = find_folder(JOB, 0)
    assert found is not None
    assert found.startswith(str(home))
    assert find_folder(JOB, 1) is None


def test_state_directory_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(monkeypatch, XDG_STATE_HOME=str(tmp_path / "state")) == tmp_path / "state/mlxlaunch/jobs"


def test_state_directory_that_is_relative_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(monkeypatch, XDG_STATE_HOME="state") == home / ".local/state/mlxlaunch/jobs"


def test_home_that_is_a_link_is_followed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(home)
    made(monkeypatch, HOME=str(tmp_path / "link"))
    assert list((home / ".local/state/mlxlaunch/jobs").glob(f"*/{JOB}-0"))


@pytest.mark.parametrize("value", ["", "relative", "/proc/nowhere"])
def test_home_comes_from_the_accounts_when_the_variable_has_none(value: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(monkeypatch, HOME=value) == home / ".local/state/mlxlaunch/jobs"


def open_to_all(home: Path) -> None:
    home.chmod(0o777)


def state_is_open(home: Path) -> None:
    (home / ".local").mkdir()
    (home / ".local").chmod(0o777)


def is_gone(home: Path) -> None:
    home.rmdir()


def has_a_file_in_the_way(home: Path) -> None:
    (home / ".local").touch()


def host_is_a_link(home: Path) -> None:
    [state, *_rest] = place.parents()
    Path(state).parent.mkdir(parents=True)
    (home / "victim").mkdir(mode=0o700)
    Path(state).symlink_to(home / "victim")


def host_is_open(_home: Path) -> None:
    Path(place.parents()[0]).mkdir(parents=True)
    Path(place.parents()[0]).chmod(0o755)


def belongs_to_another(home: Path) -> None:
    os.chown(home, 65534, 65534)


WRONG = [
    open_to_all,
    state_is_open,
    is_gone,
    has_a_file_in_the_way,
    host_is_a_link,
    host_is_open,
    pytest.param(belongs_to_another, marks=as_root),
]


@pytest.mark.parametrize("spoil", WRONG)
def test_home_that_cannot_be_used_gives_way_to_a_private_directory(
    spoil: Callable[[Path], None], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(home)
    assert made(monkeypatch) == tmp_path / "tmp" / MINE
    found = find_folder(JOB, 0)
    assert found is not None
    assert Status.reopen(found, 0.0) is not None


@pytest.mark.parametrize("way", ["open", "link", pytest.param("another's", marks=as_root)])
def test_temporary_directory_that_a_neighbour_has_prepared_is_refused(
    way: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.rmdir()
    prepared = tmp_path / "tmp" / MINE
    if way == "link":
        (tmp_path / "victim").mkdir(mode=0o700)
        prepared.symlink_to(tmp_path / "victim")
    else:
        prepared.mkdir(mode=0o700)
        prepared.chmod(0o777 if way == "open" else 0o700)
    if way == "another's":
        os.chown(prepared, 65534, 65534)
    with pytest.raises(OSError, match=MINE) as caught:
        Status.make(JOB, 0)
    assert caught.value.filename.startswith(str(prepared))
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    assert made(monkeypatch, TMPDIR=str(own)) == own / MINE


def test_hosts_that_share_a_home_have_directories_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(place, "_MACHINE_IDS", (str(tmp_path / "gone"), str(tmp_path / "id")))
    (tmp_path / "id").write_text("0123456789abcdef\n")
    seen = []
    for name in ("node1", "node2"):
        monkeypatch.setattr(os, "uname", lambda name=name: SimpleNamespace(nodename=name))
        status = Status.make(JOB, 0)
        seen.append(Path(status.folder).parent.name)
    assert seen == ["01234567-node1", "01234567-node2"]


def test_host_without_a_machine_id_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_MACHINE_IDS", ())
    assert place.parents()[0].endswith(f"/host-{os.uname().nodename}")


def test_group_of_the_users_own_may_write(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() != os.getgid():
        pytest.skip("this user's group has another number")
    home.chmod(0o775)
    assert made(monkeypatch) == home / ".local/state/mlxlaunch/jobs"
