"""Jobs for tests: rank tables, and histories that are replayed on a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.policy import Action, Close, Emit, Limits, Policy, Recover, Send
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_table import RankTable
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.backends import listeners
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import build_rank_table

LIMITS = Limits(grace=10, lease=30, connect=30, timeout=0, recover=10)
KINDS = {wire.GO: "go", wire.STOP: "stop", wire.KILL: "kill", wire.PING: "ping", wire.BYE: "bye"}

# Something that happens to a policy at a time.
Event = Callable[[Policy, float], None]


def ranks_on(*hosts: str, backend: str = "ring") -> RankTable:
    """Return the rank table of a job with one rank per name; a name may stand several times."""
    address = {host: f"10.0.0.{at}" for at, host in enumerate(dict.fromkeys(hosts), 1)}
    return build_rank_table([(host, (address[host],)) for host in hosts], listeners=listeners(backend))


def job(*hosts: str, declared: Sequence[str] = (), **limits: float) -> Policy:
    """Return the policy of a job that begins at 0, with one rank per name."""
    return Policy(ranks_on(*(hosts or ("a", "b"))), replace(LIMITS, **limits), 0.0, declared=declared)


def ready(host: str, **facts: Any) -> Event:
    return lambda policy, now: policy.on_ready(host, facts, now)


def refused(host: str, *problems: str) -> Event:
    return lambda policy, now: policy.on_refused(host, list(problems), now)


def started(rank: int, pid: int = 4711) -> Event:
    return lambda policy, _now: policy.on_started(rank, pid)


def exited(rank: int, code: int = 0, *, signal: int = 0, at: float = 1.0, stopped: bool = False, error: str = "") -> Event:
    how = {"code": code, "signal": signal, "at": at, "stopped": stopped, "error": error}
    return lambda policy, now: policy.on_exited(rank, how, now)


def done(host: str, left: Mapping[str, str] | None = None) -> Event:
    return lambda policy, _now: policy.on_done(host, left or {})


def heard(*hosts: str) -> Event:
    def event(policy: Policy, now: float) -> None:
        for host in hosts:
            policy.on_heard(host, now)

    return event


def closed(host: str, reason: str = "connection reset") -> Event:
    return lambda policy, now: policy.on_closed(host, reason, now)


def stop(returncode: int = 130, *, kill: bool = False) -> Event:
    return lambda policy, now: policy.stop(Cause("interrupted", returncode, "interrupted by SIGINT"), now, kill=kill)


def tick() -> Event:
    return lambda policy, now: policy.on_tick(now)


def replay(policy: Policy, *history: tuple[float, Event]) -> list[Action]:
    """Let a history happen; return the actions after the last event only."""
    for now, event in history:
        policy.take()
        event(policy, now)
    return policy.take()


def replay_all(policy: Policy, *history: tuple[float, Event]) -> list[Action]:
    """Let a history happen; return all actions."""
    for now, event in history:
        event(policy, now)
    return policy.take()


def orders(actions: Iterable[Action]) -> list[str]:
    """Return the actions on hosts, such as "go a" or "close b", without events."""
    names: list[str] = []
    for action in actions:
        if isinstance(action, Send):
            names.append(f"{KINDS[action.kind]} {action.host}")
        elif isinstance(action, Close):
            names.append(f"close {action.host}")
        elif isinstance(action, Recover):
            names.append(f"recover {action.host}")
    return names


def reports(actions: Iterable[Action], event: str = "") -> list[Emit]:
    """Return the emitted events, or those of one kind."""
    return [action for action in actions if isinstance(action, Emit) and event in ("", action.event)]


def texts(actions: Iterable[Action], event: str) -> list[str]:
    """Return the texts of the events of one kind."""
    return [report.details["text"] for report in reports(actions, event)]


def running(*hosts: str, **limits: float) -> Policy:
    """Return the policy of a job all of whose ranks got their go at 0."""
    policy = job(*hosts, declared=(), **limits)
    for host in policy.hosts:
        policy.on_ready(host, {}, 0.0)
    policy.take()
    return policy
