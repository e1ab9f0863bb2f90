"""The steps of a launch, one by one, and all of them over a scripted world."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.policy import FINISHED, OPENING
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.cancellation import StopSources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.outcome import Outcome
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.deployed import Deployed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch import steps
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.planning import plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.steps import DeployResult
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output import run_dir as run_dir_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.fanout import Fanout
from tests.unit.controller.output.disks import limited
from tests.unit.gangs import READY, World, done, exited, ready, together
from tests.unit.launches import PlayedDeploy, request
from tests.unit.readers import output

PATIENCE = 60.0
DEPLOYED = Deployed("/root", environment="/root/envs/e", project="/root/projects/p", script="/root/projects/p/train.py")
SCRIPT = {"command": (), "script": "train.py"}


@pytest.fixture
def stops() -> Iterator[StopSources]:
    with StopSources() as stops:
        yield stops


def policy_of(result: DeployResult, **settings: Any) -> Any:
    asked = request(**settings)
    return steps.make_policy(asked.settings, plan(asked), result, lambda _planned: None)


# -- deploy


def test_nothing_to_deploy_is_nothing_deployed(stops: StopSources) -> None:
    assert steps.deployment(request(), dict) is None
    assert steps.deploy(None, stops, World()) == DeployResult()


def test_deploy_reports_and_returns_its_outcome(stops: StopSources) -> None:
    world = World()

    def play(deploy: PlayedDeploy) -> Outcome:
        deploy.report("host_deployed", "a", what="project", path="/p")
        return Outcome(DEPLOYED, problems={"b": ["no space left"]})

    assert steps.deploy(PlayedDeploy(play), stops, world) == DeployResult(DEPLOYED, {"b": ["no space left"]}, None, "sha")
    assert world.events == [{"event": "host_deployed", "host": "a", "rank": None, "what": "project", "path": "/p"}]


def test_signal_stops_the_deploy_and_is_its_cause(stops: StopSources) -> None:
    def play(deploy: PlayedDeploy) -> Outcome:
        os.kill(os.getpid(), signal.SIGINT)
        assert deploy.stopped.wait(PATIENCE)
        raise Cancelled

    result = steps.deploy(PlayedDeploy(play), stops, World())
    assert result == DeployResult(cause=Cause("interrupted", 130, "interrupted by SIGINT"), lock_sha256="sha", changed=True)


# -- finalise


def test_final_plan_has_the_paths_of_the_deploy() -> None:
    asked = request(**SCRIPT)
    final = steps.finalise(asked, plan(asked), DeployResult(DEPLOYED))
    [rank] = final.specs["b"].ranks
    assert list(rank.argv) == ["/root/envs/e/bin/python", "/root/projects/p/train.py"]
    assert list(final.specs["b"].hold) == ["/root/envs/e", "/root/projects/p"]


def test_final_plan_without_a_deploy_is_the_first() -> None:
    asked = request()
    first = plan(asked)
    assert steps.finalise(asked, first, DeployResult()) is first


def test_hosts_of_a_failed_deploy_look_for_other_problems() -> None:
    asked = request(**SCRIPT)
    failed = DeployResult(DEPLOYED, {"b": ["no space left"]})
    final = steps.finalise(asked, plan(asked), failed)
    sent = steps.specs_to_send(request(environment="copy", **SCRIPT), final, failed)
    assert [(spec["hold"], spec["script"], spec["python"]) for spec in sent.values()] == [([], "", "")] * 2
    sent = steps.specs_to_send(asked, final, DeployResult(DEPLOYED))
    assert {host: {**spec, "key": ""} for host, spec in sent.items()} == {host: spec.to_wire() for host, spec in final.specs.items()}
    assert len({spec["key"] for spec in sent.values()}) == 1


# -- policy


def test_policy_has_the_limits_of_the_settings() -> None:
    limits = policy_of(DeployResult(), grace=1, lease=20, connect_timeout=3, timeout=4).limits
    assert (limits.grace, limits.lease, limits.connect, limits.timeout) == (1, 20, 3, 4)


def test_deploy_lets_go_when_all_hosts_are_ready_and_not_before() -> None:
    deployed = PlayedDeploy(lambda _deploy: Outcome())
    with steps.Handover(deployed) as handover:
        asked = request()
        policy = steps.make_policy(asked.settings, plan(asked), DeployResult(), lambda _planned: None, handover.begin)
        policy.begin(0.0)
        policy.on_ready("a", READY, 0.0)
        assert not deployed.released.is_set()
        policy.on_ready("b", READY, 0.0)
        assert deployed.released.wait(PATIENCE)


def test_deploy_lets_go_at_the_end_in_any_case() -> None:
    deployed = PlayedDeploy(lambda _deploy: Outcome())
    with pytest.raises(UsageError), steps.Handover(deployed):
        raise UsageError("the plan does not fit")
    assert deployed.released.is_set()
    with steps.Handover(None) as handover:
        handover.begin()


def test_interrupted_deploy_ends_the_job() -> None:
    cause = Cause("interrupted", 130, "interrupted by SIGINT")
    policy = policy_of(DeployResult(cause=cause, problems={"a": ["gone"]}))
    assert (policy.phase, policy.cause, policy.problems) == (FINISHED, cause, {})


def test_failed_deploy_refuses_its_hosts_only() -> None:
    policy = policy_of(DeployResult(problems={"a": ["no space left"]}))
    assert (policy.phase, policy.opening, policy.problems) == (OPENING, ["b"], {"a": ["no space left"]})


def test_other_range_of_ports_is_announced_to_the_caller() -> None:
    asked = request(starting_port="auto")
    planned, chosen = plan(asked), []
    policy = steps.make_policy(asked.settings, planned, DeployResult(), chosen.append)
    assert planned.late
    assert planned.late.ports
    second = planned.late.ports.shifts[1]
    for host in ("a", "b"):
        policy.on_ready(host, {"shifts": [second]}, 0.0)
    ports = [int(rank.listen[0].rpartition(":")[2]) for plan in (planned, *chosen) for rank in plan.table.ranks]
    assert ports[2:] == [port + second for port in ports[:2]]


# -- run and result


def launched(world: World, run_dir: Path, task: PlayedDeploy | None, stops: StopSources, **settings: Any) -> dict[str, Any]:
    """Launch as the task does, over a scripted world."""
    asked = request(**settings)
    first = plan(asked)
    record = steps.make_run_dir(str(run_dir), "job-1", lambda: None)
    steps.announce(asked, first, world, world)
    deployed = steps.deploy(task, stops, world)
    final = steps.finalise(asked, first, deployed)
    steps.write_record(asked, deployed, record, final)
    policy = steps.make_policy(asked.settings, final, deployed, lambda _planned: None)
    steps.run(policy, steps.specs_to_send(asked, final, deployed), world, stops, world, world)
    outcome = steps.result(policy, record, world, 1.25)
    record.close()
    return outcome


def test_launch_goes_from_announcement_to_result(tmp_path: Path, stops: StopSources) -> None:
    world = World((0.0, ready("a", "b")), (0.0, together(exited("a", 0), exited("b", 1))), (0.0, done("a", "b")))
    outcome = launched(world, tmp_path, PlayedDeploy(lambda _deploy: Outcome(DEPLOYED)), stops, default_stdin="all", **SCRIPT)
    assert world.kinds() == ["job_started", "host_ready", "host_ready", "rank_exited", "rank_exited", "job_finished"]
    assert (world.events[0]["world_size"], world.events[0]["hosts"]) == (2, ["a", "b"])
    assert [frame.json() for frame in world.forwarded] == [{"ranks": [0, 1], "tty": False}]
    assert [spec["script"] for _host, _fresh, spec in world.opened] == ["/root/projects/p/train.py"] * 2
    assert (outcome["returncode"], outcome["cause"], outcome["duration"]) == (0, "finished", 1.25)
    assert {**world.events[-1], "event": 0, "host": 0, "rank": 0} == {**outcome, "event": 0, "host": 0, "rank": 0}


def test_interrupt_in_the_deploy_opens_no_connection(tmp_path: Path, stops: StopSources) -> None:
    def play(deploy: PlayedDeploy) -> Outcome:
        os.kill(os.getpid(), signal.SIGTERM)
        assert deploy.stopped.wait(PATIENCE)
        raise Cancelled

    world = World()
    outcome = launched(world, tmp_path, PlayedDeploy(play), stops)
    assert (outcome["returncode"], outcome["cause"], outcome["message"]) == (143, "interrupted", "interrupted by SIGTERM")
    assert world.opened == []
    assert world.kinds() == ["job_started", "job_finished"]


def test_signal_between_deploy_and_run_is_not_lost(tmp_path: Path, stops: StopSources) -> None:
    asked = request()
    policy = steps.make_policy(asked.settings, plan(asked), DeployResult(), lambda _planned: None)
    os.kill(os.getpid(), signal.SIGHUP)
    world = World()
    steps.run(policy, {"a": {}, "b": {}}, world, stops, world, world)
    assert (policy.returncode, world.opened) == (129, [])


def test_record_has_the_deploy_and_its_lock(tmp_path: Path) -> None:
    asked = request(**SCRIPT)
    run_dir = steps.make_run_dir(str(tmp_path), "job-1", lambda: None)
    steps.write_record(asked, DeployResult(DEPLOYED, lock_sha256="sha"), run_dir, plan(asked, DEPLOYED))
    run_dir.close()
    record = json.loads((tmp_path / "job-1" / "job.json").read_text(encoding="utf-8"))
    assert record["inventory"] == {"paths": ["hosts.yml"]}
    assert (record["deployed"]["project"], record["deployed"]["lock_sha256"]) == ("/root/projects/p", "sha")
    assert record["hosts"]["a"]["argv"] == ["/root/envs/e/bin/python", "/root/projects/p/train.py"]


def test_record_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end waits for a while, says so, and then which output is lost."""
    monkeypatch.setattr(run_dir_module, "PATIENCE", 0.5)
    monkeypatch.setattr(steps, "_LOOK", 0.1)
    run_dir = steps.make_run_dir(str(tmp_path), "job-1", lambda: None)
    world = World()
    with limited(1000):
        run_dir.output(output(0), bytes(600))
        run_dir.settle(30)
        run_dir.output(output(0, offset=600), bytes(600))
        steps.result(policy_of(DeployResult()), run_dir, world, 0.0)
    run_dir.close()
    assert world.kinds() == ["warning", "warning", "job_finished"]
    path = tmp_path / "job-1"
    assert world.events[0]["text"].startswith(f"cannot write {path}/0/stdout.log: File too large; the job goes on")
    assert world.events[1]["text"] == (f"the record in {path} is not complete: File too large; lost: rank 0 stdout from byte 600 to 1200")
    assert (path / "0/stdout.log").stat().st_size == 600


class LateFanout(Fanout):
    """One whose reader takes everything at the third tick, or never."""

    def __init__(self, ticks: int, *, broken: bool = False) -> None:
        super().__init__()
        self._left = ticks
        self._broken = broken

    def tick(self, now: float) -> None:  # noqa: ARG002
        self._left -= 1

    def deadline(self) -> float | None:
        return 0.0

    @property
    def late(self) -> bool:
        return self._left > 0

    @property
    def broken(self) -> bool:
        return self._broken


def test_end_waits_for_a_slow_reader(stops: StopSources) -> None:
    fanout = LateFanout(3)
    steps.deliver(fanout, stops, World())
    assert not fanout.late


def test_end_does_not_wait_for_a_reader_that_is_gone(stops: StopSources) -> None:
    steps.deliver(LateFanout(10**9, broken=True), stops, World())


def test_end_does_not_wait_for_a_reader_against_a_signal(stops: StopSources) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    steps.deliver(LateFanout(10**9), stops, World())


def test_run_directory_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--log-dir .*/file: cannot make the run directory: File exists"):
        steps.make_run_dir(str(tmp_path / "file"), "job-1", lambda: None)
