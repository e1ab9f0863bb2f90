"""The versions of a project on a host: whole or not at all, made from what is there already, and never taken from a job."""

from __future__ import annotations

import base64
import errno
import multiprocessing
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _folders, _manifest, _store, _versions
from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _lock as lock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils._versions import StoreError, prune, state
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._transfer import contents

RSYNC = shutil.which("rsync")
FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.skipif(not RSYNC, reason="no rsync here")


class Deploy:
    """A tree of files on the controller, and a host it is deployed to."""

    def __init__(self, top: Path) -> None:
        self.source = top / "source"
        self.root = top / "root"
        self.with_call = False  # whether contents come with the call
        self.source.mkdir()

    def write(self, path: str, text: str, mode: int = 0o644, mtime: int = 1_700_000_000) -> None:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(mode)
        os.utime(file, (mtime, mtime))

    def entries(self) -> list[_manifest.Entry]:
        found: list[_manifest.Entry] = _manifest.scan(str(self.source)).entries
        return found

    def digest(self) -> str:
        return str(_manifest.digest(self.entries()))

    def begin(self) -> dict[str, object]:
        entries = self.entries()
        begun: dict[str, object] = _store.begin(str(self.root), "demo", _manifest.digest(entries), _manifest.pack(entries))
        return begun

    def send(self, *options: str) -> str:
        """Send the files, as a deploy does; return the list of what was sent. Without --perms: modes are the commit's."""
        staging = self.version().staging
        command = [str(RSYNC), "-rlt", "--itemize-changes", *options, f"{self.source}/", f"{staging}/"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def receive(self) -> None:
        """Have the files come with the call, as what is little does."""
        where = (str(self.root), "demo", self.digest())
        _store.receive(*where, contents(self.source, _store.pending(*where)))

    def commit(self) -> dict[str, str]:
        done: dict[str, str] = _store.commit(str(self.root), "demo", self.digest())
        return done

    def deploy(self) -> Path:
        """Do the whole of it; return the version's directory."""
        if self.begin()["state"] == "begun":
            self.receive() if self.with_call else self.send()
            self.commit()
        return self.tree()

    def version(self, digest: str = "") -> _versions.Version:
        return _versions.Version(str(self.root), "demo", digest or self.digest())

    def tree(self) -> Path:
        return Path(self.version().tree)

    def state(self) -> str:
        return str(state(str(self.root), "demo", self.digest())["state"])

    def prune(self, keep: int, current: str = "") -> dict[str, object]:
        done: dict[str, object] = prune(str(self.root), "demo", keep, current or self.digest())
        return done

    def folder(self) -> list[str]:
        """Return what is in the project's directory, but for locks."""
        return sorted(path.name for path in (self.root / "projects" / "demo").iterdir() if not path.name.endswith(".lock"))


@pytest.fixture
def deploy(tmp_path: Path) -> Iterator[Deploy]:
    deploy = Deploy(tmp_path)
    deploy.write("train.py", "print('hello')\n")
    deploy.write("tools/-rf", "#!/bin/sh\n", 0o755)
    deploy.write("a\nb/über", "text")
    deploy.write("tools/locked", "read only", 0o444)
    (deploy.source / "empty").mkdir(mode=0o750)
    (deploy.source / "closed").mkdir()
    deploy.write("closed/in", "in a directory that nobody may write to")
    (deploy.source / "closed").chmod(0o555)
    (deploy.source / "latest").symlink_to("tools/-rf")
    yield deploy
    for transfer in list(_store._OPEN.values()):
        transfer.end()
    _store._OPEN.clear()


@pytest.mark.parametrize("with_call", [False, True])
def test_first_deploy_brings_everything_and_the_second_has_nothing_to_do(deploy: Deploy, with_call: bool) -> None:
    assert deploy.state() == "absent"
    assert not deploy.root.exists()
    old = os.umask(0o077)
    try:
        begun = deploy.begin()
        deploy.receive() if with_call else deploy.send()
        done = deploy.commit()
    finally:
        os.umask(old)
    assert (begun["state"], begun["send"], begun["reused"]) == ("begun", 5, 0)
    assert done == {"path": str(deploy.tree()), "aside": ""}
    assert _manifest.compare(deploy.entries(), _manifest.scan(str(deploy.tree())).entries) == ([], [], [])
    assert (deploy.tree() / "train.py").stat().st_mtime == 1_700_000_000
    assert deploy.state() == "present"
    assert deploy.begin() == {"state": "present", "path": str(deploy.tree())}
    assert deploy.folder() == [f".{deploy.tree().name}.json", deploy.tree().name]
    for path in (deploy.root, deploy.root / "projects", deploy.tree().parent, deploy.tree()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert stat.S_IMODE(Path(deploy.version().record).stat().st_mode) == 0o644


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
    with mock.patch.object(_manifest, "hash_file", side_effect=AssertionError):
        assert state(str(deploy.root), "demo", digest)["state"] == "present"


def test_unchanged_files_are_shared_and_only_changed_ones_are_sent(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "print('hello again')\n")
    begun = deploy.begin()
    assert (begun["send"], begun["bytes"], begun["reused"]) == (1, 21, 4)
    assert _store.pending(str(deploy.root), "demo", deploy.digest()) == ["train.py"]
    assert [line.split(" ", 1)[1] for line in deploy.send().splitlines() if line.startswith(">f")] == ["train.py"]
    deploy.commit()
    second = deploy.tree()
    assert second != first
    assert (first / "closed" / "in").samefile(second / "closed" / "in")
    assert (first / "train.py").read_text() == "print('hello')\n"
    assert state(str(deploy.root), "demo", first.name)["state"] == "present"
    assert deploy.state() == "present"


def test_commit_reads_only_what_is_not_shared(deploy: Deploy) -> None:
    deploy.deploy()
    deploy.write("train.py", "print('hello again')\n")
    deploy.begin()
    deploy.send()
    digest = deploy.digest()
    with mock.patch.object(_manifest, "hash_file", wraps=_manifest.hash_file) as read:
        _store.commit(str(deploy.root), "demo", digest)
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


def test_file_that_changed_on_its_way_is_named_and_nothing_is_put_in_place(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "second")
    digest = deploy.digest()
    deploy.begin()
    deploy.send()
    staging = Path(deploy.version().staging)
    (staging / "train.py").write_text("SECOND")
    (staging / "empty").rmdir()
    with pytest.raises(_store.Mismatch, match=r"changed meanwhile: train.py \(content\), empty \(missing\)$"):
        _store.commit(str(deploy.root), "demo", digest)
    assert not deploy.tree().exists()
    _store.abort(str(deploy.root), "demo", digest)
    assert deploy.folder() == [f".{first.name}.json", first.name]
    deploy.deploy()
    assert deploy.state() == "present"


def test_transfer_can_be_continued_after_a_mismatch(deploy: Deploy) -> None:
    deploy.begin()
    with pytest.raises(_store.Mismatch, match="missing"):
        deploy.commit()
    deploy.send()
    deploy.commit()
    assert deploy.state() == "present"


def test_content_that_came_with_a_call_is_held_to_the_digest_and_can_be_sent_again(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "second")
    deploy.begin()
    where = (str(deploy.root), "demo", deploy.digest())
    _store.receive(*where, {"train.py": base64.b64encode(b"SECOND").decode()})
    with pytest.raises(_store.Mismatch, match=r"changed meanwhile: train.py \(content\)$"):
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
    _store.receive(*where, evil)
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


def edit_content(tree: Path) -> None:
    (tree / "train.py").write_text("print('howdy')\n")


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
def test_version_edited_by_hand_is_noticed_kept_aside_and_made_again(deploy: Deploy, edit: Callable[[Path], None]) -> None:
    tree = deploy.deploy()
    (tree / "result").write_text("of a job")
    edit(tree)
    wrong = "latest" if edit is edit_link else "train.py"
    assert state(str(deploy.root), "demo", deploy.digest()) == {"state": "edited", "path": str(tree), "edited": [wrong]}
    before = _manifest.scan(str(tree)).entries
    deploy.begin()
    deploy.send()
    aside = Path(deploy.commit()["aside"])
    assert deploy.state() == "present"
    assert aside.name.startswith(f"{tree.name}.edited-2")
    assert _manifest.scan(str(aside)).entries == before
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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": 1, "entries": {}, "inodes": []}', "\xff"])
def test_record_that_is_broken_counts_as_none_and_is_written_again(deploy: Deploy, text: str) -> None:
    tree = deploy.deploy()
    Path(deploy.version().record).write_text(text)
    assert deploy.state() == "absent"
    inode = tree.stat().st_ino
    assert deploy.begin()["state"] == "present"
    assert deploy.state() == "present"
    assert tree.stat().st_ino == inode


STEPS = ("mkdir", "link", "symlink", "chmod", "utime", "rename", "replace", "unlink", "rmdir")


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
    _folders._write = counting(_folders._write)
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
    shutil.copytree(deploy.root, good, symlinks=True, copy_function=os.link)
    exitcode, step = 9, 0
    while exitcode:
        step += 1
        deploy.root.rename(deploy.root.with_name(f"gone{step}"))
        shutil.copytree(good, deploy.root, symlinks=True, copy_function=os.link)
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
        _folders.remove_tree(str(deploy.root.with_name(f"gone{step}")))
    assert step > 15


def deploy_in_turn(deploy: Deploy, start: object, told: object) -> None:
    start.wait(60)  # type: ignore[attr-defined]
    entries = deploy.entries()
    begun = _store.begin(str(deploy.root), "demo", deploy.digest(), _manifest.pack(entries), told.put)  # type: ignore[attr-defined]
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
    fd = os.dup(_store._OPEN[str(begun["path"])]._fd)  # another process's hold on it
    with pytest.raises(Stop, match=rf"^waiting for another deploy of {begun['path']} \(process {os.getpid()}\)$"):
        lock.exclusive(begun["path"], progress)
    os.close(fd)


def test_lock_is_free_again_after_commit_abort_and_failure(deploy: Deploy) -> None:
    deploy.begin()
    _store.abort(str(deploy.root), "demo", deploy.digest())
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
    _store.abort(str(deploy.root), "demo", deploy.digest())
    with pytest.raises(FileNotFoundError):
        lock.hold(str(deploy.tree()))
    with pytest.raises(FileNotFoundError):
        lock.hold(str(deploy.root / "nothing" / "here"))


def make_versions(deploy: Deploy, count: int) -> list[Path]:
    """Deploy so many versions; return them, the oldest first."""
    trees = []
    for at in range(count):
        deploy.write("train.py", f"version {at}")
        trees.append(deploy.deploy())
        os.utime(_versions.Version(str(deploy.root), "demo", trees[-1].name).record, (at, at))
    return trees


def test_prune_removes_the_oldest_and_nothing_of_the_others(deploy: Deploy) -> None:
    trees = make_versions(deploy, 5)
    assert deploy.prune(2) == {"removed": [trees[1].name, trees[0].name], "kept": {}}
    assert [tree.exists() for tree in trees] == [False, False, True, True, True]
    assert not [path for path in trees[0].parent.iterdir() if trees[0].name in path.name]
    assert all(state(str(deploy.root), "demo", tree.name)["state"] == "present" for tree in trees[2:])
    assert deploy.prune(2) == {"removed": [], "kept": {}}


def test_prune_spares_the_current_one_however_old(deploy: Deploy) -> None:
    trees = make_versions(deploy, 3)
    assert deploy.prune(0, trees[0].name)["removed"] == [trees[2].name, trees[1].name]
    assert trees[0].exists()


def test_prune_spares_what_jobs_use_and_what_they_and_others_wrote(deploy: Deploy) -> None:
    held, wrote, edited, python, _current = trees = make_versions(deploy, 5)
    fd = lock.hold(str(held))
    (wrote / "empty" / "checkpoint").write_text("x")
    edit_content(edited)
    (python / "__pycache__").mkdir()
    (python / "__pycache__" / "train.cpython-312.pyc").write_text("x")
    (python / ".DS_Store").write_text("x")
    assert deploy.prune(0) == {
        "removed": [python.name],
        "kept": {held.name: "in use", wrote.name: "holds what a job has written: empty/checkpoint", edited.name: "edited by hand"},
    }
    assert [tree.exists() for tree in trees] == [True, True, True, False, True]
    os.close(fd)
    assert deploy.prune(0)["removed"] == [held.name]


def test_prune_removes_what_broken_transfers_left_but_no_transfer(deploy: Deploy) -> None:
    deploy.deploy()
    deploy.write("train.py", "never finished")
    deploy.begin()
    staging = Path(deploy.version().staging)
    deploy.prune(2)
    assert staging.exists()
    os.close(_store._OPEN.pop(str(deploy.tree()))._fd)  # as if its process were gone
    deploy.prune(2)
    assert not staging.exists()
    assert not [path for path in staging.parent.iterdir() if deploy.tree().name in path.name]


def test_prune_of_nothing_is_no_error(deploy: Deploy) -> None:
    assert prune(str(deploy.root), "demo", 2, "") == {"removed": [], "kept": {}}


@pytest.mark.parametrize("name", ["-rf", "..", ".hidden", "a/b", "", "a b", "a\n", "über", "x" * 101])
def test_name_that_is_no_safe_directory_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be the name of a project"):
        state(str(tmp_path), name, "0" * 64)


def test_digest_that_is_none_is_refused(tmp_path: Path, deploy: Deploy) -> None:
    with pytest.raises(StoreError, match="'../x' is not a digest"):
        state(str(tmp_path), "demo", "../x")
    with pytest.raises(StoreError, match="does not have the digest"):
        _store.begin(str(tmp_path), "demo", "0" * 64, _manifest.pack(deploy.entries()))


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

    with mock.patch.object(os, "write", full), pytest.raises(OSError, match="No space left on device: '.*/.part-.*/train.py'"):
        deploy.begin()
    assert deploy.folder() == [f".{first.name}.json", first.name]
    deploy.begin()
    deploy.send()
    digest = deploy.digest()
    with mock.patch.object(os, "write", full), pytest.raises(OSError, match=r"No space left on device: '.*\.json'"):
        _store.commit(str(deploy.root), "demo", digest)
    _store.abort(str(deploy.root), "demo", digest)
    assert deploy.begin()["state"] == "present"


def test_file_system_without_hard_links_gets_copies(deploy: Deploy) -> None:
    first = deploy.deploy()
    deploy.write("train.py", "second")
    with mock.patch.object(os, "link", side_effect=OSError(errno.EPERM, "Operation not permitted")):
        assert deploy.begin()["send"] == 1
    deploy.send()
    deploy.commit()
    assert not (first / "closed" / "in").samefile(deploy.tree() / "closed" / "in")
    assert deploy.state() == "present"
