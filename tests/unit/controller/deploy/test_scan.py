"""The hashes of a project's files: remembered, and never needed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy import signatures
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.project import Project, select
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import moved, project_now, scan_project, wanted_project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.signatures import memory_file
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import check_settings
from tests.unit.controller.projects import files, write

pytestmark = pytest.mark.usefixtures("own_cache")

OLD = 1_700_000_000


@pytest.fixture
def settled(top: Path) -> Iterator[Project]:
    """A project whose files have not been touched for a while, as far as the cache can tell."""
    with mock.patch.object(signatures, "RACY", -1):
        yield select(str(top / "train.py"), str(top))


def reads(project: Project) -> list[str]:
    """Scan a project; return the files that were read."""
    with mock.patch.object(manifest, "hash_file", wraps=manifest.hash_file) as read:
        scan_project(project)
    return sorted(call.args[1] for call in read.call_args_list)


def test_hashes_are_remembered_from_launch_to_launch(settled: Project) -> None:
    assert reads(settled) == files(settled)
    assert reads(settled) == []
    (Path(settled.source) / "src" / "net.py").write_text("other")
    assert reads(settled) == ["src/net.py"]
    assert manifest.compare(scan_project(settled).entries, manifest.scan(settled.source).entries) == ([], [], [])


def test_cache_is_for_its_user_only_and_names_no_path(settled: Project, tmp_path: Path) -> None:
    scan_project(settled)
    [path] = (tmp_path / "cache" / "mlxlaunch" / "hashes").iterdir()
    assert path == memory_file(settled.source, "hashes")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "demo" not in path.name


def test_unchanged_cache_is_not_written_again(settled: Project) -> None:
    scan_project(settled)
    before = memory_file(settled.source, "hashes").stat().st_ino
    scan_project(settled)
    assert memory_file(settled.source, "hashes").stat().st_ino == before


def test_files_that_were_just_written_are_not_remembered(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = select("", str(top))
    (top / "train.py").write_text("new")
    os.utime(top / "train.py", (OLD, OLD))  # its change time tells
    monkeypatch.setattr(signatures, "RACY", 3600 * 10**9)
    assert reads(project) == reads(project) == files(project)
    monkeypatch.setattr(signatures, "RACY", -1)
    assert reads(project) == files(project)
    assert reads(project) == []


@pytest.mark.parametrize("text", ["", "[]", "null", '{"train.py": [1]}', '{"train.py": 7}', "\xff\xfe", "[" * 100_000])
def test_broken_cache_is_ignored_and_replaced(settled: Project, text: str) -> None:
    scan_project(settled)
    memory_file(settled.source, "hashes").write_text(text, encoding="latin-1")
    assert reads(settled) == files(settled)
    assert reads(settled) == []


def test_cache_that_cannot_be_written_is_no_error(settled: Project, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert len(scan_project(settled).entries) == len(settled.paths)


def test_script_alone_is_not_remembered(top: Path) -> None:
    tree = scan_project(select(str(top / "train.py")))
    assert [entry.path for entry in tree.entries] == ["train.py"]
    assert not memory_file(str(top), "hashes").exists()


def test_file_that_is_saved_just_now_is_read_again(top: Path) -> None:
    project = select("", str(top))
    with mock.patch.object(manifest, "hash_file", side_effect=[manifest.FileChanged("train.py"), *(["0" * 64] * 9)]):
        assert len(scan_project(project).entries) == len(project.paths)


def test_files_that_always_change_are_left_out(top: Path) -> None:
    with mock.patch.object(manifest, "hash_file", side_effect=manifest.FileChanged("train.py")):
        tree = scan_project(select("", str(top)))
    assert {entry.kind for entry in tree.entries} == {"dir"}


@pytest.mark.parametrize("project_dir", ["", "."])
def test_script_that_always_changes_is_named(top: Path, project_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top)
    project = select("train.py", project_dir)
    with (
        mock.patch.object(manifest, "hash_file", side_effect=manifest.FileChanged("train.py")),
        pytest.raises(UsageError, match=rf"^{top}/train.py was removed, or changes all the time, while it was read; try again"),
    ):
        scan_project(project)


def test_script_that_an_editor_puts_back_in_a_moment_is_waited_for(top: Path) -> None:
    project = select(str(top / "train.py"))
    found = manifest.look(os.fsencode(f"{top}/"), "train.py", {})
    with mock.patch.object(manifest, "look", side_effect=[FileNotFoundError(), FileNotFoundError(), found]):
        assert scan_project(project).entries == [found[0]]


def test_file_beside_a_module_may_go_and_a_module_may_not_keep_changing(top: Path) -> None:
    write(top, "pkg/__init__.py", "pkg/data.bin", "pkg/.data.swp")
    (top / "train.py").write_text("import pkg")
    project = select(str(top / "train.py"))
    (top / "pkg/data.bin").unlink()
    assert [entry.path for entry in scan_project(project).entries] == ["pkg", "pkg/__init__.py", "train.py"]
    real = manifest.hash_file

    def changing(full: bytes, path: str, before: os.stat_result) -> str:
        if path == "pkg/__init__.py":
            raise manifest.FileChanged(path)
        return str(real(full, path, before))

    with mock.patch.object(manifest, "hash_file", changing), pytest.raises(UsageError, match="pkg/__init__.py was removed, or changes"):
        scan_project(project)


def test_file_that_cannot_be_read_is_named(top: Path) -> None:
    project = select("", str(top))
    refused = PermissionError(13, "Permission denied", os.fsencode(top / "train.py"))  # as root, nothing is unreadable
    message = rf"^{top}/[a-z./]+ cannot be read: Permission denied; leave it out"
    with mock.patch.object(os, "open", side_effect=refused), pytest.raises(UsageError, match=message):
        scan_project(project)


def test_file_that_is_gone_again_is_no_part_of_it(top: Path) -> None:
    """An editor's swap file, say."""
    write(top, ".train.py.swp", "tmp/lock")
    project = select("", str(top))
    (top / ".train.py.swp").unlink()
    (top / "tmp/lock").unlink()
    (top / "tmp").rmdir()
    found = {entry.path for entry in scan_project(project).entries}
    assert set(project.paths) - found == {".train.py.swp", "tmp", "tmp/lock"}
    assert set(project.only(found).excluded) >= {".train.py.swp", "tmp", "tmp/lock"}


