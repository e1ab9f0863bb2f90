# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on a host is trusted only where no stranger could have put or changed it."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import ownership
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.ownership import NotOurs, Owners
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from tests.support.users import NOBODY, ONLY_ROOT, as_user

STRANGER = pwd.getpwuid(NOBODY).pw_name
OURS = pwd.getpwuid(os.geteuid()).pw_name
KEY, NAME, DIGEST = "0123456789abcdef", "llm", "fedcba9876543210"
PARTS = [*ownership.parts_of_environment(KEY), *ownership.parts_of_version(NAME, DIGEST)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a root in which all is as a deploy makes it."""
    root = tmp_path / "above" / "root"
    for folder in (f"envs/{KEY}/bin", f"projects/{NAME}/{DIGEST}"):
        (root / folder).mkdir(parents=True)
    for file in (f"envs/.{KEY}.lock", f"envs/{KEY}/.mlxlaunch.json", f"projects/{NAME}/.{DIGEST}.json", f"projects/{NAME}/.{DIGEST}.lock"):
        (root / file).touch()
    for path in root.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    root.chmod(0o755)
    root.parent.chmod(0o755)
    return root


def refusal(root: Path, below: list[str] = PARTS, owners: Owners | None = None) -> str:
    """Return the one line with which a root is refused."""
    with pytest.raises(CallFailed) as caught:
        (owners or Owners()).check(str(root), below)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_what_we_made_is_trusted(root: Path) -> None:
    Owners().check(str(root), PARTS)
    assert Owners().trust(str(root), PARTS)
    assert {str(path.relative_to(root)) for path in root.rglob("*")} == set(PARTS)


def test_what_is_not_there_can_be_made(tmp_path: Path) -> None:
    Owners().check(str(tmp_path / "none" / "root"), PARTS)


@ONLY_ROOT
@pytest.mark.parametrize("part", ["..", ".", *PARTS])
def test_part_of_a_stranger_is_refused_with_his_name(root: Path, part: str) -> None:
    path = (root / part).resolve()
    os.lchown(path, NOBODY, 0)
    text = refusal(root)
    assert text.startswith(f"{path} belongs to {STRANGER}, who could change what is there; set mlx_root to ")
    assert "mlx_trust_owner" in text
    Owners(STRANGER).check(str(root), PARTS)


@pytest.mark.parametrize("mode", [0o20, 0o02])
@pytest.mark.parametrize("part", ["..", ".", *PARTS])
def test_part_that_others_may_write_to_is_refused(root: Path, part: str, mode: int) -> None:
    path = (root / part).resolve()
    path.chmod(path.stat().st_mode | mode)
    text = refusal(root)
    assert text.startswith(f"{path} may be changed by others than {OURS} (mode ")
    assert "chmod go-w it" in text


@pytest.mark.parametrize("part", PARTS)
def test_link_below_the_root_is_refused(root: Path, part: str) -> None:
    path = root / part
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    assert refusal(root).startswith(f"{path} is a link, and nothing below mlx_root may be one; ")


def test_links_of_the_system_above_the_root_are_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "private").symlink_to("above/../above")
    (root.parent / "linked").symlink_to(root)
    Owners().check(f"{tmp_path}/private//linked/.", PARTS)
    root.chmod(0o777)
    assert refusal(tmp_path / "private" / "linked").startswith(f"{root} may be changed")


@ONLY_ROOT
def test_link_of_a_stranger_above_the_root_is_refused(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "data"
    link.symlink_to(root)
    os.lchown(link, NOBODY, NOBODY)
    assert refusal(link).startswith(f"{link} belongs to {STRANGER}")


def test_sticky_directory_may_stand_above_what_is_ours_only(root: Path) -> None:
    root.parent.chmod(0o1777)
    Owners().check(str(root), PARTS)
    root.chmod(0o1777)
    assert refusal(root).startswith(f"{root} may be changed by others")


@ONLY_ROOT
def test_directory_that_a_stranger_made_in_a_sticky_one_is_refused(root: Path) -> None:
    root.parent.chmod(0o1777)
    os.chown(root, NOBODY, NOBODY)
    assert refusal(root, []).startswith(f"{root} belongs to {STRANGER}")


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "Too many levels of symbolic links" in refusal(tmp_path / "a" / "root")


@ONLY_ROOT
def test_plain_user_trusts_what_is_roots(root: Path) -> None:
    for path in (root.parent.parent, *root.parents):
        if path.is_relative_to("/tmp/pytest-of-root"):
            path.chmod(0o755)
    assert as_user(NOBODY, lambda: Owners().check(str(root), PARTS)) is None


@ONLY_ROOT
def test_directory_that_cannot_be_looked_into_is_named(root: Path) -> None:
    root.parent.chmod(0o700)
    text = as_user(NOBODY, lambda: Owners().check(str(root), PARTS))
    assert text.startswith("CallFailed: ")
    assert "Permission denied; set mlx_root" in text


def test_user_who_is_named_has_to_exist() -> None:
    with pytest.raises(CallFailed, match="mlx_trust_owner: there is no user nosuchuser on this host"):
        Owners("nosuchuser")


def test_unfinished_things_may_have_any_mode_and_no_other_owner(root: Path) -> None:
    path = f"envs/{KEY}"
    (root / path).chmod(0o777)
    Owners().check(str(root), ["envs"], [path])
    if os.geteuid() == 0:
        os.chown(root / path, NOBODY, NOBODY)
        with pytest.raises(NotOurs, match=STRANGER):
            Owners().check(str(root), ["envs"], [path])


# -- the root


def test_root_is_for_its_user_alone(tmp_path: Path) -> None:
    owners = Owners()
    owners.make(str(tmp_path / "a" / "root"))
    owners.make(str(tmp_path / "a" / "root"))
    assert (tmp_path / "a" / "root").stat().st_mode & 0o777 == 0o700


@ONLY_ROOT
def test_root_that_a_plain_user_cannot_make_is_made_once_by_root(tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents):
        if path.is_relative_to("/tmp/pytest-of-root"):
            path.chmod(0o755)
    path = tmp_path / "mlxlaunch-ada"
    text = as_user(NOBODY, lambda: Owners().make(str(path)))
    assert text == (
        f"CallFailed: {path}: Permission denied; make it once (sudo install -d -m 700 -o {STRANGER} {path}), "
        "or set mlx_root to a directory that this user may write to, or become one who may"
    )


# -- programs that root runs


def program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "python3"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def by_owner(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def by_owner_of_its_directory(path: Path) -> None:
    os.chown(path.parent, NOBODY, NOBODY)


def by_mode(path: Path) -> None:
    path.chmod(0o775)


def by_mode_of_its_directory(path: Path) -> None:
    path.parent.chmod(0o777)


@ONLY_ROOT
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "behind a link"])
@pytest.mark.parametrize("change", [by_owner, by_owner_of_its_directory, by_mode, by_mode_of_its_directory])
def test_root_runs_no_program_that_others_can_change(tmp_path: Path, change: Callable[[Path], None], linked: bool) -> None:
    path = program(tmp_path / "opt" / "bin")
    (tmp_path / "link").symlink_to(path)
    named = str(tmp_path / "link" if linked else path)
    assert Owners().why_not_run(named) == ""
    change(path)
    text = Owners().why_not_run(named)
    assert str(path.parent) in text
    assert f"and root runs nothing such; name another program than {named}, or " in text
    assert "\n" not in text


@ONLY_ROOT
def test_named_users_programs_are_run_by_root(tmp_path: Path) -> None:
    path = program(tmp_path / "opt" / "bin")
    by_owner_of_its_directory(path)
    assert Owners(STRANGER).why_not_run(str(path)) == ""


@ONLY_ROOT
def test_plain_user_runs_what_he_likes(tmp_path: Path) -> None:
    path = program(tmp_path / "opt" / "bin")
    by_mode(path)
    assert as_user(1, lambda: Owners().why_not_run(str(path))) == ""


# -- cleaning up


@ONLY_ROOT
def test_own_is_what_this_user_owns(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.touch()
    other.touch()
    os.chown(other, NOBODY, NOBODY)
    assert [ownership.is_own(str(path)) for path in (mine, other, tmp_path / "none")] == [True, False, False]


def test_closed_tree_can_be_changed_by_nobody_else(tmp_path: Path) -> None:
    top = tmp_path / "env"
    path = program(top / "bin")
    path.chmod(0o777)
    (top / "bin").chmod(0o775)
    (top / "lib64").symlink_to(tmp_path)
    before = tmp_path.stat().st_mode
    ownership.close_tree(str(top))
    assert [each.stat().st_mode & 0o777 for each in (path, top / "bin")] == [0o755, 0o755]
    assert tmp_path.stat().st_mode == before


def test_held_directory_has_all_parts_that_lead_to_it() -> None:
    path = f"projects/{NAME}/{DIGEST}"
    assert ownership.parts_of_held(path) == ["projects", f"projects/{NAME}", path, f"projects/{NAME}/.{DIGEST}.lock"]


def test_looking_costs_next_to_nothing(root: Path) -> None:
    begun = time.process_time()
    for _each in range(100):
        Owners().check(str(root), PARTS)
    assert (time.process_time() - begun) / 100 < 0.01
