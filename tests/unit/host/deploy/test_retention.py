# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old versions of a project are removed; those in use stay, and those that hold somebody's work, which is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import retention, store, versions
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.retention import Kept, prune
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.versions import state
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock as lock
from tests.unit.project_deploy import RSYNC, Deploy, edit_content

pytestmark = pytest.mark.skipif(not RSYNC, reason="no rsync here")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
MIB = 1024**2


def make_versions(deploy: Deploy, count: int) -> list[Path]:
    """Deploy so many versions; return them, the oldest first."""
    trees = []
    for at in range(count):
        deploy.write("train.py", f"version {at}")
        trees.append(deploy.deploy())
        os.utime(versions.Version(str(deploy.root), "demo", trees[-1].name).record, (at, at))
    return trees


def test_prune_removes_the_oldest_and_nothing_of_the_others(deploy: Deploy) -> None:
    trees = make_versions(deploy, 5)
    assert deploy.prune(2) == {"removed": [trees[1].name, trees[0].name], "in_use": [], "kept": []}
    assert [tree.exists() for tree in trees] == [False, False, True, True, True]
    assert not [path for path in trees[0].parent.iterdir() if trees[0].name in path.name]
    assert all(state(str(deploy.root), "demo", tree.name)["state"] == "present" for tree in trees[2:])
    assert deploy.prune(2) == {"removed": [], "in_use": [], "kept": []}


def test_prune_spares_the_current_one_however_old(deploy: Deploy) -> None:
    trees = make_versions(deploy, 3)
    assert deploy.prune(0, trees[0].name)["removed"] == [trees[2].name, trees[1].name]
    assert trees[0].exists()


def test_prune_spares_versions_in_use_and_files_of_others(deploy: Deploy) -> None:
    held, wrote, edited, python, _current = trees = make_versions(deploy, 5)
    fd = lock.hold(str(held))
    (wrote / "empty" / "checkpoint").write_text("x")
    edit_content(edited)
    (python / "__pycache__").mkdir()
    (python / "__pycache__" / "train.cpython-312.pyc").write_text("x")
    (python / ".DS_Store").write_text("x")
    done = deploy.prune(0)
    assert (done["removed"], done["in_use"]) == ([python.name], [held.name])
    assert [(path, reason) for path, reason, _size in done["kept"]] == [
        (str(edited), "edited by hand"),
        (str(wrote), "holds what a job has written: empty/checkpoint"),
    ]
    assert [tree.exists() for tree in trees] == [True, True, True, False, True]
    os.close(fd)
    assert deploy.prune(0)["removed"] == [held.name]


def test_prune_removes_leftovers_but_no_transfer_under_way(deploy: Deploy) -> None:
    deploy.deploy()
    deploy.write("train.py", "never finished")
    deploy.begin()
    staging = Path(deploy.version().staging)
    deploy.prune(2)
    assert staging.exists()
    os.close(store._OPEN.pop(str(deploy.tree()))._fd)  # as if its process were gone
    deploy.prune(2)
    assert not staging.exists()
    assert not [path for path in staging.parent.iterdir() if deploy.tree().name in path.name]


def test_prune_of_nothing_is_no_error(deploy: Deploy) -> None:
    assert prune(str(deploy.root), "demo", 2, "") == {"removed": [], "in_use": [], "kept": []}


def test_copies_that_were_edited_are_told_with_their_size(deploy: Deploy) -> None:
    tree = deploy.deploy()
    (tree / "result").write_bytes(b"#" * 3 * MIB)
    edit_content(tree)
    deploy.begin()
    deploy.send()
    aside = deploy.commit()["aside"]
    [kept] = deploy.prune(2)["kept"]
    assert (kept.path, kept.reason) == (aside, "edited by hand, and made again")
    assert 3 * MIB <= kept.size < 4 * MIB
    assert retention.kept(str(deploy.root), 2) == [kept]


def test_check_tells_of_old_versions_only_and_changes_nothing(deploy: Deploy) -> None:
    trees = make_versions(deploy, 4)
    for tree in trees:
        (tree / "result").write_text("of a job")
    before = sorted(path.name for path in trees[0].parent.iterdir())
    [kept] = retention.kept(str(deploy.root), 2)
    assert (kept.path, kept.reason) == (str(trees[0]), "holds what a job has written: result")
    assert sorted(path.name for path in trees[0].parent.iterdir()) == before
    assert retention.kept(str(deploy.root / "none"), 2) == []


@as_root
@pytest.mark.parametrize("foreign", ["", "train.py", "tools"])
def test_version_of_another_user_stays_whole(deploy: Deploy, foreign: str) -> None:
    trees = make_versions(deploy, 2)
    os.chown(trees[0] / foreign, 65534, 65534)
    done = deploy.prune(0)
    assert [each.path for each in done["kept"]] == [str(trees[0])]
    assert "belongs to user" in done["kept"][0].reason
    assert state(str(deploy.root), "demo", trees[0].name)["state"] == "present"


def test_link_in_place_of_a_version_is_not_followed(deploy: Deploy) -> None:
    trees = make_versions(deploy, 2)
    moved = deploy.root.with_name("moved")
    trees[0].rename(moved)
    trees[0].symlink_to(moved)
    [kept] = deploy.prune(0)["kept"]
    assert kept.reason == "is no directory"
    assert (moved / "train.py").exists()


def test_record_without_its_version_is_removed(deploy: Deploy) -> None:
    trees = make_versions(deploy, 2)
    trees[0].rename(deploy.root / "elsewhere")
    deploy.prune(0)
    assert not [path for path in trees[0].parent.iterdir() if trees[0].name in path.name]


def test_what_stays_is_one_line_with_the_largest_first() -> None:
    found = [Kept(f"/root/{at}", "edited by hand", at * 600 * MIB) for at in range(1, 6)]
    assert retention.describe([]) == ""
    assert retention.describe(found[:1]) == (
        "kept although old, 600.0 MB in all: /root/1 (edited by hand); move away what is needed, and remove them"
    )
    assert retention.describe(found) == (
        "kept although old, 8.8 GB in all: /root/5 (edited by hand), /root/4 (edited by hand), /root/3 (edited by hand) and 2 more; "
        "move away what is needed, and remove them"
    )
