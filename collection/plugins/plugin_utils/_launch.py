# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: one launch, from Ansible's variables to the result. Used by the action plugin only."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.release import __version__ as ansible_version

from ._children import Cancelled
from ._control import Control
from ._errors import UsageError
from ._exits import RankEnd
from ._gang import Gang, HostPlan
from ._hashes import project_now, wanted_project
from ._interruption import Interruption
from ._mpi_policy import MpiPolicy
from ._plan import Deployed, HostSettings, JobPlan, plan_job
from ._plantext import headline
from ._policy import FINISHED, Cause, Limits, Policy
from ._project import Project
from ._ranktable import Place
from ._record import job_record, rank_differences
from ._settings import JobSettings
from ._sinks import RunDir, default_log_dir, log_path
from ._stdin import takers, takers_frame, with_stdin
from ._task import Task
from ._version import VERSION

if TYPE_CHECKING:
    from ._deploy import Deploy, Outcome

TAIL_LINES = 8


class Launch(Task):
    """One launch on behalf of a task."""

    def _run(self) -> dict[str, Any]:
        settings = self._check()
        hosts = [self._hosts.settings(name) for name in self._hosts.names(settings.group)]
        # Once: a name may resolve to another address the next time, and the ranks' table is one.
        rank_places = self._places(hosts, settings.backend)
        plan = self._plan(settings, hosts, rank_places, Deployed())
        if self._expected and (different := rank_differences(self._expected, plan.table)):
            raise UsageError(f"the hosts are not what they were in that run: {'; '.join(different)}")
        # Now, so that what cannot work is told before anything is started.
        connect = {name: self._hosts.channel(name, plan.specs[name]["python"]) for name in plan.table.hosts}
        if self.dry_run:
            return self._tell(settings, hosts, rank_places)
        deploy = self._deploy(settings, hosts, plan)
        run_dir = self._make_run_dir(settings)
        limits = Limits(settings.grace, settings.lease, settings.connect_timeout, settings.timeout)
        declared = frozenset().union(*(rank["env"] for spec in plan.specs.values() for rank in spec["ranks"]))
        gang = Gang(self.job, make_policy(plan, limits, declared), [run_dir], self._control)
        started = time.monotonic()
        sink = self._sink(settings, gang.wake, {rank.rank: rank.host for rank in plan.table.ranks})
        gang.add_sink(sink)
        gang.tell_launcher(takers_frame(self._takers(settings, plan), tty=settings.tty))
        try:
            gang.start()
            outcome = bring(deploy, gang, self._control) if deploy else None
            deployed = outcome.deployed if outcome else Deployed()
            plan = self._plan(settings, hosts, rank_places, deployed) if deploy else plan
            if plan.mpi and isinstance(gang.policy, MpiPolicy):
                gang.policy.use(plan.mpi)

            def record(plan: JobPlan) -> None:
                run_dir.write("job.json", self._record(settings, plan, deployed, deploy))

            record(plan)
            if plan.ports:
                gang.policy.settle = partial(plan.ports.settle, chosen=record)
            specs = plan.specs
            if outcome and outcome.problems:
                specs = {host: without_deployed(spec, deployed) for host, spec in specs.items()}
            if gang.policy.phase != FINISHED:
                gang.run({name: HostPlan(connect[name], specs[name]) for name in plan.table.hosts})
            else:
                gang.end()
            result = summary(gang.policy, run_dir.path, time.monotonic() - started)
            if run_dir.failed:
                gang.report("warning", text=f"the record in {run_dir.path} is not complete: {run_dir.failed.strerror}")
            gang.report("job_finished", **result)
        finally:
            sink.close()
            run_dir.close()
        return result

    def _plan(self, settings: JobSettings, hosts: Sequence[HostSettings], rank_places: Sequence[Place], deployed: Deployed) -> JobPlan:
        plan = plan_job(
            self.job,
            settings,
            hosts,
            rank_places,
            default_python=self._default_python,
            default_cwd=self._default_cwd,
            terminal=self._terminal_size(),
            deployed=deployed,
        )
        return with_stdin(plan, self._takers(settings, plan), tty=settings.tty, screen=self._terminal_size(), term=self._term)

    def _takers(self, settings: JobSettings, plan: JobPlan) -> tuple[int, ...]:
        return takers(settings, self._default_stdin, plan.table.world_size) if self._control else ()

    def _record(self, settings: JobSettings, plan: JobPlan, deployed: Deployed, deploy: Deploy | None) -> dict[str, Any]:
        return job_record(
            settings,
            plan,
            inventory=self._inventory or {"paths": self._hosts.sources},
            deployed={
                **asdict(deployed),
                "project_digest": deployed.project_digest or project_now(settings),
                "lock_sha256": deploy.lock_sha256 if deploy else "",
            },
            command=self._command,
            versions={"mlxlaunch": VERSION, "ansible-core": ansible_version, "python": platform.python_version()},
        )

    def _tell(self, settings: JobSettings, hosts: Sequence[HostSettings], rank_places: Sequence[Place]) -> dict[str, Any]:
        """Say what would be done, and do nothing."""
        from ._dry_run import describe, expected  # late, as most launches are none

        project = _project(settings, hosts)
        local = all(host.local for host in hosts)
        deployed = expected(settings, project, environment=bool(settings.sync and settings.environment), local=local)
        plan = self._plan(settings, hosts, rank_places, deployed)
        told = describe(settings, hosts, plan, deployed, project, {host.name: self._hosts.ssh_name(host) for host in hosts})
        sink = self._sink(settings, lambda: None, {})
        self._reporter(sink)("job_planned", plan=told)
        sink.close()
        return {"returncode": 0, "cause": "planned", "message": f"would run {headline(told)}", "plan": told}

    def _deploy(self, settings: JobSettings, hosts: Sequence[HostSettings], plan: JobPlan) -> Deploy | None:
        """Return what has to be done before the launch, None when nothing has to."""
        project = _project(settings, hosts)
        if not project and not (settings.sync and settings.environment):
            return None
        from ._deploy import Deploy  # late: a launch that brings nothing does without

        access = {host.name: self._hosts.access(host, settings) for host in hosts if host.name in plan.table.hosts}
        return Deploy(settings, project, access)

    def _make_run_dir(self, settings: JobSettings) -> RunDir:
        base = Path(settings.log_dir).expanduser() if settings.log_dir else default_log_dir()
        try:
            return RunDir(base / self.job)
        except OSError as exc:
            raise UsageError(f"--log-dir {base}: cannot make the run directory: {exc.strerror}") from None


