# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a launch once there is a plan: deploy, finalise the plan, run, result."""

from __future__ import annotations

import contextlib
import platform
import secrets
import selectors
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

from ansible.release import __version__ as ansible_version

from ...module_utils.lead.collaborators import Connections, Decide, Decision, no_decision
from ...module_utils.lead.gang import Gang
from ...module_utils.lead.outcome import Cause
from ...module_utils.lead.policy import Limits, Policy
from ..caller.cancellation import StopSources
from ..hosts.subprocesses import Cancelled
from ..job.deployed import Deployed
from ..job.errors import UsageError
from ..job.settings import BY_NAME, JobSettings
from ..job.version import VERSION
from ..output.fanout import Fanout
from ..output.record.runs import prune
from ..output.reporter import Reporter
from ..output.run_dir import RunDir, log_folder
from ..plan.plan import JobPlan
from ..plan.record import job_record
from ..plan.stdin_readers import readers_frame
from .planning import plan
from .request import LaunchRequest
from .result import Hint, launch_result, no_hint

if TYPE_CHECKING:
    from ..deploy.deploy import Deploy
    from ..deploy.outcome import Outcome
    from ..hosts.access import Access

_TIDYING = 5.0  # seconds for the records of old jobs to go, from the end of this one
_LOOK = 1.0  # seconds between two looks at a slow disk or reader


@dataclass(frozen=True)
class DeployResult:
    """The end of a deploy, or of a launch's need for one.

    Attributes:
        deployed: what is on every host now.
        problems: by host, why the deploy failed there.
        cause: why the deploy was ended early, or None.
        lock_sha256: digest of the environment's lock file, or "".
        changed: whether a host got something, or may have got it before the early end.
    """

    deployed: Deployed = field(default_factory=Deployed)
    problems: Mapping[str, list[str]] = field(default_factory=dict)
    cause: Cause | None = None
    lock_sha256: str = ""
    changed: bool = False


class Deployment(Protocol):
    """A deploy that can be run once; see `deploy.deploy.Deploy`."""

    @property
    def lock_sha256(self) -> str:
        """Digest of the environment's lock file, or ""."""

    def run(self, report: Callable[..., None]) -> Outcome:
        """Run it to its end; raise Cancelled when it was stopped."""

    def stop(self) -> None:
        """End it from another thread."""

    def release(self) -> None:
        """Let go of the hosts, which until then hold what was deployed."""


class Handover:
    """What was deployed, until the supervisors of all hosts hold it: nobody may remove it in between.

    Args:
        task: the deploy, or None.
    """

    def __init__(self, task: Deployment | None) -> None:
        self._thread = threading.Thread(target=task.release, name="mlxlaunch-release", daemon=True) if task else None

    def __enter__(self) -> Self:
        return self

    def begin(self) -> None:
        """Let the deploy's agents go. In the background: one that hangs must not keep the ranks from starting."""
        if self._thread and self._thread.ident is None:
            self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self.begin()
        if self._thread:
            self._thread.join()


def deployment(request: LaunchRequest, access: Callable[[], Mapping[str, Access]]) -> Deploy | None:
    """Return the deploy that has to come before the ranks, or None.

    Args:
        request: the job.
        access: returns how to deploy to each host of it.
    """
    if not request.brings:
        return None
    from ..deploy.deploy import Deploy  # late: most launches deploy nothing

    return Deploy(request.settings, request.project, access())


def make_run_dir(log_dir: str, job: str, wake: Callable[[], None]) -> RunDir:
    """Make the directory for the record of a job; raise UsageError if that is not possible.

    Args:
        log_dir: the parent of run directories, "" for the usual one.
        job: its id.
        wake: see `RunDir`.
    """
    base = log_folder(log_dir)
    try:
        return RunDir(base / job, wake)
    except OSError as exc:
        raise UsageError(f"{BY_NAME['log_dir'].shown} {base}: cannot make the run directory: {exc.strerror}") from None


