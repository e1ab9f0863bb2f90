"""The project as a part: which files are sent, and how."""

from __future__ import annotations

import base64
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import store, versions
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.parts import project as project_part
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.parts.part import DeployRun, Ledger, ReadAgain
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.parts.project import ProjectPart
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.project import select
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.sender import Sender
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.transfer import LITTLE, NOWHERE, write_tar
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import Agent, HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import HostsFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.deployed import Deployed
from tests.support.moments import Moments
from tests.unit.controller.fleets import Answer, Events, FakeAgent, FakeFleet

pytestmark = pytest.mark.usefixtures("own_cache")

FACTS = {"a": {"script": False}}


class FakeSender(Sender):
    """Notes the files that are sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, list[str], bytes]] = []

    def send(
        self,
        agent: Agent,
        source: Path,  # noqa: ARG002
        target: str,
        missing: Sequence[str],
        excluded: bytes,
        elsewhere: Mapping[str, str] = NOWHERE,  # noqa: ARG002
    ) -> bool:
        self.sent.append((agent.host, target, list(missing), excluded))
        return True


class TarSender(Sender):
    """Brings files to a directory of this machine as an archive."""

    def __init__(self) -> None:
        pass

    def send(
        self,
        agent: Agent,  # noqa: ARG002
        source: Path,
        target: str,
        missing: Sequence[str],
        excluded: bytes,  # noqa: ARG002
        elsewhere: Mapping[str, str] = NOWHERE,
    ) -> bool:
        archive = Path(target).with_suffix(".tar")
        try:
            with archive.open("wb") as file:
                gone = write_tar(file.fileno(), source, missing, elsewhere)
        except OSError as exc:
            raise HostFailed(str(exc)) from None
        with tarfile.open(archive) as members:
            members.extractall(target, filter="data")
        return not gone


@pytest.fixture
def part(tmp_path: Path) -> ProjectPart:
    (tmp_path / "llm").mkdir()
    for name in ("train.py", "secret.txt"):
        (tmp_path / "llm" / name).write_text("pass\n")
    script = str(tmp_path / "llm/train.py")
    part = ProjectPart(select(script, str(tmp_path / "llm"), ["secret.txt"]), script)
    part.scan(Deployed())
    return part


def deploy(part: ProjectPart, script: Mapping[str, Answer], emit: Events | None = None) -> tuple[FakeAgent, FakeSender]:
    """Deploy to a host that does not have it."""
    fleet, sender, emit = FakeFleet({"a": script}), FakeSender(), emit or Events()
    deployed = part.resolve(FACTS, Deployed(root="/root"))
    with fleet.open(Events()):
        part.deploy(DeployRun(fleet, emit, Ledger(), FACTS, sender), {"a": {"project": "absent", "edited": [], "extra": []}}, deployed)
    return fleet.agents["a"], sender


def test_version_is_named_by_its_digest(part: ProjectPart) -> None:
    deployed = part.resolve(FACTS, Deployed(root="/root"))
    assert deployed.project.startswith("/root/projects/llm/")
    assert part.digest.startswith(deployed.project.rpartition("/")[2])
    assert part.identity() == {"name": "llm", "digest": part.digest}


def test_few_bytes_go_with_the_call_that_completes_the_version(part: ProjectPart) -> None:
    agent, sender = deploy(part, {"project_begin": {"staging": "/new", "missing": ["train.py"]}})
    [committed] = agent.named("project_commit")
    assert committed["contents"] == {"train.py": base64.b64encode(b"pass\n").decode()}
    assert sender.sent == []


def test_many_bytes_are_sent_to_the_staging_directory(tmp_path: Path, part: ProjectPart) -> None:
    (tmp_path / "llm/train.py").write_bytes(b"#" * (LITTLE + 1))
    part.scan(Deployed())
    agent, sender = deploy(part, {"project_begin": {"staging": "/new", "missing": ["train.py"]}})
    assert sender.sent == [("a", "/new", ["train.py"], b"- /secret.txt\n")]
    assert [do for do, _arguments in agent.calls] == ["project_begin", "project_commit"]
    assert "contents" not in agent.named("project_commit")[0]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    "missing",
    [
        ["../outside.txt"],
        ["/etc/passwd"],
        ["train.py", "../outside.txt"],
        ["secret.txt"],  # excluded: it stays here
        ["./train.py"],
        ["train.py/../secret.txt"],
        [""],
        ["train.py\0"],
    ],
)
def test_host_gets_no_file_that_is_not_the_projects(missing: list[str], large: bool, tmp_path: Path, part: ProjectPart) -> None:
    (tmp_path / "outside.txt").write_text("a private key\n")
    if large:
        (tmp_path / "llm/train.py").write_bytes(b"#" * (LITTLE + 1))
        part.scan(Deployed())
    with pytest.raises(HostsFailed) as failed:
        deploy(part, {"project_begin": {"staging": "/new", "missing": missing}})
    assert set(failed.value.problems) == {"a"}
    assert "files" in failed.value.problems["a"]


def test_version_that_another_deploy_has_completed_is_not_sent(part: ProjectPart) -> None:
    agent, sender = deploy(part, {"project_begin": {"staging": "", "missing": []}})
    assert [do for do, _arguments in agent.calls] == ["project_begin"]
    assert sender.sent == []


def test_directory_is_not_asked_for_at_its_path_here(part: ProjectPart) -> None:
    assert not part.alone
    assert part.request(FakeFleet({"a": {}}).access["a"]) == {}


def test_hosts_are_asked_about_the_script_and_all_that_goes_with_it(tmp_path: Path) -> None:
    sources = {"train.py": "import helper, pkg", "helper.py": "", "pkg/__init__.py": "", "pkg/data.txt": "x", "other.py": ""}
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    script = str(tmp_path / "train.py")
    part = ProjectPart(select(script), script)
    part.scan(Deployed())
    asked = part.script_request()
    assert asked["path"] == script
    assert sorted(asked["beside"]) == [f"{tmp_path}/{name}" for name in ("helper.py", "pkg/__init__.py", "pkg/data.txt")]
    assert len({asked["sha256"], *asked["beside"].values()}) == 3  # two of them are empty


def test_file_that_grows_stays_and_one_that_was_saved_goes_as_it_is(tmp_path: Path, part: ProjectPart) -> None:
    before = part.digest
    (tmp_path / "llm/train.py").write_text("new\n")
    with pytest.raises(ReadAgain):
        deploy(part, {"project_begin": {"staging": "/new", "missing": ["train.py"]}})
    part.scan(Deployed())
    assert part.digest != before
    (tmp_path / "llm/log").write_text("one line\n")
    part = ProjectPart(select("", str(tmp_path / "llm")), "")
    part.scan(Deployed())
    with (tmp_path / "llm/log").open("a") as log:
        log.write("and more\n")
    with pytest.raises(ReadAgain):
        deploy(part, {"project_begin": {"staging": "/new", "missing": ["log"]}})
    part.scan(Deployed())
    agent, _sender = deploy(part, {"project_begin": {"staging": "/new", "missing": ["train.py"]}})
    assert list(agent.named("project_commit")[0]["contents"]) == ["train.py"]


def make_tree(top: Path) -> None:
    """Make a project with everything that a directory can hold."""
    for name in ("train.py", "d/x", "d/sub/y", "z.log"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (top / "e").mkdir()
    (top / "link").symlink_to("d/x")
    (top / ".gitignore").write_text("*.log\n")


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def come_again(folder: Path) -> None:
    """Remove a directory and make it anew, with content of its own."""
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "x").write_text("another")


# What somebody does in a project while it is read and sent: to which path, and what.
MEANWHILE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "file removed": ("d/x", Path.unlink),
    "directory removed": ("d", shutil.rmtree),
    "empty directory removed": ("e", Path.rmdir),
    "link removed": ("link", Path.unlink),
    "patterns removed": (".gitignore", Path.unlink),
    "directory removed and made": ("d", come_again),
    "file becomes a directory": ("d/x", lambda path: replace(path, Path.mkdir)),
    "file becomes a link": ("d/x", lambda path: replace(path, lambda path: path.symlink_to("sub/y"))),
    "link becomes a file": ("link", lambda path: replace(path, Path.touch)),
    "file grows": ("d/x", lambda path: path.write_text("longer than it was")),
    "file shrinks": ("d/x", lambda path: path.write_text("")),
}


def launch(top: Path, root: Path, sender: Sender, emit: Events | None = None, *, alone: bool = False) -> Path:
    """Deploy to a root on this machine, as a launch does; return the version's directory."""
    part = ProjectPart(select(str(top / "train.py"), "" if alone else str(top)), str(top / "train.py"))
    deployed = part.scan(Deployed(root=str(root)))

    def refusing(do: Callable[..., Any]) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            try:
                return do(**arguments)
            except versions.StoreError as exc:
                raise HostFailed(str(exc)) from None

        return call

    def begin(entries: str, **where: str) -> dict[str, Any]:
        begun = store.begin(**where, wanted=entries)
        return {"staging": begun.get("staging", ""), "missing": store.pending(**where) if "staging" in begun else []}

    def commit(contents: Mapping[str, str] | None = None, **where: str) -> str:
        if contents is not None:
            store.receive(**where, contents=contents)
        return str(store.commit(**where)["aside"])

    fleet = FakeFleet({"a": {"project_begin": refusing(begin), "project_commit": refusing(commit)}})
    states = {"a": {"project": "absent", "edited": [], "extra": []}}
    with fleet.open(Events()):
        while True:
            deployed = part.resolve(FACTS, deployed)
            try:
                part.deploy(DeployRun(fleet, emit or Events(), Ledger(), FACTS, sender), states, deployed)
            except ReadAgain:
                deployed = part.scan(deployed)
            else:
                return Path(deployed.project)


