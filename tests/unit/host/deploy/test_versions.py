# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of a project: edits by hand are noticed, and modules that a job has left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.versions import state
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from tests.unit.project_deploy import RSYNC, Deploy, edit_content

pytestmark = pytest.mark.skipif(not RSYNC, reason="no rsync here")


def edit_mode(tree: Path) -> None:
    (tree / "train.py").chmod(0o600)


def edit_link(tree: Path) -> None:
    (tree / "latest").unlink()
    (tree / "latest").symlink_to("train.py")


def edit_away(tree: Path) -> None:
    (tree / "train.py").unlink()


def edit_kind(tree: Path) -> None:
    (tree / "train.py").unlink()
    (tree / "train.py").mkdir()


@pytest.mark.parametrize("edit", [edit_content, edit_mode, edit_link, edit_away, edit_kind])
def test_version_edited_by_hand_is_kept_aside_and_made_again(deploy: Deploy, edit: Callable[[Path], None]) -> None:
    tree = deploy.deploy()
    (tree / "result").write_text("of a job")
    edit(tree)
    wrong = "latest" if edit is edit_link else "train.py"
    assert state(str(deploy.root), "demo", deploy.digest()) == {
        "state": "edited",
        "path": str(tree),
        "edited": [wrong],
        "extra": [],
    }
    before = manifest.scan(str(tree)).entries
    deploy.begin()
    deploy.send()
    aside = Path(deploy.commit()["aside"])
    assert deploy.state() == "present"
    assert aside.name.startswith(f"{tree.name}.edited-2")
    assert manifest.scan(str(aside)).entries == before
    assert deploy.prune(0)["removed"] == []
    assert aside.exists()


def test_version_is_made_again_twice_in_a_second(deploy: Deploy) -> None:
    tree = deploy.deploy()
    asides = set()
    for _turn in range(2):
        edit_content(tree)
        deploy.begin()
        deploy.send()
        asides.add(deploy.commit()["aside"])
    assert len(asides) == 2
    assert all(Path(aside).is_dir() for aside in asides)


def test_touched_or_restored_files_are_no_edit(deploy: Deploy) -> None:
    tree = deploy.deploy()
    (tree / "train.py").touch()
    (tree / "tools" / "locked").rename(tree / "x")
    shutil.copy2(tree / "x", tree / "tools" / "locked")
    assert deploy.state() == "present"


def test_what_a_job_writes_beside_is_no_edit(deploy: Deploy) -> None:
    tree = deploy.deploy()
    (tree / "empty" / "checkpoint").write_text("x")
    (tree / "__pycache__").mkdir()
    assert deploy.state() == "present"
    deploy.begin()
    assert (tree / "empty" / "checkpoint").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": 1, "entries": {}, "inodes": [], "ctimes": []}', "\xff"])
def test_broken_record_counts_as_none_and_is_written_again(deploy: Deploy, text: str) -> None:
    tree = deploy.deploy()
    Path(deploy.version().record).write_text(text)
    assert deploy.state() == "absent"
    inode = tree.stat().st_ino
    assert deploy.begin()["state"] == "present"
    assert deploy.state() == "present"
    assert tree.stat().st_ino == inode


def test_record_without_all_signatures_is_written_again(deploy: Deploy) -> None:
    deploy.deploy()
    record = Path(deploy.version().record)
    data = json.loads(record.read_text())
    del data["ctimes"]
    record.write_text(json.dumps(data))
    assert deploy.state() == "absent"
    assert deploy.begin()["state"] == "present"
    assert deploy.state() == "present"


def test_edit_that_keeps_size_and_time_is_noticed(deploy: Deploy) -> None:
    tree = deploy.deploy()
    before = (tree / "train.py").stat()
    with (tree / "train.py").open("r+") as file:
        file.write("print('HELLO')")
    os.utime(tree / "train.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert deploy.state() == "edited"


@pytest.mark.parametrize(
    ("left", "extra"),
    [
        ("random.py", "random.py"),
        ("tools/random.py", "tools/random.py"),
        ("empty/torch.so", "empty/torch.so"),
        ("random.pyc", "random.pyc"),
        ("json/__init__.py", "json"),
        ("a\nb/json/__init__.py", "a\nb/json"),
        ("results.csv", ""),
        ("checkpoints/model.py/weights", ""),
        ("checkpoints/save.py", ""),  # no directory that the job imports from
        ("__pycache__/train.cpython-312.pyc", ""),
    ],
)
def test_modules_that_a_job_has_left_are_told(deploy: Deploy, left: str, extra: str) -> None:
    tree = deploy.deploy()
    (tree / left).parent.mkdir(parents=True, exist_ok=True)
    (tree / left).touch()
    found = state(str(deploy.root), "demo", deploy.digest())
    assert (found["state"], found["extra"]) == ("present", [extra] if extra else [])


def test_linked_module_is_told(deploy: Deploy) -> None:
    tree = deploy.deploy()
    (tree / "json.py").symlink_to("train.py")
    assert state(str(deploy.root), "demo", deploy.digest())["extra"] == ["json.py"]
