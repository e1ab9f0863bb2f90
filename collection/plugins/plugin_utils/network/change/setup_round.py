# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds that set ports up on all hosts, or take that back: a check of every host, then the change as root."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...hosts.agents import Agent
from ...hosts.fleet import Answers, Fleet
from ...hosts.progress import Emit
from ...hosts.root import RootFleet, without_root
from ..plan.plan import Plan
from .result import BY_HAND, FAILED, SET, UNCHANGED, WOULD, HostChange, Work

_AGAIN = "run this again, or --undo"


class SetupRound:
    """One change of all hosts.

    Args:
        fleet: all hosts, open, as the user who connects.
        root: makes the fleet of hosts on which to be root, not opened yet, and the reasons of those that have none.
        emit: takes events: kind, host, details.
        dry_run: change nothing.
    """

    def __init__(self, fleet: Fleet, root: RootFleet, emit: Emit, *, dry_run: bool) -> None:
        self._fleet = fleet
        self._root = root
        self._emit = emit
        self._dry_run = dry_run

    def set_up(self, plan: Plan) -> Work:
        """Give the ports of a plan their addresses. Nothing is changed anywhere when one host refuses."""
        ports = ports_of(plan)
        keep = {host.name: [host.ssh] if host.ssh else [] for host in plan.hosts}

        def one(agent: Agent, check: bool, done: list[Any]) -> None:
            for port in ports[agent.host]:
                done.append(agent.call("set_up_port", port=port, keep=keep[agent.host], check=check))
                if done[-1].get("error"):
                    return

        return self._change(list(ports), one, undo=False)

    def undo(self, hosts: Sequence[str], keep: Mapping[str, Sequence[str]]) -> Work:
        """Take back the setup of hosts.

        Args:
            hosts: those that could be asked and are Macs.
            keep: addresses that connections use, by host.
        """

        def one(agent: Agent, check: bool, done: list[Any]) -> None:
            done += agent.call("undo_ports", keep=list(keep.get(agent.host, ())), check=check)

        return self._change(hosts, one, undo=True)

    def _change(self, hosts: Sequence[str], one: Callable[[Agent, bool, list[Any]], None], *, undo: bool) -> Work:
        def check(agent: Agent) -> tuple[list[str], list[Any]]:
            found: list[Any] = []
            one(agent, True, found)
            return agent.call("running")["jobs"], found

        checked = self._fleet.ask("looking at the ports of", check, hosts)
        wanted = {host: [port for port in found if _counts(port)] for host, (_jobs, found) in checked.results.items()}
        if refusal := _refusal(checked, wanted):
            return Work(refusal=refusal, changes=(), undo=undo)
        changing = [host for host in wanted if wanted[host]]
        unchanged = {host: HostChange(host, UNCHANGED) for host in wanted if not wanted[host]}
        changes = (
            {host: HostChange(host, WOULD, wanted[host]) for host in changing} if self._dry_run else self._as_root(changing, wanted, one)
        )
        return Work(changes=tuple({**unchanged, **changes}[host] for host in hosts), undo=undo)

    def _as_root(
        self, hosts: Sequence[str], wanted: Mapping[str, Sequence[Any]], one: Callable[[Agent, bool, list[Any]], None]
    ) -> dict[str, HostChange]:
        if not hosts:
            return {}
        fleet, reasons = self._root(hosts)
        found = {host: HostChange(host, BY_HAND, wanted[host], f"{reason}; run these there") for host, reason in reasons.items()}
        with fleet.open(self._emit):
            return found | self._set(fleet, [host for host in hosts if host not in reasons], wanted, one)

    def _set(
        self, fleet: Fleet, hosts: Sequence[str], wanted: Mapping[str, Sequence[Any]], one: Callable[[Agent, bool, list[Any]], None]
    ) -> dict[str, HostChange]:
        reasons = without_root(fleet, hosts)
        able = [host for host in hosts if host not in reasons]
        done: dict[str, list[Any]] = {host: [] for host in able}

        def change(agent: Agent) -> None:
            one(agent, False, done[agent.host])

        answers = fleet.ask("setting ports of", change, able)
        found = {host: HostChange(host, BY_HAND, wanted[host], f"{reason}; run these there") for host, reason in reasons.items()}
        for host in able:
            found[host] = _outcome(host, wanted[host], done[host], answers.failed.get(host, ""))
        return found


def ports_of(plan: Plan) -> dict[str, list[dict[str, str]]]:
    """Return, by host, the ports of a plan with the addresses that they are to have."""
    found: dict[str, list[dict[str, str]]] = {host.name: [] for host in plan.hosts}
    for link in plan.links:
        for end in link.cable.ends:
            address = link.address(end.host)
            port = {"interface": end.interface, "ip": str(address.ip), "mask": str(address.netmask)}
            found[plan.hosts[end.host].name].append(port)
    return {host: ports for host, ports in found.items() if ports}


def _counts(port: Mapping[str, Any]) -> bool:
    """Return whether there is something about a port to do, or to tell. Its record goes in both cases."""
    return bool(port["steps"] or port.get("error") or port["note"])


def _refusal(checked: Answers[tuple[list[str], list[Any]]], wanted: Mapping[str, Sequence[Any]]) -> str:
    """Return why nothing is to be changed, or nothing."""
    for host, reason in checked.failed.items():
        return f"{host}: {reason}; nothing was changed"
    for host, ports in wanted.items():
        jobs = checked.results[host][0]
        error = next((port["error"] for port in ports if port.get("error")), "")
        if error:
            return f"{host}: {error}; nothing was changed"
        if ports and jobs:
            return f"{host}: job {jobs[0]} runs there; end it, then run this again; nothing was changed"
    return ""


def _outcome(host: str, wanted: Sequence[Any], done: Sequence[Any], failure: str) -> HostChange:
    ports = [port for port in done if port["steps"] or port.get("note")]
    errors = [f"{port['interface']}: {port['error']}" for port in done if port.get("error")]
    if not failure and not errors:
        return HostChange(host, SET, ports)
    known = sorted({port["interface"] for port in ports if not port.get("error")})
    left = [port for port in wanted if port["interface"] not in {port["interface"] for port in done}]
    names = ", ".join(port["interface"] for port in left)
    states = [failure, *errors, f"set: {', '.join(known)}" if known else ""]
    if failure:
        # A port that was begun when the host was lost is in its record, and undone with the others.
        ports += [{**port, "after": f"{port['interface']}: not known", "error": failure} for port in left]
        states += [f"not known: {names}" if left else "", f"when it is there, {_AGAIN}"]
    else:
        states += [f"not begun: {names}" if left else "", f"then {_AGAIN}"]
    return HostChange(host, FAILED, ports, "; ".join(filter(None, states)))
