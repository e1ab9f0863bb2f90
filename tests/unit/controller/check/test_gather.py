"""Histories of a check: each host is asked until it fails, and the facts so far stand."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.facts import HostFacts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.gather import Gather, _devices
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.environments import Environment, environment_from
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.parts.project import ProjectPart
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import wanted_project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import own_roots
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.deployed import Deployed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import RankPlace
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.plan import JobPlan, plan_job
from tests.unit.controller.fleets import Answer, Events, FakeFleet, lost

PYTHON = {"path": "/usr/bin/python3.12", "version": "3.12.4", "implementation": "cpython", "wanted": ""}
FACTS = {"system": "Linux", "root_user": True, "machine": "x86_64", "rsync": False, "script": False, "python": PYTHON}
FOUND = {"addresses": {"problems": []}, "python": {"problem": "", "executable": "/usr/bin/python3.12"}}
ROUNDS = ["hello", "clock", "clock", "clock", "survey", "listen", "dial", "hush"]


def listen(addresses: list[str], **_given: Any) -> dict[str, None]:
    return dict.fromkeys(addresses)


def dial(targets: list[list[str]], **_given: Any) -> list[None]:
    return [None for _target in targets]


GOOD: Mapping[str, Answer] = {"hello": FACTS, "clock": 0.0, "survey": FOUND, "listen": listen, "dial": dial}


class Case:
    """One check of hosts, with one rank each, that answer from a script."""

    def __init__(
        self,
        settings: JobSettings | None = None,
        environment: Environment | None = None,
        project: ProjectPart | None = None,
        **hosts: Mapping[str, Answer],
    ) -> None:
        settings = settings or JobSettings(backend="ring")
        names = [HostSettings(name, name, python="3.12") for name in hosts]
        places = [RankPlace(name, (f"10.0.0.{at}",)) for at, name in enumerate(hosts, 1)]

        def plan(deployed: Deployed, _addresses: Mapping[str, str]) -> JobPlan:
            return plan_job("job", settings, names, places, sources=host_sources(), default_python="/p", default_cwd="/", deployed=deployed)

        self.events = Events()
        self.fleet = FakeFleet(hosts, settings)
        self.gather = Gather(settings, names, self.fleet.access, plan, environment, project, self.fleet)

    def run(self) -> dict[str, HostFacts]:
        self.gather.run(self.events)
        return self.gather.facts

    def calls(self, host: str) -> list[str]:
        """Return the functions that were called on a host."""
        return [do for do, _arguments in self.fleet.agents[host].calls]


def test_every_host_is_asked_in_all_rounds() -> None:
    case = Case(a=GOOD, b=GOOD)
    facts = case.run()
    assert [case.calls(host) for host in "ab"] == [ROUNDS, ROUNDS]
    assert {host: found.failure for host, found in facts.items()} == {"a": "", "b": ""}
    assert facts["a"].found == FOUND
    assert facts["a"].offset is not None
    assert (facts["a"].ranks, facts["b"].ranks) == ((0,), (1,))
    assert all(link.tried and not link.problem for link in facts["a"].links)


def test_host_that_cannot_be_reached_is_asked_nothing_more() -> None:
    case = Case(a=GOOD, b={**GOOD, "hello": lost()})
    facts = case.run()
    assert case.calls("b") == ["hello"]
    assert facts["b"].failure == "silent for 30 s: network, host or sleep"
    assert facts["b"].found == {}
    assert facts["b"].offset is None
    assert case.calls("a") == [*ROUNDS[:-2], "hush"], "nobody is there to connect to"
    assert [link.tried for link in facts["a"].links] == [False]


def test_host_lost_in_a_later_round_keeps_its_facts() -> None:
    facts = Case(a=GOOD, b={**GOOD, "dial": lost()}).run()
    assert facts["b"].failure
    assert facts["b"].found == FOUND


def test_broken_connection_has_its_error() -> None:
    facts = Case(a={**GOOD, "dial": [["ECONNREFUSED", "Connection refused"]]}, b=GOOD).run()
    [link] = facts["a"].links
    assert (link.to, link.tried, link.errno, link.problem) == ("b", True, "ECONNREFUSED", "Connection refused")
    assert facts["b"].links[0].problem == ""


def test_host_with_wrong_addresses_does_not_listen() -> None:
    wrong = {**FOUND, "addresses": {"problems": ["10.0.0.2 is not its own"]}}
    case = Case(a=GOOD, b={**GOOD, "survey": wrong})
    facts = case.run()
    assert "listen" not in case.calls("b")
    assert [link.tried for link in facts["a"].links] == [False]
    [dialled] = case.fleet.agents["b"].named("dial")
    assert [source for _address, source in dialled["targets"]] == [""], "nor does it connect from one that is not its own"


def test_python_that_does_not_run_is_not_used_for_connections() -> None:
    broken = {**FOUND, "python": {"problem": "/p is not there", "executable": ""}}
    case = Case(a={**GOOD, "survey": broken}, b=GOOD)
    case.run()
    assert case.fleet.agents["a"].named("listen")[0]["python"] == ""
    assert case.fleet.agents["b"].named("listen")[0]["python"] == "/usr/bin/python3.12"


def test_facts_of_a_cancelled_round_stand() -> None:
    answered = threading.Event()

    def survey(**_given: Any) -> Any:
        answered.set()
        return FOUND

    def stuck(**_given: Any) -> Any:
        assert answered.wait(60)
        case.gather.stop()
        raise Cancelled

    case = Case(a={**GOOD, "survey": survey}, b={**GOOD, "survey": stuck})
    with pytest.raises(Cancelled):
        case.run()
    assert case.gather.facts["a"].found == FOUND
    assert case.gather.facts["b"].found == {}


def test_root_is_decided_from_the_hosts() -> None:
    case = Case(a={**GOOD, "hello": {**FACTS, "system": "Darwin", "root_user": False}})
    case.run()
    assert case.fleet.agents["a"].named("survey")[0]["spec"]["root"] == own_roots()[0]


def test_variables_of_the_job_and_its_devices_are_known() -> None:
    case = Case(a=GOOD, b=GOOD)
    facts = case.run()
    spec = case.fleet.agents["a"].named("survey")[0]["spec"]
    assert {"MLX_RANK", "MLX_HOSTFILE"} <= set(spec["own"])
    assert spec["rdma"] is False
    assert (facts["a"].ips, facts["a"].rdma) == (("10.0.0.1",), ())
    assert _devices([None, "rdma_en2", ["rdma_en3", "rdma_en2"], []]) == ("rdma_en2", "rdma_en3")


# -- the environment


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "lock.txt").write_text(f"mlx==0.32.4 --hash=sha256:{'0' * 64}\n")
    return environment_from(JobSettings(environment=str(tmp_path / "lock.txt")))


def specs(case: Case) -> list[dict[str, Any]]:
    return [agent.named("survey")[0]["spec"] for agent in case.fleet.agents.values()]


def test_environment_is_looked_for_on_all_hosts(environment: Environment) -> None:
    case = Case(environment=environment, a=GOOD, b=GOOD)
    case.run()
    asked = case.fleet.agents["a"].named("hello")[1]
    assert asked["environment"] == {"wanted": "", "lock": environment.digest}
    keys = {spec["environment"] for spec in specs(case)}
    assert len(keys) == 1
    assert {spec["python"] for spec in specs(case)} == {f"/opt/mlxlaunch/envs/{keys.pop()}/bin/python"}


def test_host_with_another_python_has_no_environment(environment: Environment) -> None:
    other = {**GOOD, "hello": {**FACTS, "python": {**PYTHON, "version": "3.11.9"}}}
    case = Case(environment=environment, a=GOOD, b=other, c=GOOD)
    facts = case.run()
    assert "has Python 3.11.9" in facts["b"].environment_failure
    assert [bool(spec["environment"]) for spec in specs(case)] == [True, False, True]
    assert facts["b"].failure == ""


def test_host_without_python_is_asked_for_the_rest(environment: Environment) -> None:
    def hello(environment: Any, **_given: Any) -> Any:
        if environment:
            raise HostFailed("Python 3.12 is not there")
        return FACTS

    case = Case(environment=environment, a={**GOOD, "hello": hello}, b=GOOD)
    facts = case.run()
    assert facts["a"].environment_failure == "Python 3.12 is not there"
    assert facts["a"].found == FOUND


# -- the project


def test_project_is_looked_for_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("pass\n")
    settings = JobSettings(backend="ring", script=str(tmp_path / "train.py"), project_dir=str(tmp_path))
    part = project_part(settings)
    case = Case(settings, project=part, a=GOOD)
    facts = case.run()
    assert specs(case)[0]["project"] == part.identity()
    assert facts["a"].project == part.digest


def test_script_that_all_hosts_have_at_its_path_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("pass\n")
    settings = JobSettings(backend="ring", script=str(tmp_path / "train.py"))
    there = {**GOOD, "hello": {**FACTS, "script": True}}
    case = Case(settings, project=project_part(settings), a=there, b=there)
    case.run()
    assert case.fleet.agents["a"].named("hello")[0]["script"]["path"] == settings.script
    assert [spec["project"] for spec in specs(case)] == [None, None]


def project_part(settings: JobSettings) -> ProjectPart:
    project = wanted_project(settings)
    assert project
    part = ProjectPart(project, settings.script)
    part.scan(Deployed())
    return part
