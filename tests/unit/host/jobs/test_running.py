"""Running jobs are those whose folder is locked."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import place
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.running import running_jobs


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give the directory of the jobs' folders, of which this test has its own."""
    for name in ("XDG_STATE_HOME", "TMPDIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(place, "_homes", list)
    folder = Path(place.parents()[0])
    folder.mkdir(parents=True)
    for path in (tmp_path, *folder.parents, folder):
        if path.is_relative_to(tmp_path):
            path.chmod(0o700)
    return folder


def test_job_runs_while_its_folder_is_locked(parent: Path) -> None:
    before = running_jobs()
    for name in ("20260101-000000-aaaaaa-0", "20260101-000000-bbbbbb-0", "other"):
        (parent / name).mkdir(mode=0o700)
        (parent / name / "lock").touch()
    with (parent / "20260101-000000-aaaaaa-0/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert sorted({*running_jobs()} - {*before}) == ["20260101-000000-aaaaaa"]
    assert running_jobs() == before