def test_files_that_moved_since_they_were_read_are_told_apart(top: Path) -> None:
    write(top, "log", "saved", "rewritten", "gone", "same")
    project = select("", str(top))
    tree = scan_project(project)
    with (top / "log").open("a") as log:
        log.write("more")
    (top / "new").write_text("a longer one")
    (top / "new").replace(top / "saved")
    (top / "rewritten").write_text("y")
    (top / "gone").unlink()
    assert moved(project, tree) == {"gone": False, "log": True, "rewritten": False, "saved": False}


def test_output_and_records_of_jobs_are_no_part_of_it(top: Path) -> None:
    write(top, "train.log", "runs/20260101-000000-abcdef/events.jsonl", "other/20260101-000000-abcdef/events.jsonl", "logs/a", "nohup.out")
    write(top, "mixed/20260101-000000-abcdef/job.json", "mixed/a")
    found = (top / "train.log").stat()
    settings = check_settings({"script": str(top / "train.py"), "project_dir": str(top), "log_dir": str(top / "logs")})
    before = set(select(settings.script, str(top)).paths)
    project = wanted_project(settings, [(found.st_dev, found.st_ino)])
    assert project
    assert before - set(project.paths) == {"train.log", "logs", "logs/a"}
    assert {"mixed", "mixed/a"} <= set(project.paths)
    assert not {path for path in before if "2026" in path or path in {"runs", "other", "nohup.out"}}


def test_two_thousand_files_are_selected_and_scanned_quickly(top: Path) -> None:
    for at in range(2000):
        write(top, f"package{at % 40}/module{at}.py")
    write(top, ".gitignore", text="\n".join(["*.log", "/out", "!keep.log", "**/tmp", "[abc]*.bin"] * 10))
    project = select(str(top / "train.py"), str(top))
    began = time.process_time()
    project = select(str(top / "train.py"), str(top))
    tree = scan_project(project)
    assert time.process_time() - began < 5  # of a processor, whatever else it does
    assert len(tree.entries) > 2040


def test_project_that_cannot_be_sent_has_no_digest(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print()")
    assert len(project_now(check_settings({"script": str(script)}))) == 64
    assert project_now(check_settings({"script": str(script), "project_dir": str(tmp_path / "gone")})) == ""
    assert project_now(check_settings({"script": "/only/there.py"})) == ""


def test_change_of_what_a_link_leads_to_is_seen(top: Path) -> None:
    write(top.parent, "shared/util.py")
    (top / "train.py").write_text("import util")
    (top / "util.py").symlink_to("../shared/util.py")
    project = select(str(top / "train.py"))
    tree = scan_project(project)
    assert moved(project, tree) == {}
    (top.parent / "shared/util.py").write_text("another")
    assert list(moved(project, tree)) == ["util.py"]
    assert manifest.digest(scan_project(project).entries) != manifest.digest(tree.entries)