AS_ARCHIVE = ("file removed", "directory removed and made", "file becomes a link", "file shrinks")


@pytest.mark.parametrize(("kind", "little"), [*((kind, True) for kind in MEANWHILE), *((kind, False) for kind in AS_ARCHIVE)])
def test_change_at_any_moment_keeps_nothing_from_running(kind: str, little: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_part, "LITTLE", LITTLE if little else 0)

    path, act = MEANWHILE[kind]

    def run(name: str, at: int) -> tuple[Path, int]:
        top = tmp_path / name / "llm"
        make_tree(top)
        moments = Moments(top, path, at, lambda: act(top / path))
        with moments.watched():
            version = launch(top, tmp_path / name / "root", FakeSender() if little else TarSender())
        return version, moments.count

    _version, looks = run("calm", 0)
    assert looks >= 3
    for at in range(1, looks + 1):
        version, _looks = run(f"at {at}", at)
        assert (version / "train.py").read_text() == "train.py"
        shutil.rmtree(tmp_path / f"at {at}")


def test_project_in_which_another_file_changes_each_time_comes_to_an_end(tmp_path: Path) -> None:
    top = tmp_path / "llm"
    top.mkdir()
    (top / "train.py").touch()
    for at in range(12):
        (top / f"data{at}").write_text(f"{at:5}")
    part = ProjectPart(select(str(top / "train.py"), str(top)), str(top / "train.py"))
    part.scan(Deployed())
    for at in range(12):
        (top / f"data{at}").write_text("other")
        with pytest.raises(ReadAgain):
            deploy(part, {"project_begin": {"staging": "/new", "missing": []}})
        part.scan(Deployed())
    agent, _sender = deploy(part, {"project_begin": {"staging": "/new", "missing": []}})
    entries = {entry.path for entry in manifest.unpack(agent.named("project_begin")[0]["entries"])}
    assert entries == {"train.py", "data0", "data1", "data2"}  # the others are written to all the time


