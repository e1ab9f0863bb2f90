# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials of links: connections bound to address and interface, in both directions, with or without a measurement."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...hosts.agents import Agent
from ...hosts.fleet import Fleet
from ...hosts.progress import Emit
from .hints import explain
from .result import Proof, RingSum
from .spans import Span, targets

_PATIENCE = 5.0  # seconds for a connection


class Trial:
    """Trials by the agents of a fleet that is open.

    Args:
        fleet: all hosts.
        pythons: interpreter of the ranks on each host.
        emit: takes events: kind, host, details.
    """

    def __init__(self, fleet: Fleet, pythons: Mapping[str, str], emit: Emit) -> None:
        self._fleet = fleet
        self._pythons = pythons
        self._emit = emit

    def connect(self, spans: Sequence[Span]) -> list[Proof]:
        """Connect over every span in both directions, all at the same time."""
        return self._run(spans, 0.0, [(False, True)], "verifying")

    def measure(self, spans: Sequence[Span], seconds: float) -> list[Proof]:
        """Send over all spans at the same time, first in one direction and then in the other."""
        return self._run(spans, seconds, [(False,), (True,)], "measuring")

    def _run(self, spans: Sequence[Span], seconds: float, phases: Sequence[Sequence[bool]], doing: str) -> list[Proof]:
        hosts = list(dict.fromkeys(end.host for span in spans for end in span.ends))
        token = secrets.token_hex(8)
        proofs: list[Proof] = []
        try:
            ports = self._listen(hosts, spans, token)
            for number, phase in enumerate(phases, 1):
                if seconds:
                    text = f"{doing} {len(spans)} links, direction {number} of {len(phases)}: {seconds:g} s"
                    self._emit("waiting", text=text, hosts=hosts)
                proofs += self._call(spans, ports, phase, token, seconds)
        finally:
            self._fleet.ask("ending the trial of links on", lambda agent: agent.call("silence_links"), hosts)
        order = {id(span): at for at, span in enumerate(spans)}
        return sorted(proofs, key=lambda proof: (order[id(proof.span)], proof.back))

    def _listen(self, hosts: Sequence[str], spans: Sequence[Span], token: str) -> dict[str, dict[str, Any]]:
        own = {host: [end.address for span in spans for end in span.ends if end.host == host] for host in hosts}

        def listen(agent: Agent) -> Any:
            return agent.call("answer_links", python=self._pythons.get(agent.host, ""), addresses=own[agent.host], token=token)

        answers = self._fleet.ask("listening on links of", listen, hosts)
        lost = {host: {address: ["", reason] for address in own[host]} for host, reason in answers.failed.items()}
        return {**answers.results, **lost}

    def _call(
        self, spans: Sequence[Span], ports: dict[str, dict[str, Any]], phase: Iterable[bool], token: str, seconds: float
    ) -> list[Proof]:
        calls: dict[str, list[tuple[int, bool, dict[str, Any]]]] = {}
        proofs = []
        for back in phase:
            for host, reached in targets(spans, ports, back=back).items():
                calls.setdefault(host, []).extend((at, back, target) for at, target in reached)
            proofs += [_deaf(span, ports, back) for span in spans if not _listens(span, ports, back)]

        def attempt(agent: Agent) -> Any:
            wanted = [target for _at, _back, target in calls[agent.host]]
            python = self._pythons.get(agent.host, "")
            return agent.call("try_links", python=python, targets=wanted, token=token, seconds=seconds, patience=_PATIENCE)

        answers = self._fleet.ask("trying links of", attempt, list(calls))
        for host, found in calls.items():
            said = answers.results.get(host) or [{"error": ["", answers.failed.get(host, "no answer")]}] * len(found)
            proofs += [_proof(spans[at], back, one) for (at, back, _target), one in zip(found, said, strict=True)]
        return proofs

    def ring_sum(self, names: Sequence[str], addresses: Sequence[Sequence[str]]) -> RingSum:
        """Run MLX's all_sum over a ring.

        Args:
            names: hosts by rank.
            addresses: on which each rank listens.
        """
        self._emit("waiting", text=f"adding up over {len(names)} hosts with MLX", hosts=list(names))
        own = dict(zip(names, addresses, strict=True))

        def free(agent: Agent) -> Any:
            found = agent.call("answer_links", python="", addresses=list(own[agent.host]), token="")
            agent.call("silence_links")
            return found

        ports = self._fleet.ask("finding ports on", free, names)
        if ports.failed:
            host, reason = next(iter(ports.failed.items()))
            return RingSum(len(names), f"{host}: {reason}")
        for host in names:
            for ip in own[host]:
                if not isinstance(ports.results[host][ip], int):
                    return RingSum(len(names), _deafness(host, ip, ports.results[host][ip]))
        ring = [[f"{ip}:{ports.results[host][ip]}" for ip in own[host]] for host in names]

        def rank(agent: Agent) -> Any:
            python = self._pythons.get(agent.host, "")
            return agent.call("sum_over_ring", python=python, rank=names.index(agent.host), ring=json.dumps(ring))

        answers = self._fleet.ask("adding up on", rank, names)
        return _ring_sum(names, answers.results, answers.failed)


def _listens(span: Span, ports: Mapping[str, Mapping[str, Any]], back: bool) -> bool:
    far = span.ends[0] if back else span.ends[1]
    return isinstance(ports.get(far.host, {}).get(far.address), int)


def _deaf(span: Span, ports: Mapping[str, Mapping[str, Any]], back: bool) -> Proof:
    far = span.ends[0] if back else span.ends[1]
    said = ports.get(far.host, {}).get(far.address)
    return Proof(span, back, _deafness(far.host, far.address, said))


def _deafness(host: str, address: str, said: Any) -> str:
    name, text = said if isinstance(said, list) and len(said) == 2 else ("", "it did not listen")
    return f"{host} cannot listen on {address}: {explain(str(name), str(text))}"


def _proof(span: Span, back: bool, said: Any) -> Proof:
    if not isinstance(said, Mapping):
        return Proof(span, back, "the host answered nonsense")
    if "error" in said:
        name, text = said["error"]
        return Proof(span, back, explain(str(name), str(text)))
    return Proof(span, back, "", float(said["latency"]), float(said.get("bandwidth", 0.0)))


def _ring_sum(names: Sequence[str], results: Mapping[str, Any], failed: Mapping[str, str]) -> RingSum:
    count = len(names)
    for host in names:
        said = results.get(host) or {"error": failed.get(host, "no answer")}
        if "error" in said:
            return RingSum(count, f"{host}: {explain('', str(said['error']))}")
        if (said["size"], said["sum"]) != (count, count * (count + 1) / 2):
            return RingSum(count, f"{host}: a world of {said['size']} with the sum {said['sum']:g}; want {count * (count + 1) / 2:g}")
    slowest = max(results.values(), key=lambda said: float(said["seconds"]))
    return RingSum(count, "", max(float(said["latency"]) for said in results.values()), 8 * slowest["bytes"] / slowest["seconds"])
