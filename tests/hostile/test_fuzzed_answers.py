"""Agents that answer anything at all: each costs its host its place in the deploy, check or fetch, and nothing else.

The connection is the real one. Set MLXLAUNCH_FUZZ to the number of cases for each test; a few hundred thousand take an hour.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.gather import Gather
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.outcome import check_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.rules.assess import assess
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy import deploy as deploy_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.deploy import Deploy
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.environments import Copied, Facts, Locked, environment_from
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.hostfile_outcome import hostfile_diff, hostfile_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.hostfile_writer import HostfileWriter
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.lockfile import read_lock
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.outcome import deploy_result, diff_of
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.own_environment import OwnEnvironment
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.parts.project import ProjectPart
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import wanted_project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.wheelhouse import Run, Wheels
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.fetch import Fetch
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.outcome import fetch_diff, fetch_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.wanted import wanted
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.replies.answers import _ANSWERS
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.deployed import Deployed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import RankPlace
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.check_table import render
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.describe import Describer
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.plan import JobPlan, plan_job
from tests.hostile.lies import (
    CHECK,
    COPY,
    DEPLOY,
    FETCH,
    HOSTFILE,
    NETWORK,
    PREPARE,
    From,
    Happened,
    about,
    assert_diff_harmless,
    assert_harmless,
    cases,
    fleet_of,
    said_to,
)
from tests.unit.controller.hosts.replies.answers import GOOD

# -- a host of ours, and one that lies


ANSWERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "hello": lambda asked: (
        GOOD["hello"] | ({} if asked["environment"] else {"python": None}) | ({"address": "10.0.0.9"} if asked.get("reached") else {})
    ),
    "survey": lambda asked: {**GOOD["survey"], **{name: None for name in ("environment", "project") if not asked["spec"][name]}},
    "look": lambda _asked: {**GOOD["look"], "environment": "absent", "environment_digest": "", "project": "absent", "shared": False},
    "project_begin": lambda asked: {"staging": f"{asked['root']}/projects/{asked['name']}/.part-1", "missing": ["train.py"]},
    "listen": lambda asked: dict.fromkeys(asked["addresses"]),
    "dial": lambda asked: [None for _target in asked["targets"]],
}


def honest(do: str, asked: dict[str, Any]) -> Any:
    """Return the answer of a host that has nothing yet and takes everything."""
    return ANSWERS[do](asked) if do in ANSWERS else GOOD[do]


HONEST = {"a": honest, "b": honest}


@pytest.fixture(scope="module")
def here() -> Iterator[Path]:
    """Give a directory with a project and a lock, and a file beside them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "llm").mkdir()
        (folder / "llm/train.py").write_text("pass\n")
        (folder / "wheels").mkdir()
        (folder / "wheels/x-1-py3-none-any.whl").write_text("a wheel")
        (folder / "key").write_text("a private key")
        (folder / "lock.txt").write_text(f"mlx==0.32.4 --hash=sha256:{'0' * 64}\n")
        yield folder


# -- the tests


@cases(200)
@given(about(*DEPLOY))
def test_no_answer_harms_a_deploy_or_another_host(here: Path, lies: dict[str, From]) -> None:
    settings = JobSettings(script=str(here / "llm/train.py"), project_dir=str(here / "llm"), environment=str(here / "lock.txt"))
    fleet, agents = fleet_of(lies, settings, HONEST)
    events = Happened()
    outcome = Deploy(settings, wanted_project(settings), {}, differences=True, fleet=fleet).run(events)
    assert set(outcome.problems) <= {"b"}
    result = deploy_result(outcome, None, check=False)
    assert_harmless(
        Describer(colour=False, verbose=True)(Event("deploy_finished", "j", 0.0, None, None, details={**result, "duration": 0.0})) or ""
    )
    json.dumps([result, diff_of(outcome.differences, result["project"])]).encode()
    for asked in said_to(agents["b"], "project_commit"):
        assert set(asked.get("contents") or ()) <= {"train.py"}


class Wheeled(Locked):
    """An environment made from a lock, and from one wheel that is here."""

    def prepare(self, _facts: Facts, _run: Run, _progress: Callable[[str], object]) -> Wheels:
        return Wheels(Path(self.wheelhouse), {"x-1-py3-none-any.whl": "0" * 64})


@cases(100)
@given(about(*COPY), st.sampled_from(["copied", "copied before", "wheels"]))
def test_no_answer_harms_a_copied_environment(here: Path, lies: dict[str, From], kind: str) -> None:
    settings = JobSettings(script="train.py", environment="copy")
    python = GOOD["hello"]["python"]
    description = {"python": python["version"], "implementation": python["implementation"], "platform": python["platform"]}
    copied = Copied(OwnEnvironment(str(here / "llm"), "/usr/bin/python3.12", description, "0" * 64, {}, shared=False))
    wheeled = Wheeled(read_lock(str(here / "lock.txt"), (), ()), str(here / "wheels"), "")

    def answer(do: str, asked: dict[str, Any]) -> Any:
        if do == "begin_copy":
            return "" if kind == "copied before" else f"{asked['root']}/envs/{asked['key']}"
        if do == "wheels_folder":
            return f"{asked['root']}/wheels/{asked['wheelhouse']}"
        return honest(do, asked) | {"rsync": False} if do == "hello" else honest(do, asked)

    fleet, _agents = fleet_of(lies, settings, {"a": answer, "b": answer})
    fleet.access = dict.fromkeys(fleet.access, Access(lambda _command: ["sh", "-c", "cat > /dev/null"], "start-agent"))
    with patch.object(deploy_module, "environment_from", return_value=wheeled if kind == "wheels" else copied):
        outcome = Deploy(settings, None, {}, fleet=fleet).run(Happened())
    assert set(outcome.problems) <= {"b"}
    json.dumps(deploy_result(outcome, None, check=False)).encode()


