"""Histories of a deploy: which hosts get what, and what is known when one of them cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.deploy import Deploy
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.outcome import Outcome
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.project import Project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import project_digest, wanted_project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.transfer import LITTLE
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from tests.unit.controller.fleets import Answer, Events, FakeFleet, lost

pytestmark = pytest.mark.usefixtures("own_cache")

PYTHON = {"path": "/usr/bin/python3.12", "version": "3.12.4", "implementation": "cpython", "wanted": ""}
FACTS = {"system": "Linux", "root_user": True, "machine": "x86_64", "rsync": False, "script": False, "python": PYTHON}
LOCK = f"mlx==0.32.4 --hash=sha256:{'0' * 64}\n"
FILES: dict[str, Any] = {"edited": [], "extra": [], "shared": True}
NOTHING = {"environment": "absent", "environment_digest": "", "project": "absent", **FILES}
ALL = {"environment": "complete", "environment_digest": "d1", "project": "present", **FILES}
#: A host that has nothing yet and takes everything.
EMPTY: Mapping[str, Answer] = {
    "hello": FACTS,
    "look": NOTHING,
    "build": {"digest": "d1"},
    "project_begin": {"staging": "/opt/mlxlaunch/staging/x", "missing": ["train.py"]},
    "project_commit": "",
    "project_differences": {"added": ["train.py"], "changed": [], "removed": []},
    "share": None,
    "prune": [],
}
FULL = {**EMPTY, "look": ALL}


class Case:
    """One deploy of a project and an environment to hosts that answer from a script."""

    def __init__(self, folder: Path, **hosts: Mapping[str, Answer]) -> None:
        self.events = Events()
        (folder / "llm").mkdir(exist_ok=True)
        (folder / "llm/train.py").write_text("pass\n")
        (folder / "lock.txt").write_text(LOCK)
        self.settings = JobSettings(
            script=str(folder / "llm/train.py"), project_dir=str(folder / "llm"), environment=str(folder / "lock.txt")
        )
        self.project: Project | None = wanted_project(self.settings)
        self.fleet = FakeFleet(hosts, self.settings)

    def run(self, *, check: bool = False, differences: bool = False) -> Outcome:
        deploy = Deploy(self.settings, self.project, {}, check=check, differences=differences, fleet=self.fleet)
        try:
            return deploy.run(self.events)
        finally:
            deploy.release()

    def calls(self, host: str) -> list[str]:
        """Return the functions that were called on a host."""
        return [do for do, _arguments in self.fleet.agents[host].calls]


def test_hosts_that_have_nothing_get_all_parts(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY, b=EMPTY)
    outcome = case.run()
    assert outcome.problems == {}
    assert outcome.changed == {"a": ["environment", "project"], "b": ["environment", "project"]}
    assert case.calls("a") == ["hello", "look", "build", "project_begin", "project_commit", "prune"]
    path = outcome.deployed.environment
    assert ("a", {"what": "environment", "path": path}) in case.events.of("host_deployed")
    assert len(case.events.of("host_deployed")) == 4


def test_paths_and_digests_are_the_same_on_all_hosts(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY, b=FULL)
    deployed = case.run().deployed
    digest = project_digest(case.project)
    key = deployed.environment.rpartition("/")[2]
    assert asdict(deployed) == {
        "root": "/opt/mlxlaunch",
        "environment": f"/opt/mlxlaunch/envs/{key}",
        "environment_digest": "d1",
        "project": deployed.project,
        "project_digest": digest,
        "script": f"{deployed.project}/train.py",
    }
    assert deployed.project.startswith("/opt/mlxlaunch/projects/llm/")
    for agent in case.fleet.agents.values():
        assert agent.named("look") == [
            {"root": "/opt/mlxlaunch", "hold": True, "share": "private", "key": key, "name": "llm", "digest": digest}
        ]


def test_machine_without_rsync_is_told_where_it_would_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    has_rsync = {**EMPTY, "look": {**ALL, "project": "absent"}, "hello": {**FACTS, "rsync": True}, "a program here": (0, "")}
    case = Case(tmp_path, a=has_rsync, b={**has_rsync, "hello": FACTS}, c=has_rsync)
    (tmp_path / "llm/train.py").write_text("#" * (LITTLE + 1))
    case.project = wanted_project(case.settings)
    assert case.run().problems == {}
    [(_host, told)] = case.events.of("warning")
    assert told["text"].startswith("files went whole to a, c, as this machine has no rsync; install it (rsync)")


def test_hosts_are_let_go_by_the_release_only(tmp_path: Path) -> None:
    case = Case(tmp_path, a=FULL)
    deploy = Deploy(case.settings, case.project, {}, fleet=case.fleet)
    deploy.run(case.events)
    assert not case.fleet.agents["a"].finished
    deploy.release()
    assert case.fleet.agents["a"].finished


def test_hosts_that_have_all_are_left_alone(tmp_path: Path) -> None:
    case = Case(tmp_path, a=FULL, b=FULL)
    outcome = case.run()
    assert outcome.changed == {}
    assert case.calls("a") == ["hello", "look"]
    assert case.events.all == []


def test_only_the_host_that_lacks_a_part_gets_it(tmp_path: Path) -> None:
    case = Case(tmp_path, a=FULL, b=EMPTY)
    assert case.run().changed == {"b": ["environment", "project"]}
    assert case.calls("a") == ["hello", "look", "prune"]


# -- hosts that fail


def test_host_that_refuses_keeps_all_others_from_changes(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY, b={**EMPTY, "hello": HostFailed("no Python 3")})
    outcome = case.run()
    assert outcome.problems == {"b": ["no Python 3"]}
    assert outcome.changed == {}
    assert case.calls("a") == ["hello"]
    assert outcome.deployed.project_digest, "the project was read meanwhile"


def test_host_lost_during_the_transfer_does_not_stop_the_others(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY, b={**EMPTY, "project_commit": lost()}, c=EMPTY)
    outcome = case.run()
    assert outcome.problems == {"b": ["silent for 30 s: network, host or sleep"]}
    assert outcome.changed == {"a": ["environment", "project"], "b": ["environment"], "c": ["environment", "project"]}
    assert outcome.deployed.environment_digest == "d1"
    assert "prune" not in case.calls("a")


def test_host_lost_while_making_the_environment_gets_no_project(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY, b={**EMPTY, "build": lost()})
    outcome = case.run()
    assert outcome.changed == {"a": ["environment"]}
    assert list(outcome.problems) == ["b"]
    assert outcome.deployed.environment
    assert outcome.deployed.environment_digest == ""


def test_different_digests_are_the_fault_of_the_minority(tmp_path: Path) -> None:
    other = {**EMPTY, "build": {"digest": "d2"}}
    outcome = Case(tmp_path, a=EMPTY, b=other, c=FULL).run()
    text = f"its environment {outcome.deployed.environment} is not the one that the others have"
    assert outcome.problems == {"b": [text]}
    assert outcome.changed == {"a": ["environment"], "b": ["environment"]}


def test_hosts_with_other_pythons_cannot_have_one_environment(tmp_path: Path) -> None:
    other = {**EMPTY, "hello": {**FACTS, "python": {**PYTHON, "version": "3.11.9"}}}
    case = Case(tmp_path, a=EMPTY, b=other, c=EMPTY)
    outcome = case.run()
    assert list(outcome.problems) == ["b"]
    assert "has Python 3.11.9" in outcome.problems["b"][0]
    assert outcome.deployed.environment == ""
    assert case.calls("a") == ["hello"]


def test_problems_are_in_the_order_of_hosts(tmp_path: Path) -> None:
    broken = {**EMPTY, "hello": lost()}
    assert list(Case(tmp_path, b=broken, a=broken).run().problems) == ["b", "a"]


def test_host_that_cannot_prune_has_the_new_versions(tmp_path: Path) -> None:
    case = Case(tmp_path, a={**EMPTY, "prune": ["/opt/old is in use"]}, b={**EMPTY, "prune": HostFailed("disk error")})
    outcome = case.run()
    assert outcome.problems == {}
    assert case.events.of("warning") == [
        ("a", {"text": "/opt/old is in use"}),
        ("b", {"text": "old versions could not be removed: disk error"}),
    ]


def test_stopped_deploy_is_cancelled(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY)
    deploy = Deploy(case.settings, case.project, {}, fleet=case.fleet)
    deploy.stop()
    with pytest.raises(Cancelled):
        deploy.run(case.events)


# -- check mode


def test_check_mode_changes_nothing(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY, b=FULL)
    outcome = case.run(check=True)
    assert outcome.changed == {"a": ["environment", "project"]}
    assert case.calls("a") == ["hello", "look"]
    assert case.events.all == []
    assert outcome.deployed.project


def test_check_mode_lists_differences_of_those_that_lack_it(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY, b=FULL)
    outcome = case.run(check=True, differences=True)
    assert outcome.differences == {"a": {"added": ["train.py"], "changed": [], "removed": []}}
    assert case.calls("a") == ["hello", "look", "project_differences"]


@pytest.mark.parametrize(("check", "will"), [(False, "is"), (True, "would be")])
def test_edited_files_are_named(tmp_path: Path, check: bool, will: str) -> None:
    edited = {**EMPTY, "look": {**ALL, "project": "edited", "edited": ["a.py", "b.py", "c.py", "d.py"]}}
    case = Case(tmp_path, a=edited)
    outcome = case.run(check=check)
    path = outcome.deployed.project
    text = f"{path} was edited by hand (a.py, b.py, c.py and 1 more); it {will} made again, what was edited stays beside it"
    assert case.events.of("warning") == [("a", {"text": text})]
    assert outcome.changed == {"a": ["project"]}


# -- who may read it


def test_what_is_made_is_opened_where_it_is_shared(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY, b=FULL)
    case.settings = replace(case.settings, share="world")
    outcome = case.run()
    assert outcome.changed == {"a": ["environment", "project"]}
    assert case.calls("a") == ["hello", "look", "build", "project_begin", "project_commit", "share", "prune"]
    assert case.calls("b") == ["hello", "look", "prune"]
    [asked] = case.fleet.agents["a"].named("share")
    assert (asked["share"], asked["name"]) == ("world", "llm")


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("share", ["private", "world"])
def test_other_modes_are_a_change_and_nothing_is_sent(tmp_path: Path, share: str, check: bool) -> None:
    case = Case(tmp_path, a={**FULL, "look": {**ALL, "shared": False}}, b=FULL)
    case.settings = replace(case.settings, share=share)
    outcome = case.run(check=check)
    assert outcome.changed == {"a": ["access"]}
    assert case.calls("a") == ["hello", "look"] + ([] if check else ["share", "prune"])
    assert case.events.of("host_deployed") == []


# -- warnings


def test_modules_that_an_earlier_job_has_left_are_named(tmp_path: Path) -> None:
    case = Case(tmp_path, a={**FULL, "look": {**ALL, "extra": ["random.py"]}})
    outcome = case.run()
    text = f"{outcome.deployed.project} has Python files that are not part of the project: random.py; "
    assert case.events.of("warning") == [("a", {"text": text + "an import may find them, remove them there"})]


@pytest.mark.parametrize("check", [False, True])
def test_likely_secrets_are_named_before_they_are_sent(tmp_path: Path, check: bool) -> None:
    (tmp_path / "llm").mkdir()
    for name in (".env", "id_ed25519", "id_ed25519.pub", "data.csv"):
        (tmp_path / "llm" / name).touch()
    case = Case(tmp_path, a=EMPTY, b=EMPTY)
    case.run(check=check)
    will = "would be" if check else "will be"
    text = f"{will} copied to hosts: .env, id_ed25519; if that is secret, leave it out with mlx_exclude (--exclude)"
    assert case.events.of("warning") == [(None, {"text": text})]


def test_secrets_that_are_there_already_are_not_told_again(tmp_path: Path) -> None:
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm/.env").touch()
    case = Case(tmp_path, a=FULL)
    case.run()
    assert case.events.all == []


# -- parts that are not wanted


def test_nothing_wanted_and_no_hosts_is_an_empty_outcome(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.settings, case.project = JobSettings(), None
    assert case.run() == Outcome()


def test_script_that_all_hosts_have_at_its_path_is_used_there(tmp_path: Path) -> None:
    there: dict[str, Answer] = {**EMPTY, "hello": {**FACTS, "script": True}, "look": FILES}
    case = Case(tmp_path, a=there, b=there)
    script = str(tmp_path / "llm/train.py")
    case.settings = JobSettings(script=script)
    case.project = wanted_project(case.settings)
    outcome = case.run()
    assert outcome.changed == {}
    assert outcome.deployed.script == script
    assert (outcome.deployed.project, outcome.deployed.project_digest) == ("", "")
    [asked] = case.fleet.agents["a"].named("hello")
    assert asked["script"]["path"] == script


def test_script_that_one_host_lacks_is_sent_to_all(tmp_path: Path) -> None:
    there: dict[str, Answer] = {**EMPTY, "hello": {**FACTS, "script": True}}
    case = Case(tmp_path, a=there, b=EMPTY)
    case.settings = JobSettings(script=str(tmp_path / "llm/train.py"))
    case.project = wanted_project(case.settings)
    outcome = case.run()
    assert outcome.changed == {"a": ["project"], "b": ["project"]}
    assert outcome.deployed.script == f"{outcome.deployed.project}/train.py"


def test_environment_alone_needs_no_project(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY)
    case.project = None
    outcome = case.run()
    assert outcome.changed == {"a": ["environment"]}
    assert case.fleet.agents["a"].named("prune")[0]["name"] == ""


def test_missing_lock_is_refused_before_any_host_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not there"):
        Deploy(JobSettings(environment=str(tmp_path / "none.txt")), None, {})


def test_lock_digest_is_known_before_the_deploy(tmp_path: Path) -> None:
    case = Case(tmp_path)
    assert len(Deploy(case.settings, None, {}).lock_sha256) == 64
    assert Deploy(JobSettings(), case.project, {}).lock_sha256 == ""


def test_file_that_cannot_be_read_ends_the_wait_for_hosts(tmp_path: Path) -> None:
    case = Case(tmp_path, a=EMPTY)
    Path(tmp_path, "llm/train.py").unlink()
    with pytest.raises(UsageError, match="was removed, or changes all the time"):
        case.run()
    assert case.fleet.agents["a"].finished