@contextlib.contextmanager
def runs_pruned(settings: JobSettings) -> Iterator[None]:
    """Remove the records of old jobs, in a thread of its own: no reason for ranks to wait, and hardly one to stay."""
    base = log_folder(settings.log_dir)
    thread = threading.Thread(target=prune, args=(base, settings.keep_runs), name="mlxlaunch-prune", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(_TIDYING)


def announce(request: LaunchRequest, planned: JobPlan, reporter: Reporter, fanout: Fanout) -> None:
    """Report that there is a job, and to the launching program the ranks that read standard input."""
    fanout.forward(readers_frame(request.readers(planned.table.world_size), tty=request.settings.tty))
    size, hosts, settings = planned.table.world_size, list(planned.table.hosts), request.settings
    reporter.emit("job_started", world_size=size, hosts=hosts, prefix=settings.prefix, verbose=settings.verbose)


def deploy(task: Deployment | None, stops: StopSources, reporter: Reporter) -> DeployResult:
    """Deploy, if there is anything to deploy; a request to stop ends it."""
    if task is None:
        return DeployResult()
    with stops.watch(task.stop) as watch:
        try:
            outcome = task.run(reporter.emit)
        except Cancelled:
            outcome = None
    if outcome is None:
        return DeployResult(cause=watch.cause, lock_sha256=task.lock_sha256, changed=True)
    return DeployResult(outcome.deployed, outcome.problems, watch.cause, task.lock_sha256, bool(outcome.changed))


def finalise(request: LaunchRequest, first: JobPlan, result: DeployResult) -> JobPlan:
    """Return the plan with the paths of the deploy.

    Args:
        request: the job.
        first: the plan from before the deploy.
        result: the end of the deploy.
    """
    return first if result.deployed == Deployed() else plan(request, result.deployed)


def specs_to_send(request: LaunchRequest, planned: JobPlan, result: DeployResult) -> Mapping[str, Mapping[str, Any]]:
    """Return the specification of each host; after a failed deploy, one that only asks for other problems."""
    specs = planned.specs
    if result.problems:
        # Whatever was to be brought is not there: that is no news about a host.
        brought = {"script": request.project or result.deployed.project, "python": request.wants_environment or result.deployed.environment}
        without = {name: "" for name, part in brought.items() if part}
        specs = {host: spec.replace(hold=(), **without) for host, spec in specs.items()}
    key, verbose = secrets.token_hex(16), request.settings.verbose
    return {host: spec.replace(key=key, verbose=verbose).to_wire() for host, spec in specs.items()}


def write_record(request: LaunchRequest, result: DeployResult, run_dir: RunDir, planned: JobPlan) -> None:
    """Write job.json."""
    deployed = {
        **asdict(result.deployed),
        "project_digest": result.deployed.project_digest or request.project_digest,
        "lock_sha256": result.lock_sha256,
    }
    versions = {"mlxlaunch": VERSION, "ansible-core": ansible_version, "python": platform.python_version()}
    record = job_record(request.settings, planned, inventory=request.inventory, deployed=deployed, versions=versions)
    run_dir.write("job.json", record)


def make_policy(
    settings: JobSettings,
    planned: JobPlan,
    result: DeployResult,
    on_plan: Callable[[JobPlan], None],
    on_ready: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda _text: None,
) -> Policy:
    """Return the rules of a job, in their first state; the deploy may have ended it already.

    Args:
        settings: those of the job.
        planned: its final plan.
        result: the end of the deploy.
        on_plan: called with the plan for another range of ports, or for addresses, when the hosts' facts demand one.
        on_ready: called when every host is ready, and holds what it needs.
        warn: called with a line for the user.
    """
    now = time.monotonic()
    limits = Limits(settings.grace, settings.lease, settings.connect_timeout, settings.timeout)
    declared = frozenset().union(*(rank.env for spec in planned.specs.values() for rank in spec.ranks))
    decide: Decide = no_decision
    mpirun = None
    if planned.mpi:
        from ...module_utils.lead.mpirun import MpirunMachine  # late: the other backends do without

        decide, mpirun = planned.mpi.decide, MpirunMachine(planned.mpi, limits)
    elif planned.late:
        decide = partial(planned.late.decide, planned.specs, chosen=on_plan)

    def decide_when_ready(facts: Mapping[str, Mapping[str, Any]]) -> Decision:
        on_ready()
        if note := planned.late.note(facts) if planned.late else "":
            warn(note)
        return decide(facts)

    policy = Policy(planned.table, limits, now, declared=declared, decide=decide_when_ready, mpirun=mpirun)
    if result.cause:
        policy.stop(result.cause, now)
    elif result.problems:
        policy.refuse(result.problems, now)
    return policy


def run(
    policy: Policy,
    specs: Mapping[str, Mapping[str, Any]],
    connections: Connections,
    stops: StopSources,
    reporter: Reporter,
    fanout: Fanout,
) -> None:
    """Run the job to its end."""
    Gang(policy, specs, connections, stops, reporter, fanout).run()


def hint_for(request: LaunchRequest, deployed: Deployed) -> Hint:
    """Return the function that gives a hint for the last lines of a rank that failed."""

    def hint(tail: Sequence[str]) -> str:
        from .missing_module import file_hint, import_hint  # late: most jobs end well

        brought, alone = bool(deployed.script), not request.settings.project_dir
        return import_hint(tail, brought=brought, alone=alone) or file_hint(tail, brought=brought, alone=alone, here=request.default_cwd)

    return hint


def result(policy: Policy, run_dir: RunDir, reporter: Reporter, duration: float, hint: Hint = no_hint) -> dict[str, Any]:
    """Report the outcome of a finished job, and return it; for `hint` see `launch_result`."""
    while not run_dir.settle(_LOOK):
        for text in run_dir.warnings():
            reporter.emit("warning", text=text)
    outcome = launch_result(policy, run_dir.path, duration, readable=not run_dir.hangs, hint=hint)
    missing = run_dir.missing()
    if missing:
        reporter.emit("warning", text=f"the record in {run_dir.path} is not complete: {missing}")
    reporter.emit("job_finished", **outcome)
    return outcome


def deliver(fanout: Fanout, stops: StopSources, reporter: Reporter) -> None:
    """Wait until slow readers have everything, are gone, or somebody asks to end."""
    with selectors.DefaultSelector() as selector:
        selector.register(stops.fileno(), selectors.EVENT_READ)
        while fanout.late and not fanout.broken and not stops.pending():
            due = fanout.deadline()
            selector.select(_LOOK if due is None else min(_LOOK, max(0.0, due - time.monotonic())))
            fanout.tick(time.monotonic())
            for text in fanout.warnings():
                reporter.emit("warning", text=text)
