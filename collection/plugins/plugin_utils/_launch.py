# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: one launch, from Ansible's variables to the result. Used by the action plugin only."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import _terminal
from ._ansible import Connector, inventory_sources, layered_env
from ._backends import check_env
from ._channel import host_command
from ._control import Control
from ._describe import Describer, make_prefix
from ._errors import LaunchError, UsageError
from ._exits import RankEnd
from ._gang import Gang, HostPlan
from ._hostfile import check_host_name, hostfile_from_data
from ._ids import new_job_id
from ._plan import HostSettings, JobPlan, host_settings, places, plan_job
from ._policy import Cause, Limits, Policy
from ._settings import JobSettings, check_settings
from ._sinks import DisplaySink, RunDir, Sink, SocketSink, TerminalSink, default_log_dir, log_path

TAIL_LINES = 8


class Launch:
    """One launch on behalf of a task.

    Args:
        options: the action's options.
        task, play_context, templar: those of the action.
        task_vars: the variables of the task's host.
        show: Ansible's display, for when no sink of ours can reach the terminal.
    """

    def __init__(self, options: Mapping[str, Any], task: Any, play_context: Any, templar: Any, task_vars: Mapping[str, Any], show: Any):
        self._hostvars = task_vars["hostvars"]
        self._task_vars = task_vars
        self._templar = templar
        self._connector = Connector(task, play_context)
        self._show = show
        options = dict(options)
        path = options.pop("control", None)
        self._control = Control(path) if path else None
        setup = self._control.setup if self._control else {}
        self._hostfile = setup.get("hostfile") or options.pop("hostfile", None)
        self._terminal = setup.get("terminal")
        self._default_cwd = setup.get("default_cwd") or os.getcwd()
        self._default_python = setup.get("default_python") or task_vars.get("ansible_playbook_python") or sys.executable
        self.job = setup.get("job") or new_job_id()
        self._options = options | setup.get("settings", {})

    def run(self) -> dict[str, Any]:
        """Run the job to its end and return the result; a LaunchError when nothing could be started."""
        try:
            return self._run()
        except LaunchError as exc:
            if self._control:
                self._control.refuse(self.job, exc.returncode, str(exc))
            raise
        finally:
            if self._control:
                self._control.close()

    def plan(self) -> tuple[JobSettings, JobPlan, dict[str, HostPlan]]:
        """Return what would run, without touching any host."""
        settings = check_settings(self._options)
        names = self._host_names(settings.group)
        hosts = [self._host_settings(name) for name in names]
        plan = plan_job(
            self.job,
            settings,
            hosts,
            self._places(hosts),
            default_python=self._default_python,
            default_cwd=self._default_cwd,
            terminal=self._terminal_size(),
        )
        return settings, plan, {name: self._host_plan(name, plan.specs[name]) for name in plan.table.hosts}

    def _run(self) -> dict[str, Any]:
        settings, plan, host_plans = self.plan()
        run_dir = self._make_run_dir(settings)
        limits = Limits(settings.grace, settings.lease, settings.connect_timeout, settings.timeout)
        declared = frozenset().union(*(rank["env"] for spec in plan.specs.values() for rank in spec["ranks"]))
        gang = Gang(self.job, Policy(plan.table, limits, time.monotonic(), declared), host_plans, [run_dir], self._control)
        started = time.monotonic()
        sink = self._sink(settings, plan, gang)
        gang.add_sink(sink)
        try:
            gang.run()
            result = summary(gang.policy, run_dir.path, time.monotonic() - started)
            if run_dir.failed:
                gang.report("warning", text=f"the record in {run_dir.path} is not complete: {run_dir.failed.strerror}")
            gang.report("job_finished", **result)
        finally:
            sink.close()
            run_dir.close()
        return result

    # -- hosts

    def _host_names(self, group: str) -> list[str]:
        members = self._task_vars.get("groups", {}).get(group)
        if not members:
            known = ", ".join(sorted(self._task_vars.get("groups", {})))
            where = ", ".join(inventory_sources(self._hostvars)) or "no inventory is given"
            raise UsageError(f"inventory {where}: group {group!r} has no hosts; the groups are: {known}")
        chosen = set(self._task_vars.get("ansible_play_hosts_all") or members)
        # A play for localhost drives the group as a whole; a play for the group honours --limit.
        inside = [name for name in members if name in chosen]
        return inside or list(members)

    def _host_settings(self, name: str) -> HostSettings:
        check_host_name(name, "inventory")
        variables = self._hostvars[name]
        env: dict[str, str] = {}
        for layer in layered_env(self._hostvars, self._templar, name):
            if not isinstance(layer, Mapping):
                raise UsageError(f"{name}: mlx_env: want a mapping of names to values")
            env |= check_env(layer, f"{name}: mlx_env")
        local = variables.get("ansible_connection") in ("local", "ansible.builtin.local")
        return host_settings(name, variables, env | dict(self._options.get("env") or {}), local)

    def _places(self, hosts: Sequence[HostSettings]) -> list[tuple[str, tuple[str, ...]]]:
        if not self._hostfile:
            return places(hosts, resolve_ipv4)
        known = {host.name: host for host in hosts}
        found = []
        for entry in hostfile_from_data(self._hostfile).entries:
            if entry.ssh not in known:
                raise UsageError(f"hostfile: {entry.ssh} is not in the inventory")
            found += places([known[entry.ssh]], resolve_ipv4)[:1] if not entry.ips else [(entry.ssh, entry.ips)]
        return found

    def _host_plan(self, name: str, spec: Mapping[str, Any]) -> HostPlan:
        variables = self._hostvars[name]
        own = variables.get("ansible_python_interpreter") or ""
        pythons = [python for python in (own if own.startswith("/") else "", spec["python"]) if python]
        command = host_command(pythons)

        def connect(fresh: bool) -> Sequence[str]:
            return self._connector.argv(name, variables, command, fresh=fresh)

        argv = connect(False)  # now, so that what cannot work is told before anything is started
        return HostPlan(lambda fresh: connect(True) if fresh else argv, spec)

    # -- sinks

    def _make_run_dir(self, settings: JobSettings) -> RunDir:
        base = Path(settings.log_dir).expanduser() if settings.log_dir else default_log_dir()
        try:
            return RunDir(base / self.job)
        except OSError as exc:
            raise UsageError(f"--log-dir {base}: cannot make the run directory: {exc.strerror}") from None

    def _sink(self, settings: JobSettings, plan: JobPlan, gang: Gang) -> Sink:
        if self._control:
            return SocketSink(self._control.socket, gang.wake)
        host_of = {rank.rank: rank.host for rank in plan.table.ranks}
        fds = _terminal.descriptors()
        colours = [_terminal.wants_colour(fd) for fd in fds] if fds else [False, False]
        prefix = make_prefix(host_of, colours[0]) if settings.prefix else None
        describe = Describer(colours[1], settings.verbose)
        if fds:
            return TerminalSink(fds, describe, prefix, gang.wake)
        return DisplaySink(self._show, describe, prefix, whole_lines=_terminal.under_runner())

    def _terminal_size(self) -> tuple[int, int] | None:
        if self._terminal:
            return int(self._terminal[0]), int(self._terminal[1])
        fds = _terminal.descriptors()
        if fds and os.isatty(fds[0]):
            size = os.get_terminal_size(fds[0])
            return size.columns, size.lines
        return None


def resolve_ipv4(name: str) -> list[str]:
    """Return the IPv4 addresses of a name."""
    found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    return [str(item[4][0]) for item in found]


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
