"""A host's disk that is full at any moment of a deploy: one line with host and path, and nothing half done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.deploy import Deploy
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.outcome import Outcome
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import wanted_project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import agent, host_command
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from tests.integration.deploying import tree
from tests.unit.controller.fleets import Events

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")

SIZE, PAGE = 64 * 1024 * 1024, 4096
#: Of the change: one that comes with a call, and one that rsync or tar brings.
LITTLE, LARGE = 100_000, 3_000_000


class Disk:
    """A small disk, and a deploy to a host that has its root there.

    Attributes:
        root: directory of the deploys.
        project: its files here.
    """

    def __init__(self, top: Path) -> None:
        self.folder = top / "disk"
        self.root = self.folder / "root"
        self.project = top / "demo"
        self.folder.mkdir()
        self._mount(f"size={SIZE},nr_inodes=1000,mode=755")

    def _mount(self, options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=True, timeout=60)

    def leave_bytes(self, count: int) -> None:
        """Fill it but for so many bytes."""
        free = os.statvfs(self.folder)
        with (self.folder / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(free.f_bavail * free.f_frsize - count, 1))

    def leave_files(self, count: int) -> None:
        """Let it take so many new files and directories, and no more."""
        for number in range(os.statvfs(self.folder).f_ffree - count):
            (self.folder / f"filler-{number}").touch()

    def make_room(self) -> None:
        """Remove what fills it."""
        for path in self.folder.glob("filler*"):
            path.unlink()

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the project."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def deploy(self) -> Outcome:
        """Deploy the project to the host `small`."""
        settings = JobSettings(script=str(self.project / "train.py"), project_dir=str(self.project), root=str(self.root), keep=9)
        access = Access(lambda shell: ["/bin/sh", "-c", shell], host_command([sys.executable], agent()))
        return Deploy(settings, wanted_project(settings), {"small": access}, check=False, differences=False).run(Events())

    def versions(self) -> dict[str, dict[bytes, tuple[str, object]]]:
        """Return all versions that count as complete, by path: those with a record."""
        records = self.root.glob("projects/demo/.*.json")
        return {str(path): tree(path) for path in (record.with_name(record.stem[1:]) for record in records)}


@pytest.fixture(name="disk")
def make_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    disk = Disk(tmp_path)
    disk.write("train.py", b"print('one')\n")
    for name in ("a", "b/c", "b/d/e"):
        disk.write(name, name.encode())
    yield disk
    subprocess.run(["umount", "--lazy", disk.folder], check=True, timeout=60)
    shutil.rmtree(disk.folder)


def assert_failure_is_told_and_mended(disk: Disk) -> str:
    """Deploy to the full disk, then to one with room; return why the first one failed, "" when it did not."""
    before = disk.versions()
    outcome = disk.deploy()
    text = "; ".join(outcome.problems.get("small", []))
    if outcome.problems:
        assert len(outcome.problems["small"]) == 1
        assert "\n" not in text
        assert str(disk.folder) in text, text
        assert "space" in text or "full" in text, text
        assert disk.versions() == before
    disk.make_room()
    again = disk.deploy()
    assert again.problems == {}
    assert tree(Path(again.deployed.project)) == tree(disk.project)
    assert list(disk.root.glob("projects/demo/.part-*")) == []
    return text


@pytest.mark.parametrize("first", [True, False], ids=["nothing there", "an older version there"])
@pytest.mark.parametrize("size", [LITTLE, LARGE])
def test_disk_that_fills_up_leaves_nothing_half_done(disk: Disk, size: int, first: bool) -> None:
    failures = []
    # From a disk that takes nothing to one that takes it all: rsync may have old and new content there at once.
    for turn, left in enumerate([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, size // PAGE // 2, size // PAGE, 3 * size // PAGE]):
        disk.write("big.bin", os.urandom(size))
        if first:
            shutil.rmtree(disk.root, ignore_errors=True)
        elif not turn:
            assert disk.deploy().problems == {}
            disk.write("big.bin", os.urandom(size))
        disk.leave_bytes(left * PAGE)
        failures.append(assert_failure_is_told_and_mended(disk))
    assert failures[0]
    assert failures[-1] == ""


def test_disk_without_room_for_names_leaves_nothing_half_done(disk: Disk) -> None:
    failures = []
    for left in range(16):
        disk.write("train.py", b"print(%d)\n" % left)
        shutil.rmtree(disk.root, ignore_errors=True)
        disk.leave_files(left)
        failures.append(assert_failure_is_told_and_mended(disk))
    assert failures[0]
    assert failures[-1] == ""
