"""The calls of a deploy, on a host with a root of its own."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import environment, environment_copy
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.handlers import FUNCTIONS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import flock
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import atomic_file, manifest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.transfer import contents
from tests.support.users import NOBODY, ONLY_ROOT, as_user
from tests.unit.local_agent import LocalHost
from tests.unit.project_deploy import Deploy

BASE = sys._base_executable  # type: ignore[attr-defined]
KEY = "0123456789abcdef"
DAYS = 2 * 24 * 3600.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be another user for access to files; os.access goes by the real one."""
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def host() -> LocalHost:
    return LocalHost(FUNCTIONS)


def copy_spec(root: Path) -> dict[str, Any]:
    return {"root": str(root), "key": KEY, "source": "/ctl/env", "base": BASE, "version": "3.0.0", "digest": ""}


# -- the handshake


def test_handshake_sets_the_lease_and_has_the_facts(host: LocalHost, root: Path) -> None:
    facts = host.call("hello", lease=7.0, roots=[str(root)], environment=None)
    assert host.lease == 7.0
    assert (facts["system"], facts["machine"]) == (os.uname().sysname, os.uname().machine)
    assert facts["script"] is False
    assert "python" not in facts


@pytest.mark.parametrize(
    ("beside", "there"),
    [({}, True), ({"helper.py": "help"}, True), ({"helper.py": "other"}, False), ({"pkg/missing.py": "x"}, False)],
)
def test_script_is_there_with_all_that_goes_with_it(host: LocalHost, tmp_path: Path, beside: dict[str, str], there: bool) -> None:
    def sha256(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    (tmp_path / "train.py").write_text("train")
    (tmp_path / "helper.py").write_text("help")
    asked = {f"{tmp_path}/{name}": sha256(text) for name, text in beside.items()}
    script = {"path": str(tmp_path / "train.py"), "sha256": sha256("train"), "beside": asked}
    assert host.call("hello", lease=7.0, roots=[], environment=None, script=script)["script"] is there


def test_rsync_is_looked_for_in_the_path(host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    rsync = tmp_path / "rsync"
    found = []
    for mode in (None, 0o644, 0o755):
        if mode:
            rsync.touch()
            rsync.chmod(mode)
        found.append(host.call("hello", lease=7.0, roots=[], environment=None)["rsync"])
    assert found == [False, False, True]


def test_script_is_here_with_the_same_content_only(host: LocalHost, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("pass\n")
    same, other = (hashlib.sha256(text).hexdigest() for text in (b"pass\n", b"fail\n"))
    asked = [{"path": str(script), "sha256": same}, {"path": str(script), "sha256": other}, {"path": f"{script}.old", "sha256": same}]
    assert [host.call("hello", lease=7.0, roots=[], environment=None, script=one)["script"] for one in asked] == [True, False, False]


@ONLY_ROOT
def test_script_that_a_stranger_can_change_is_not_here(host: LocalHost, tmp_path: Path) -> None:
    script = tmp_path / "job" / "train.py"
    script.parent.mkdir()
    script.write_text("pass\n")
    asked = {"path": str(script), "sha256": hashlib.sha256(b"pass\n").hexdigest()}

    def is_here(**more: Any) -> bool:
        return bool(host.call("hello", lease=7.0, roots=[], environment=None, script=asked, **more)["script"])

    assert is_here()
    for path in (script, script.parent):
        os.chown(path, NOBODY, NOBODY)
        assert not is_here()
        assert is_here(trust_owner=pwd.getpwuid(NOBODY).pw_name)
        os.chown(path, 0, 0)
        path.chmod(path.stat().st_mode | 0o002)
        assert not is_here()
        path.chmod(path.stat().st_mode & ~0o022)
    assert is_here()


@ONLY_ROOT
def test_base_interpreter_named_by_a_strangers_record_is_not_used(host: LocalHost, root: Path) -> None:
    env = root / "envs" / KEY
    (env / "bin").mkdir(parents=True)
    (env / "bin" / "python").symlink_to(BASE)
    record = {"asked": ["sha", BASE], "base_mark": environment.base_mark(str(env)), "base": {"path": BASE, "version": "9.9.9"}}
    (env / ".mlxlaunch.json").write_text(json.dumps(record))

    def version() -> str:
        asked = {"wanted": BASE, "lock": "sha"}
        return str(host.call("hello", lease=7.0, roots=[str(root)], environment=asked)["python"]["version"])

    assert version() == "9.9.9"
    for part in (root, env, env / ".mlxlaunch.json"):
        os.chown(part, NOBODY, NOBODY)
        assert version() == ".".join(map(str, sys.version_info[:3]))
        os.chown(part, 0, 0)


def test_base_interpreter_is_found_with_the_handshake(host: LocalHost, root: Path) -> None:
    facts = host.call("hello", lease=7.0, roots=[str(root)], environment={"wanted": BASE, "lock": "sha"})
    assert facts["python"]["wanted"] == BASE
    assert facts["python"]["version"] == ".".join(map(str, sys.version_info[:3]))


def test_base_interpreter_that_is_not_here_fails_the_call(host: LocalHost, root: Path) -> None:
    with pytest.raises(CallFailed, match="/nowhere/python"):
        host.call("hello", lease=7.0, roots=[str(root)], environment={"wanted": "/nowhere/python", "lock": "sha"})


def test_state_is_that_of_the_parts_asked_for(host: LocalHost, root: Path) -> None:
    where = {"root": str(root), "key": "", "name": "", "digest": "", "share": "private"}
    assert host.call("look", **where) == {"shared": True}
    assert host.call("look", **where | {"key": KEY}) == {"shared": True, "environment": "absent", "environment_digest": ""}
    project = host.call("look", **where | {"name": "demo", "digest": "0" * 64})
    assert project == {"shared": True, "project": "absent", "edited": [], "extra": []}


# -- environments


def test_environment_has_the_digest_of_its_record(host: LocalHost, root: Path) -> None:
    path = root / "envs" / KEY
    path.mkdir(parents=True)
    (path / ".mlxlaunch.json").write_text('{"digest": "sha"}')
    assert host.call("environment_digest", root=str(root), key=KEY) == "sha"


def test_build_that_fails_is_the_failure_of_the_call(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spec = {"root": str(tmp_path / "file"), "key": KEY, "python": BASE, "lock": "", "wheels": "", "index_url": ""}
    with pytest.raises(CallFailed, match=f"environment {tmp_path}/file/envs/{KEY} cannot be made"):
        host.call("build", **spec)


def test_copy_has_a_directory_to_arrive_in(host: LocalHost, root: Path) -> None:
    path = host.call("begin_copy", **copy_spec(root))
    try:
        assert path == str(root / "envs" / KEY)
        assert list(Path(path).iterdir()) == []
    finally:
        environment_copy.abandon_copy(copy_spec(root))


def test_copy_that_was_not_begun_fails_the_call(host: LocalHost, root: Path) -> None:
    with pytest.raises(CallFailed, match="not begun"):
        host.call("finish_copy", **copy_spec(root))


def test_directory_for_wheels_is_as_new_each_time(host: LocalHost, root: Path) -> None:
    path = host.call("wheels_folder", root=str(root), wheelhouse="sha")
    assert path == str(root / "wheels" / "sha")
    os.utime(path, (0, 0))
    host.call("wheels_folder", root=str(root), wheelhouse="sha")
    assert Path(path).stat().st_mtime > 0


def test_directory_that_cannot_be_made_is_named(host: LocalHost, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *_mode: Any) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(
        CallFailed, match=r"Permission denied; make it once \(sudo install -d -m 700 -o \S+ \S+\), or set mlx_root to a directory"
    ):
        host.call("wheels_folder", root=str(root), wheelhouse="sha")


# -- projects


class Sent:
    """A project, and the calls that deploy it to a host."""

    def __init__(self, host: LocalHost, deploy: Deploy) -> None:
        self.host = host
        self.deploy = deploy

    @property
    def where(self) -> dict[str, str]:
        return {"root": str(self.deploy.root), "name": "demo", "digest": self.deploy.digest()}

    def begin(self) -> dict[str, Any]:
        begun: dict[str, Any] = self.host.call("project_begin", **self.where, entries=manifest.pack(self.deploy.entries()))
        return begun

    def commit(self, missing: list[str]) -> str:
        aside: str = self.host.call("project_commit", **self.where, contents=contents(self.deploy.source, missing))
        return aside

    def look(self, share: str = "private") -> dict[str, Any]:
        found: dict[str, Any] = self.host.call("look", **self.where, key="", share=share)
        return found

    def differences(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = self.host.call("project_differences", **self.where, entries=manifest.pack(self.deploy.entries()))
        return found


@pytest.fixture
def sent(host: LocalHost, deploy: Deploy) -> Sent:
    return Sent(host, deploy)


def test_project_is_there_after_its_commit(sent: Sent) -> None:
    begun = sent.begin()
    assert begun["staging"] == sent.deploy.version().staging
    assert "train.py" in begun["missing"]
    assert sent.commit(begun["missing"]) == ""
    assert sent.look() == {"shared": True, "project": "present", "edited": [], "extra": []}
    assert sent.begin() == {"staging": "", "missing": []}


#: Slow to import: each takes longer than the look at a project of a hundred files.
SLOW = ("re", "json", "hashlib", "threading", "functools", "contextlib", "subprocess")
LOOK = """
import json as _json, sys
sys.path, calls = _json.loads(sys.argv[1])
for name in [name for name in sys.modules if name.partition(".")[0] in {*SLOW, "enum", "collections"}]:
    del sys.modules[name]
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.agent.main import FUNCTIONS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.agent.server import AgentServer
agent = AgentServer(0, 1, FUNCTIONS)
found = [agent._answer(call)["result"] for call in calls]
print(_json.dumps([found[-1]["project"], sorted(set(SLOW) & set(sys.modules))]))
"""


def test_look_at_what_is_there_imports_nothing_slow(sent: Sent) -> None:
    sent.commit(sent.begin()["missing"])
    release(sent.host, str(sent.deploy.tree()))
    hello = {"lease": 7.0, "roots": [str(sent.deploy.root)], "environment": None}
    calls = [{"do": "hello", "with": hello}, {"do": "look", "with": {**sent.where, "key": "", "share": "private"}}]
    calls.append({"do": "look", "with": {**sent.where, "key": KEY, "share": "private"}})
    given = json.dumps([sys.path, calls])
    program = f"SLOW = {SLOW!r}\n{LOOK}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program, given], stdout=subprocess.PIPE, check=True, timeout=60)
    assert json.loads(done.stdout) == ["present", []]


def test_transfer_is_given_up_with_the_end_of_the_controller(sent: Sent) -> None:
    staging = Path(sent.begin()["staging"])
    assert staging.is_dir()
    for end in sent.host.at_end.values():
        end()
    assert not staging.exists()


def test_completed_transfer_leaves_nothing_for_the_end(sent: Sent) -> None:
    sent.commit(sent.begin()["missing"])
    assert sent.host.at_end == {}


def test_content_that_is_not_the_projects_fails_the_call(sent: Sent) -> None:
    where, missing = sent.where, sent.begin()["missing"]
    (sent.deploy.source / "train.py").write_text("print('other')\n")
    with pytest.raises(CallFailed, match="train.py"):
        sent.host.call("project_commit", **where, contents=contents(sent.deploy.source, missing))


def test_differences_are_to_the_newest_version(sent: Sent) -> None:
    everything = sent.differences()
    assert "train.py" in everything["added"]
    assert (everything["changed"], everything["removed"]) == ([], [])
    sent.commit(sent.begin()["missing"])
    assert sent.differences() == {"added": [], "changed": [], "removed": []}
    sent.deploy.write("train.py", "print('other')\n")
    sent.deploy.write("new.py", "pass\n")
    (sent.deploy.source / "latest").unlink()
    assert sent.differences() == {"added": ["new.py"], "changed": ["train.py"], "removed": ["latest"]}


def release(host: LocalHost, path: str) -> None:
    """Let go of what an agent holds, as its end does."""
    os.close(host.held.pop(path))


# -- a root of strangers

PROJECT = {"name": "demo", "digest": "0" * 64}
#: The arguments of each call that is about a root.
CALLS: dict[str, dict[str, Any]] = {
    "look": {"key": KEY, "share": "private", **PROJECT},
    "share": {"key": KEY, "share": "world", **PROJECT},
    "environment_digest": {"key": KEY},
    "build": {"key": KEY, "python": BASE, "lock": "", "wheels": "", "index_url": ""},
    "begin_copy": {"key": KEY},
    "finish_copy": {"key": KEY, "source": "/ctl/env", "base": BASE, "version": "3.0.0", "digest": ""},
    "wheels_folder": {"wheelhouse": "sha"},
    "project_begin": {**PROJECT, "entries": manifest.pack([])},
    "project_commit": {**PROJECT, "contents": {}},
    "project_differences": {**PROJECT, "entries": manifest.pack([])},
    "prune": {"keep": 0, "key": KEY, **PROJECT},
    "place_hostfile": {"text": "[]", "check": False},
}
#: The paths below a root that calls with these arguments use.
USED = {
    "key": ["envs", f"envs/{KEY}", f"envs/.{KEY}.lock"],
    "name": ["projects", "projects/demo", f"projects/demo/{'0' * 16}", f"projects/demo/.{'0' * 16}.json"],
    "wheelhouse": ["wheels", "wheels/sha"],
}
CASES = [
    (call, part)
    for call, given in CALLS.items()
    for part in ["", *(path for argument, paths in USED.items() if argument in given for path in paths)]
]


def test_every_call_about_a_root_is_tried_with_a_strangers() -> None:
    assert set(CALLS) == set(FUNCTIONS) - {"hello"}


@ONLY_ROOT
@pytest.mark.parametrize("by_link", [False, True], ids=["directory", "link"])
@pytest.mark.parametrize(("call", "part"), CASES)
def test_call_refuses_what_a_stranger_has_prepared(host: LocalHost, root: Path, call: str, part: str, by_link: bool) -> None:
    path = root / part
    path.parent.mkdir(parents=True, exist_ok=True)
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    path.symlink_to(elsewhere) if by_link else path.mkdir()
    os.lchown(path, NOBODY, NOBODY)
    before = sorted(root.parent.rglob("*"))
    with pytest.raises(CallFailed, match=f"{path} belongs to {pwd.getpwuid(NOBODY).pw_name}, who could change") as caught:
        host.call(call, root=str(root), **CALLS[call])
    assert "\n" not in str(caught.value)
    assert sorted(root.parent.rglob("*")) == before


@ONLY_ROOT
def test_files_of_strangers_are_not_taken_over(sent: Sent) -> None:
    sent.commit(sent.begin()["missing"])
    old = sent.deploy.tree()
    for path in (old / "train.py", old):
        os.chown(path, NOBODY, NOBODY)
    sent.deploy.write("new.py", "pass\n")
    assert {"train.py", "new.py"} <= set(sent.begin()["missing"])
    os.chown(old, 0, 0)
    assert {"train.py", "new.py"} <= set(sent.begin()["missing"])


@ONLY_ROOT
def test_things_of_strangers_are_not_cleaned_up(sent: Sent) -> None:
    root = sent.deploy.root
    old = Path(sent.host.call("wheels_folder", root=str(root), wheelhouse="old"))
    env = root / "envs" / "old"
    env.mkdir(parents=True)
    sent.commit(sent.begin()["missing"])
    version = sent.deploy.tree()
    release(sent.host, str(version))
    sent.deploy.write("train.py", "print('other')\n")
    sent.commit(sent.begin()["missing"])
    for path in (old, env, version):
        os.chown(path, NOBODY, NOBODY)
    os.utime(old, (0, 0))
    [told] = sent.host.call("prune", **sent.where, keep=0, key=KEY)
    assert f"{version} (belongs to user nobody, in part at least)" in told
    assert [path.exists() for path in (old, env, version)] == [True, True, True]


def test_root_is_for_its_user_alone(host: LocalHost, root: Path) -> None:
    host.call("wheels_folder", root=str(root), wheelhouse="sha")
    assert root.stat().st_mode & 0o777 == 0o700


@ONLY_ROOT
def test_version_that_is_closed_is_not_held_by_others(sent: Sent) -> None:
    sent.commit(sent.begin()["missing"])
    tree = str(sent.deploy.tree())
    for path in Path(tree).parents:
        if path.is_relative_to("/tmp/pytest-of-root"):
            path.chmod(0o755)
    text = as_user(NOBODY, lambda: len([flock.hold(tree)]))
    assert text == f"PermissionError: [Errno 13] {flock._PRIVATE}: '{tree}'"


# -- what was looked at stays


@pytest.fixture
def other() -> LocalHost:
    """Give the agent of another deploy on the same host."""
    return LocalHost(FUNCTIONS)


def test_version_that_was_looked_at_stays_until_the_agents_end(sent: Sent, other: LocalHost) -> None:
    sent.commit(sent.begin()["missing"])
    old = sent.deploy.tree()
    release(sent.host, str(old))
    assert sent.host.call("look", **sent.where, key="", share="private")["project"] == "present"
    new = dict(sent.where, digest="f" * 64)
    other.call("prune", **new, keep=0, key="")
    assert old.exists()
    release(sent.host, str(old))
    other.call("prune", **new, keep=0, key="")
    assert not old.exists()


def test_version_that_was_made_stays_until_the_agents_end(sent: Sent, other: LocalHost) -> None:
    sent.commit(sent.begin()["missing"])
    other.call("prune", **dict(sent.where, digest="f" * 64), keep=0, key="")
    assert sent.deploy.tree().exists()


def test_look_of_a_check_holds_nothing(sent: Sent) -> None:
    sent.commit(sent.begin()["missing"])
    release(sent.host, str(sent.deploy.tree()))
    before = sorted(sent.deploy.root.rglob("*"))
    assert sent.host.call("look", **sent.where, key="", share="private", hold=False)["project"] == "present"
    assert sent.host.held == {}
    assert sorted(sent.deploy.root.rglob("*")) == before


def test_version_that_another_deploy_works_at_is_not_there_yet(sent: Sent, other: LocalHost) -> None:
    sent.commit(sent.begin()["missing"])
    release(sent.host, str(sent.deploy.tree()))
    fd = flock.try_exclusive(str(sent.deploy.tree()))
    assert other.call("look", **sent.where, key="", share="private")["project"] == "absent"
    flock.release(fd)
    assert other.call("look", **sent.where, key="", share="private")["project"] == "present"


def test_two_deploys_of_one_version_both_have_it(sent: Sent, other: LocalHost) -> None:
    sent.commit(sent.begin()["missing"])
    entries = manifest.pack(sent.deploy.entries())
    assert other.call("project_begin", **sent.where, entries=entries) == {"staging": "", "missing": []}
    assert list(other.held) == [str(sent.deploy.tree())]


# -- the hostfile


def test_hostfile_is_written_below_the_root(host: LocalHost, root: Path) -> None:
    host.call("place_hostfile", root=str(root), text="[]\n", check=False)
    assert (root / atomic_file.NAME).read_text() == "[]\n"


def test_hostfile_is_not_written_in_check_mode(host: LocalHost, root: Path) -> None:
    host.call("place_hostfile", root=str(root), text="[]\n", check=True)
    assert not root.exists()


def test_failure_of_the_hostfile_names_the_path(host: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CallFailed, match=f"{tmp_path}/file"):
        host.call("place_hostfile", root=f"{tmp_path}/file", text="[]\n", check=False)


# -- old versions


def test_old_wheels_and_versions_are_removed(sent: Sent) -> None:
    sent.commit(sent.begin()["missing"])
    old = sent.deploy.tree()
    sent.deploy.write("train.py", "print('other')\n")
    sent.commit(sent.begin()["missing"])
    release(sent.host, str(old))
    wheels = [Path(sent.host.call("wheels_folder", root=str(sent.deploy.root), wheelhouse=name)) for name in ("old", "new")]
    os.utime(wheels[0], (time.time() - DAYS,) * 2)
    assert sent.host.call("prune", **sent.where, keep=0, key=KEY) == []
    assert not old.exists()
    assert sent.deploy.tree().exists()
    assert [path.exists() for path in wheels] == [False, True]


def test_versions_that_stay_are_told_with_reason_and_size(sent: Sent) -> None:
    sent.commit(sent.begin()["missing"])
    old = sent.deploy.tree()
    release(sent.host, str(old))
    (old / "checkpoint").write_bytes(b"#" * 2**21)
    sent.deploy.write("train.py", "print('other')\n")
    sent.commit(sent.begin()["missing"])
    [told] = sent.host.call("prune", **sent.where, keep=0, key="")
    assert re.match(rf"kept although old, 2\.\d MB in all: {old} \(holds what a job has written: checkpoint\); ", told)


# -- who may read it


def readable_by_nobody(path: Path) -> bool:
    """Whether another user can read a file."""
    return subprocess.run(["cat", path], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False).returncode == 0


@as_root
@pytest.mark.parametrize("share", ["world", "private"])
def test_version_is_for_others_only_when_it_is_shared(sent: Sent, tmp_path: Path, share: str) -> None:
    for folder in (*tmp_path.parents, tmp_path):
        if folder.owner() == "root" and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o011)
    sent.commit(sent.begin()["missing"])
    tree, digest = sent.deploy.tree(), sent.deploy.digest()
    record = Path(sent.deploy.version().record)
    assert not readable_by_nobody(tree / "train.py")
    assert not readable_by_nobody(record)
    sent.host.call("share", **sent.where, key="", share="world")
    assert readable_by_nobody(tree / "train.py")
    assert readable_by_nobody(record)
    assert sent.look("world")["shared"]
    assert not sent.look("private")["shared"]
    sent.host.call("share", **sent.where, key="", share=share)
    assert readable_by_nobody(tree / "train.py") is readable_by_nobody(record) is (share == "world")
    assert sent.look(share) == {"shared": True, "project": "present", "edited": [], "extra": []}
    assert sent.deploy.digest() == digest


@as_root
def test_user_for_whom_it_is_closed_is_told_the_setting(sent: Sent, tmp_path: Path) -> None:
    sent.commit(sent.begin()["missing"])
    for folder in (*tmp_path.parents, tmp_path):
        if folder.owner() == "root" and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o011)
    where = {**sent.where, "key": "", "share": "private"}
    closed = sent.deploy.root
    with as_nobody(), pytest.raises(CallFailed, match=rf"^{closed} is closed: it belongs to user root; .* mlx_share: world"):
        sent.host.call("look", **where)
