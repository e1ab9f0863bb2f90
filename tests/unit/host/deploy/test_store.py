"""The versions of a project on a host: whole or not at all, made from what is there already, and never taken from a job."""

from __future__ import annotations

import base64
import errno
import mmap
import multiprocessing
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import store
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.removal import remove_tree
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.versions import StoreError, state
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock as lock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import folders, manifest
from tests.unit.project_deploy import RSYNC, Deploy, edit_content

FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.skipif(not RSYNC, reason="no rsync here")


@pytest.mark.parametrize("umask", [0o077, 0])
@pytest.mark.parametrize("with_call", [False, True])
def test_first_deploy_sends_all_and_the_second_nothing(deploy: Deploy, with_call: bool, umask: int) -> None:
    assert deploy.state() == "absent"
    assert not deploy.root.exists()
    old = os.umask(umask)
    try:
        begun = deploy.begin()
        deploy.receive() if with_call else deploy.send()
        done = deploy.commit()
    finally:
        os.umask(old)
    assert (begun["state"], begun["send"], begun["reused"]) == ("begun", 5, 0)
    assert done == {"path": str(deploy.tree()), "aside": ""}
    assert manifest.compare(deploy.entries(), manifest.scan(str(deploy.tree())).entries) == ([], [], [])
    assert (deploy.tree() / "train.py").stat().st_mtime == 1_700_000_000
    assert deploy.state() == "present"
    assert deploy.begin() == {"state": "present", "path": str(deploy.tree())}
    assert deploy.folder() == [f".{deploy.tree().name}.json", deploy.tree().name]
    assert stat.S_IMODE(deploy.root.stat().st_mode) == 0o755
    for path in (deploy.root / "projects", deploy.tree().parent, deploy.tree()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for file in (deploy.version().record, lock.lock_path(str(deploy.tree()))):
        assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600


def test_sending_modes_too_does_no_harm(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "print('hello')\n", 0o600)
    deploy.write("tools/locked", "no more", 0o444)
    deploy.begin()
    deploy.send("--perms")
    deploy.commit()
    assert deploy.state() == "present"
    assert state(str(deploy.root), "demo", first.name)["state"] == "present"


def test_version_that_is_there_is_not_read(deploy: Deploy) -> None:
    deploy.deploy()
    digest = deploy.digest()
    with mock.patch.object(manifest, "hash_file", side_effect=AssertionError):
        assert state(str(deploy.root), "demo", digest)["state"] == "present"


@pytest.mark.parametrize("small", [store.SMALL, -1], ids=["small", "large"])
def test_unchanged_files_are_copied_and_changed_ones_sent(deploy: Deploy, monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    monkeypatch.setattr(store, "SMALL", small)
    first = deploy.deploy()
    deploy.write("train.py", "print('hello again')\n")
    begun = deploy.begin()
    assert (begun["send"], begun["bytes"], begun["reused"]) == (1, 21, 4)
    assert store.pending(str(deploy.root), "demo", deploy.digest()) == ["train.py"]
    assert [line.split(" ", 1)[1] for line in deploy.send().splitlines() if line.startswith(">f")] == ["train.py"]
    deploy.commit()
    second = deploy.tree()
    assert second != first
    assert_shares_nothing(first, second)
    assert (first / "train.py").read_text() == "print('hello')\n"
    assert state(str(deploy.root), "demo", first.name)["state"] == "present"
    assert deploy.state() == "present"


def test_commit_reads_only_what_is_new(deploy: Deploy) -> None:
    deploy.deploy()
    deploy.write("train.py", "print('hello again')\n")
    deploy.begin()
    deploy.send()
    digest = deploy.digest()
    with mock.patch.object(manifest, "hash_file", wraps=manifest.hash_file) as read:
        store.commit(str(deploy.root), "demo", digest)
    assert [call.args[1] for call in read.call_args_list] == ["train.py"]


@pytest.mark.parametrize(("mode", "mtime"), [(0o755, 1_700_000_000), (0o644, 1_700_000_001)], ids=["mode", "time"])
def test_other_mode_or_time_leaves_the_earlier_version_alone(deploy: Deploy, mode: int, mtime: int) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "print('hello')\n", mode, mtime)
    deploy.write("new", "so that it is another version")
    assert deploy.begin()["send"] == 1
    assert "train.py" not in deploy.send()
    deploy.commit()
    old, new = (first / "train.py").stat(), (deploy.tree() / "train.py").stat()
    assert (stat.S_IMODE(old.st_mode), old.st_mtime) == (0o644, 1_700_000_000)
    assert (stat.S_IMODE(new.st_mode), new.st_mtime) == (mode, mtime)
    assert old.st_ino != new.st_ino


def test_changed_file_is_sent_as_a_difference(deploy: Deploy) -> None:
    block = "".join(f"{n:07}\n" for n in range(100_000))
    deploy.write("data", block)
    deploy.deploy()
    deploy.write("data", block.replace("0050000", "changed"))
    deploy.begin()
    said = deploy.send("--stats", "--no-whole-file")
    [literal] = [line for line in said.splitlines() if line.startswith("Literal data")]
    assert int(literal.split()[2].replace(",", "")) < 20_000
    deploy.commit()
    assert "changed" in (deploy.tree() / "data").read_text()


def test_change_that_keeps_size_and_time_is_sent(deploy: Deploy) -> None:
    deploy.deploy()
    deploy.write("train.py", "print('HELLO')\n")
    assert deploy.begin()["send"] == 1
    deploy.send()
    deploy.commit()
    assert (deploy.tree() / "train.py").read_text() == "print('HELLO')\n"


def test_renamed_file_is_not_sent_again(deploy: Deploy) -> None:
    deploy.deploy()
    (deploy.source / "train.py").rename(deploy.source / "tools" / "learn.py")
    assert deploy.begin()["send"] == 0
    deploy.commit()
    assert (deploy.tree() / "tools" / "learn.py").read_text() == "print('hello')\n"


def test_back_to_an_earlier_version_needs_nothing(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "other")
    deploy.deploy()
    deploy.write("train.py", "print('hello')\n")
    assert deploy.begin() == {"state": "present", "path": str(first)}


def test_file_that_changed_on_its_way_is_named_and_not_used(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "second")
    digest = deploy.digest()
    deploy.begin()
    deploy.send()
    staging = Path(deploy.version().staging)
    (staging / "train.py").write_text("SECOND")
    (staging / "empty").rmdir()
    with pytest.raises(store.Mismatch, match=r"changed meanwhile: train.py \(content\), empty \(missing\)$"):
        store.commit(str(deploy.root), "demo", digest)
    assert not deploy.tree().exists()
    store.abort(str(deploy.root), "demo", digest)
    assert deploy.folder() == [f".{first.name}.json", first.name]
    deploy.deploy()
    assert deploy.state() == "present"


def test_transfer_can_be_continued_after_a_mismatch(deploy: Deploy) -> None:
    deploy.begin()
    with pytest.raises(store.Mismatch, match="missing"):
        deploy.commit()
    deploy.send()
    deploy.commit()
    assert deploy.state() == "present"


def test_content_of_a_call_is_held_to_the_digest(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "second")
    deploy.begin()
    where = (str(deploy.root), "demo", deploy.digest())
    store.receive(*where, {"train.py": base64.b64encode(b"SECOND").decode()})
    with pytest.raises(store.Mismatch, match=r"changed meanwhile: train.py \(content\)$"):
        deploy.commit()
    assert not deploy.tree().exists()
    assert (first / "train.py").read_text() == "print('hello')\n"
    deploy.receive()
    deploy.commit()
    assert (deploy.tree() / "train.py").read_text() == "second"
    assert deploy.state() == "present"


def test_only_what_is_missing_can_come_with_a_call(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "second")
    deploy.begin()
    where = (str(deploy.root), "demo", deploy.digest())
    evil = dict.fromkeys(["train.py", "tools/-rf", "../escaped"], base64.b64encode(b"second").decode())
    store.receive(*where, evil)
    deploy.commit()
    assert (first / "tools/-rf").read_text() == (deploy.tree() / "tools/-rf").read_text() == "#!/bin/sh\n"
    assert not (deploy.tree().parent / "escaped").exists()


def test_what_was_sent_beyond_the_project_is_removed(deploy: Deploy) -> None:
    deploy.begin()
    deploy.send()
    staging = Path(deploy.version().staging)
    (staging / "closed").chmod(0o755)
    (staging / "closed" / ".in.Xy12").write_text("left by an rsync")
    (staging / "more" / "files").mkdir(parents=True)
    deploy.commit()
    assert not (deploy.tree() / "more").exists()
    assert [path.name for path in (deploy.tree() / "closed").iterdir()] == ["in"]


STEPS = ("mkdir", "symlink", "chmod", "utime", "rename", "replace", "unlink", "rmdir")


def deploy_until_step(deploy: Deploy, last: int) -> None:
    """Deploy, and die as by SIGKILL before the step of that number; end with 0 when there was none."""
    count = 0

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            if count == last:
                os._exit(9)
            return real(*args, **kwargs)

        return step

    for name in STEPS:
        setattr(os, name, counting(getattr(os, name)))
    store.copy_file = counting(store.copy_file)  # type: ignore[assignment]
    folders.write_all = counting(folders.write_all)
    deploy.deploy()
    os._exit(0)


@pytest.mark.parametrize("with_call", [False, True], ids=["rsync", "with the call"])
@pytest.mark.parametrize("edited", [False, True], ids=["new version", "edited version"])
def test_deploy_that_dies_at_any_step_leaves_the_old_or_the_new(deploy: Deploy, edited: bool, with_call: bool) -> None:
    first = deploy.deploy()
    deploy.with_call = with_call
    if edited:
        edit_content(first)
    else:
        deploy.write("train.py", "second")
        deploy.write("tools/-rf", "#!/bin/sh\n", 0o700)
    allowed = {"edited", "absent", "present"} if edited else {"absent", "present"}
    good = deploy.root.with_name("good")
    shutil.copytree(deploy.root, good, symlinks=True)
    exitcode, step = 9, 0
    while exitcode:
        step += 1
        deploy.root.rename(deploy.root.with_name(f"gone{step}"))
        shutil.copytree(good, deploy.root, symlinks=True)
        process = FORK.Process(target=deploy_until_step, args=(deploy, step))
        process.start()
        process.join(60)
        exitcode = process.exitcode or 0
        assert exitcode in {0, 9}
        assert deploy.state() in allowed
        if not edited:
            assert state(str(deploy.root), "demo", first.name)["state"] == "present"
        deploy.deploy()
        assert deploy.state() == "present"
        deploy.prune(9)
        names = [name for name in deploy.folder() if ".edited-" not in name]
        trees = {first.name, deploy.tree().name}
        assert names == sorted([*trees, *(f".{name}.json" for name in trees)])
        remove_tree(str(deploy.root.with_name(f"gone{step}")))
    assert step > 15


def deploy_in_turn(deploy: Deploy, start: object, told: object) -> None:
    start.wait(60)  # type: ignore[attr-defined]
    entries = deploy.entries()
    begun = store.begin(str(deploy.root), "demo", deploy.digest(), manifest.pack(entries), told.put)  # type: ignore[attr-defined]
    if begun["state"] == "begun":
        deploy.send()
        deploy.commit()
    told.put(begun["state"])  # type: ignore[attr-defined]


def test_two_deploys_at_the_same_time_make_one_version(deploy: Deploy) -> None:
    start, told = FORK.Barrier(2), FORK.SimpleQueue()
    both = [FORK.Process(target=deploy_in_turn, args=(deploy, start, told)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    said = []
    while not told.empty():
        said.append(told.get())
    assert [process.exitcode for process in both] == [0, 0]
    assert sorted(word for word in said if not word.startswith("waiting")) == ["begun", "present"]
    assert deploy.state() == "present"
    assert deploy.folder() == [f".{deploy.tree().name}.json", deploy.tree().name]


def test_deploy_waits_for_another_and_says_so(deploy: Deploy) -> None:
    class Stop(Exception):
        pass

    def progress(text: str) -> None:
        raise Stop(text)

    begun = deploy.begin()
    fd = os.dup(store._OPEN[str(begun["path"])]._fd)  # another process's hold on it
    with pytest.raises(Stop, match=rf"^waiting for another deploy of {begun['path']} \(process {os.getpid()}\)$"):
        lock.exclusive(begun["path"], progress)
    os.close(fd)


def test_lock_is_free_again_after_commit_abort_and_failure(deploy: Deploy) -> None:
    deploy.begin()
    store.abort(str(deploy.root), "demo", deploy.digest())
    with mock.patch.object(os, "symlink", side_effect=OSError(errno.EIO, "Input/output error")), pytest.raises(OSError, match="Input"):
        deploy.begin()
    assert deploy.folder() == []
    os.close(lock.try_exclusive(str(deploy.tree())))
    deploy.deploy()
    fd = lock.hold(str(deploy.tree()))
    assert fd >= 0
    os.close(fd)


def test_begin_twice_in_one_process_starts_afresh(deploy: Deploy) -> None:
    deploy.begin()
    deploy.send()
    assert deploy.begin()["send"] == 5
    deploy.send()
    deploy.commit()
    assert deploy.state() == "present"


def test_edited_version_is_not_taken_from_a_running_job(deploy: Deploy) -> None:
    tree = deploy.deploy()
    fd = lock.hold(str(tree))
    assert deploy.begin()["state"] == "present"
    edit_content(tree)
    with pytest.raises(lock.InUse, match=rf"^{tree} is used by a running job; end it"):
        deploy.begin()
    os.close(fd)
    assert deploy.begin()["state"] == "begun"


def test_hold_refuses_what_is_not_there_or_in_the_making(deploy: Deploy) -> None:
    deploy.begin()
    with pytest.raises(lock.InUse, match="a deploy is at work on it"):
        lock.hold(str(deploy.tree()))
    store.abort(str(deploy.root), "demo", deploy.digest())
    with pytest.raises(FileNotFoundError):
        lock.hold(str(deploy.tree()))
    with pytest.raises(FileNotFoundError):
        lock.hold(str(deploy.root / "nothing" / "here"))


@pytest.mark.parametrize("name", ["-rf", "..", ".hidden", "a/b", "", "a b", "a\n", "über", "x" * 101])
def test_name_that_is_no_safe_directory_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be the name of a project"):
        state(str(tmp_path), name, "0" * 64)


def test_digest_that_is_none_is_refused(tmp_path: Path, deploy: Deploy) -> None:
    with pytest.raises(StoreError, match="'../x' is not a digest"):
        state(str(tmp_path), "demo", "../x")
    with pytest.raises(StoreError, match="does not have the digest"):
        store.begin(str(tmp_path), "demo", "0" * 64, manifest.pack(deploy.entries()))


def test_root_that_cannot_be_made_is_named(deploy: Deploy) -> None:
    deploy.root.write_text("a file")
    with pytest.raises(OSError, match=str(deploy.root)):
        deploy.begin()


def test_full_disk_names_the_path_and_leaves_what_was_there(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "second")
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    with (
        mock.patch.object(os, "write", full),
        mock.patch.object(os, "copy_file_range", side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), create=True),
        pytest.raises(OSError, match="No space left on device: '.*/.part-.*'"),
    ):
        deploy.begin()
    assert deploy.folder() == [f".{first.name}.json", first.name]
    deploy.begin()
    deploy.send()
    digest = deploy.digest()
    with mock.patch.object(os, "write", full), pytest.raises(OSError, match=r"No space left on device: '.*\.json'"):
        store.commit(str(deploy.root), "demo", digest)
    store.abort(str(deploy.root), "demo", digest)
    assert deploy.begin()["state"] == "present"


def assert_shares_nothing(first: Path, second: Path) -> None:
    """Two versions have no file in common, by whatever name."""
    inodes = [{path.stat().st_ino for path in tree.rglob("*") if path.is_file() and not path.is_symlink()} for tree in (first, second)]
    assert inodes[0]
    assert inodes[1]
    assert not inodes[0] & inodes[1]


def append(file: Path) -> None:
    with file.open("a") as out:
        out.write("more\n")


def overwrite_and_keep_the_time(file: Path) -> None:
    before = file.stat()
    with file.open("r+b") as out:
        out.write(b"#")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def map_and_write(file: Path) -> None:
    with file.open("r+b") as out, mmap.mmap(out.fileno(), 0) as view:
        view[0] = 35


JOBS = [append, overwrite_and_keep_the_time, map_and_write, lambda file: file.write_text(""), lambda file: file.chmod(0o600)]


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("edited", ["first", "second"])
def test_job_that_writes_changes_no_other_version(deploy: Deploy, job: Callable[[Path], None], edited: str) -> None:
    trees = {"first": deploy.deploy()}
    deploy.write("train.py", "second")
    trees["second"] = deploy.deploy()
    for path in ("a\nb/über", "closed/in", "tools/-rf"):
        job(trees[edited] / path)
    states = {name: state(str(deploy.root), "demo", tree.name)["state"] for name, tree in trees.items()}
    assert states == {"first": "present", "second": "present"} | {edited: "edited"}


@pytest.mark.parametrize("job", JOBS)
def test_file_that_a_job_has_changed_is_not_taken(deploy: Deploy, job: Callable[[Path], None]) -> None:
    first = deploy.deploy()
    job(first / "a\nb/über")
    deploy.write("train.py", "second")
    assert "a\nb/über" in deploy.begin_and_send()
    deploy.commit()
    assert (deploy.tree() / "a\nb/über").read_text() == "text"
    assert deploy.state() == "present"


@pytest.mark.parametrize(("copies", "small"), [("read_all", store.SMALL), ("copy_file", -1)], ids=["small", "large"])
def test_file_that_changes_while_it_is_copied_is_not_taken(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, copies: str, small: int
) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "second")
    real = getattr(store, copies)

    def copy(source: bytes, *how: Any) -> Any:
        if source.endswith("über".encode()):
            append(first / "a\nb/über")
        return real(source, *how)

    monkeypatch.setattr(store, copies, copy)
    monkeypatch.setattr(store, "SMALL", small)
    assert "a\nb/über" in deploy.begin_and_send()
    deploy.commit()
    assert (deploy.tree() / "a\nb/über").read_text() == "text"


def test_version_whose_files_have_other_names_is_made_again(deploy: Deploy) -> None:
    """As versions were once made: what is written under the other name would be in this one too."""
    tree = deploy.deploy()
    other = deploy.root / "other"
    os.link(tree / "train.py", other)
    Path(deploy.version().record).unlink()
    begun = deploy.begin()
    assert begun["state"] == "begun"
    deploy.send()
    deploy.commit()
    assert not (deploy.tree() / "train.py").samefile(other)


@pytest.mark.parametrize("bits", [0o4000, 0o2000, 0o1000])
def test_special_bits_that_arrive_are_taken_away(deploy: Deploy, bits: int) -> None:
    deploy.begin()
    deploy.send()
    file = Path(deploy.version().staging) / "tools/-rf"
    file.chmod(0o755 | bits)
    deploy.commit()
    assert stat.S_IMODE((deploy.tree() / "tools/-rf").stat().st_mode) == 0o755


def test_file_system_without_permissions_is_named(deploy: Deploy) -> None:
    deploy.begin()
    deploy.receive()
    (Path(deploy.version().staging) / "train.py").chmod(0o755)
    with pytest.raises(store.Mismatch, match=r"its file system keeps no permissions; set mlx_root \(--root\) to one that does$"):
        deploy.commit()