@pytest.mark.parametrize(("gone", "told"), [(False, ["written to at this moment, so it stays here: log"]), (True, [])])
def test_file_that_changes_each_time_it_is_read_is_named(gone: bool, told: list[str], tmp_path: Path, part: ProjectPart) -> None:
    log = tmp_path / "llm/log"
    log.touch()
    part = ProjectPart(select(str(tmp_path / "llm/train.py"), str(tmp_path / "llm")), str(tmp_path / "llm/train.py"))
    real = manifest.hash_file

    def changing(full: bytes, path: str, before: os.stat_result) -> str:
        if path == "log":
            raise manifest.FileChanged(path)
        return str(real(full, path, before))

    if gone:
        log.unlink()
    with mock.patch.object(manifest, "hash_file", changing):
        part.scan(Deployed())
    events = Events()
    agent, _sender = deploy(part, {"project_begin": {"staging": "", "missing": []}}, events)
    assert "log" not in {entry.path for entry in manifest.unpack(agent.named("project_begin")[0]["entries"])}
    assert [note["text"] for _host, note in events.of("note")] == told


def test_script_that_changes_each_time_is_tried_so_often_and_no_more(tmp_path: Path, part: ProjectPart) -> None:
    turns = 0
    while True:
        (tmp_path / "llm/train.py").write_text(f"version {turns}")
        try:
            deploy(part, {"project_begin": {"staging": "/new", "missing": ["train.py"]}})
        except ReadAgain:
            turns += 1
            part.scan(Deployed())
        else:
            break
    assert turns == 20


@pytest.mark.parametrize("whole", [True, False])
def test_transfer_that_lost_a_file_is_made_again_unless_the_host_has_it(whole: bool, tmp_path: Path, part: ProjectPart) -> None:
    """The file may be back by now, and look as it did."""
    (tmp_path / "llm/train.py").write_bytes(b"#" * (LITTLE + 1))
    part.scan(Deployed())

    class Torn(FakeSender):
        def send(self, *_args: Any) -> bool:
            return False

    answer = "" if whole else HostFailed("what arrived is not what was to be sent")
    fleet = FakeFleet({"a": {"project_begin": {"staging": "/new", "missing": ["train.py"]}, "project_commit": answer}})
    deployed = part.resolve(FACTS, Deployed(root="/root"))
    states = {"a": {"project": "absent", "edited": [], "extra": []}}
    with fleet.open(Events()), nullcontext() if whole else pytest.raises(ReadAgain):
        part.deploy(DeployRun(fleet, Events(), Ledger(), FACTS, Torn()), states, deployed)


@pytest.mark.parametrize("little", [True, False])
def test_links_beside_a_script_arrive_as_what_they_lead_to(little: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_part, "LITTLE", LITTLE if little else 0)
    top, shared = tmp_path / "proj", tmp_path / "shared"
    for path, text in {"shared/util.py": "x = 1", "shared/pk/__init__.py": "y = 2", "proj/train.py": "import pk, util"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (top / "util.py").symlink_to("../shared/util.py")
    (top / "pk").symlink_to(shared / "pk")
    emit = Events()
    tree = launch(top, tmp_path / "root", TarSender(), emit, alone=True)
    shutil.rmtree(shared)
    assert [(tree / path).read_text() for path in ("util.py", "pk/__init__.py")] == ["x = 1", "y = 2"]
    assert not any(path.is_symlink() for path in tree.rglob("*"))
    assert f"of links there, what they lead to goes: pk from {shared}/pk, util.py from {shared}/util.py" in str(emit.of("note"))