@cases(200)
@given(about(*CHECK), st.booleans())
def test_no_answer_harms_a_check_or_another_host(here: Path, lies: dict[str, From], deployed: bool) -> None:
    own = (
        {"script": str(here / "llm/train.py"), "project_dir": str(here / "llm"), "environment": str(here / "lock.txt")} if deployed else {}
    )
    settings = JobSettings(backend="ring", **own)
    names = [HostSettings(name, name) for name in ("a", "b")]
    places = [RankPlace(name, (f"10.0.0.{at}",)) for at, name in enumerate(("a", "b"), 1)]
    project = None
    if deployed and (wanted := wanted_project(settings)):
        project = ProjectPart(wanted, settings.script)
        project.scan(Deployed())

    def plan(deployed: Deployed, _addresses: Mapping[str, str]) -> JobPlan:
        return plan_job("j", settings, names, places, sources=host_sources(), default_python="/p", default_cwd="/", deployed=deployed)

    fleet, _agents = fleet_of(lies, settings, HONEST)
    gather = Gather(settings, names, fleet.access, plan, environment_from(settings) if deployed else None, project, fleet)
    gather.run(Happened())
    facts = gather.facts
    assert facts["a"].failure == facts["a"].environment_failure == ""
    assert facts["a"].found["disk"] == GOOD["survey"]["disk"]
    rows = assess(facts)
    assert_harmless(render(rows))
    json.dumps(check_result(rows, None, facts)).encode()


@cases(200)
@given(about(*HOSTFILE))
def test_no_answer_harms_a_hostfile_or_another_host(lies: dict[str, From]) -> None:
    fleet, _agents = fleet_of(lies, JobSettings(), HONEST)
    writer = HostfileWriter(JobSettings(), {}, "[]\n", check=False, fleet=fleet)
    events = Happened()
    writer.write_on_hosts(events)
    placed = writer.placed
    assert "a" in placed.changed
    assert set(placed.problems) <= {"b"}
    json.dumps(hostfile_result(placed, None, check=False)).encode()
    assert_diff_harmless(hostfile_diff(placed, "[]\n"))


FILES = {"out/a": b"one", "out/deep/b": b"two" * 1000, "out/empty": b""}
FETCH_ANSWERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "fetch_find": lambda _asked: [
        [name.removeprefix("out/"), len(data), False, hashlib.sha256(data).hexdigest()] for name, data in FILES.items()
    ],
    "fetch_read": lambda asked: [
        base64.b64encode(FILES.get(f"out/{name}", b"one")[at : at + size]).decode() for name, at, size in asked["pieces"]
    ],
}


@cases(200)
@given(about(*FETCH), st.booleans())
def test_no_answer_harms_a_fetch_or_a_file_here(here: Path, lies: dict[str, From], check: bool) -> None:
    with tempfile.TemporaryDirectory(dir=here) as name:
        to = Path(name) / "to"
        (to / "out").mkdir(parents=True)
        (to / "out/outside").symlink_to(here / "llm")
        (to / "out/a").symlink_to(here / "key")
        fleet, _agents = fleet_of(lies, JobSettings(), {"b": lambda do, asked: FETCH_ANSWERS[do](asked)})
        fetch = Fetch(JobSettings(), {}, [wanted("out/**", "/job")], str(to), check=check, fleet=fleet)
        fetch.run(Happened())
        fetched = fetch.fetched
        for file in fetched.new if not check else ():
            data = (to / "/".join(file.place)).read_bytes()
            assert hashlib.sha256(data).hexdigest() == file.sha256
        there = {path for path in to.rglob("*") if path.is_file() and not path.is_symlink()}
        assert len(there) == (0 if check else len({file.place for file in fetched.new}))
        assert all(path.is_relative_to(to / "out") and path.stat().st_mode & 0o7077 == 0 for path in there)
        json.dumps(fetch_result(fetched, "b", str(to), None, check=check)).encode()
        assert_diff_harmless(fetch_diff(fetched, "b", str(to)))
    assert (here / "key").read_text() == "a private key"
    assert sorted(path.name for path in here.rglob("*")) == ["key", "llm", "lock.txt", "train.py", "wheels", "x-1-py3-none-any.whl"]


def test_every_call_is_lied_about() -> None:
    assert set(_ANSWERS) == {*DEPLOY, *COPY, *CHECK, *HOSTFILE, *FETCH, *NETWORK, *PREPARE}