def make_policy(plan: JobPlan, limits: Limits, declared: Collection[str]) -> Policy:
    """Return the rules of a job, in their first state."""
    now = time.monotonic()
    return MpiPolicy(plan.mpi, limits, now, declared) if plan.mpi else Policy(plan.table, limits, now, declared)


def _project(settings: JobSettings, hosts: Sequence[HostSettings]) -> Project | None:
    """Return what the hosts are to get, None when they get nothing or are this machine."""
    return wanted_project(settings) if settings.sync and not all(host.local for host in hosts) else None


def without_deployed(spec: Mapping[str, Any], deployed: Deployed) -> dict[str, Any]:
    """Return a host's part of a launch that will not happen, to be looked at for what else is wrong there."""
    missing = {"script": ""} if deployed.project else {}
    return {**spec, "hold": [], **missing, **({"python": ""} if deployed.environment else {})}


def bring(deploy: Deploy, gang: Gang, control: Control | None) -> Outcome:
    """Deploy before the launch; what keeps it from happening is then in the gang's policy."""
    from ._deploy import Outcome

    with Interruption(deploy.stop, control) as interruption:
        try:
            outcome = deploy.run(gang.report)
        except Cancelled:
            outcome = Outcome()
    if interruption.cause:
        gang.policy.stop(interruption.cause, time.monotonic())
    elif outcome.problems:
        gang.policy.refuse(outcome.problems, time.monotonic())
    return outcome


def summary(policy: Policy, run_dir: Path, duration: float) -> dict[str, Any]:
    """Return the outcome of a finished job as the job_finished event and the task's result tell it."""
    failure = policy.first_failure
    returncode = policy.returncode
    cause = policy.cause
    if not cause:
        cause = Cause("finished", 0, "all ranks returned 0") if returncode == 0 else Cause("incomplete", 1, "not every rank's end is known")
    return {
        "returncode": returncode,
        "cause": cause.kind,
        "message": cause.message,
        "problems": policy.problems,
        "first_failure": _failure(failure, run_dir) if failure else None,
        "ranks": [_rank_result(rank.rank, rank.host, policy.ends.get(rank.rank)) for rank in policy.table.ranks],
        "duration": round(duration, 3),
        "run_dir": str(run_dir),
        "cwd": policy.hosts[policy.table.ranks[0].host].facts.get("cwd", ""),
    }


def _rank_result(rank: int, host: str, end: RankEnd | None) -> dict[str, Any]:
    return {
        "rank": rank,
        "host": host,
        "returncode": end.returncode if end else None,
        "signal": end.signal_name if end else None,
        "duration": round(end.duration, 3) if end else None,
        "stopped": end.stopped if end else False,
    }


def _failure(end: RankEnd, run_dir: Path) -> dict[str, Any]:
    return {**_rank_result(end.rank, end.host, end), "error": end.error, "tail": tail(run_dir, end.rank)}


def tail(run_dir: Path, rank: int) -> list[str]:
    """Return a rank's last lines: of stderr, or of stdout when it said nothing there."""
    for stream in ("stderr", "stdout"):
        try:
            with log_path(run_dir, rank, stream).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            continue
        if any(line.strip() for line in lines):
            return lines[-TAIL_LINES:]
    return []
