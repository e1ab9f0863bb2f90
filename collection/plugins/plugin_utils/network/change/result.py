# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of hosts, and proofs of links, as data and as text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ....module_utils.shared.exit_status import EXIT_NOT_READY
from ..plan.setup import as_text
from .spans import Span

SET, UNCHANGED, WOULD, BY_HAND, FAILED = "set", "unchanged", "would change", "by hand", "failed"
_INCOMPLETE = (BY_HAND, FAILED)


@dataclass(frozen=True)
class HostChange:
    """The change of one host.

    Attributes:
        host: inventory name.
        state: SET, UNCHANGED, WOULD, BY_HAND or FAILED.
        ports: those that have changed, or would: interface, before, after, steps, persistent, rejoins, note, and for
            one that failed on the way error. One without steps has only a note.
        text: why it is not done, and the next step.
    """

    host: str
    state: str
    ports: Sequence[Mapping[str, Any]] = ()
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"host": self.host, "state": self.state, "ports": [dict(port) for port in self.ports], "text": self.text}


@dataclass(frozen=True)
class Proof:
    """One direction of a span after it was tried.

    Attributes:
        span: the span.
        back: whether the second end has called the first.
        error: why it does not work, with the next step; empty when it does.
        latency: seconds there and back.
        bandwidth: bits a second, 0 when it was not measured.
    """

    span: Span
    back: bool
    error: str = ""
    latency: float = 0.0
    bandwidth: float = 0.0

    @property
    def way(self) -> str:
        """The direction, as text."""
        near, far = reversed(self.span.ends) if self.back else self.span.ends
        return f"{near} -> {far}"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        near, far = reversed(self.span.ends) if self.back else self.span.ends
        return {
            "from": {"host": near.host, "interface": near.interface},
            "to": {"host": far.host, "interface": far.interface},
            "speed": self.span.speed,
            "error": self.error,
            "latency": self.latency,
            "bandwidth": self.bandwidth,
        }


@dataclass(frozen=True)
class RingSum:
    """The outcome of MLX's all_sum over the ring.

    Attributes:
        hosts: number of ranks.
        error: why it has failed, or empty.
        latency: seconds for one number.
        bandwidth: bits a second for much data.
    """

    hosts: int
    error: str = ""
    latency: float = 0.0
    bandwidth: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"hosts": self.hosts, "error": self.error, "latency": self.latency, "bandwidth": self.bandwidth}


@dataclass(frozen=True)
class Work:
    """All that was done beside looking.

    Attributes:
        refusal: why nothing was done, or empty.
        changes: of hosts; None when none was wanted.
        undo: whether they take back earlier ones.
        proofs: of links after a setup.
        rdma: (host, interface, trouble) of RDMA ports.
        measured: proofs with bandwidth.
        measured_in: seconds that took.
        ring: MLX's all_sum, None when it was not run.
    """

    refusal: str = ""
    changes: Sequence[HostChange] | None = None
    undo: bool = False
    proofs: Sequence[Proof] | None = None
    rdma: Sequence[tuple[str, str, str]] = field(default_factory=tuple)
    measured: Sequence[Proof] | None = None
    measured_in: float = 0.0
    ring: RingSum | None = None

    @property
    def changed(self) -> bool:
        """Whether a host has changed, or would."""
        return any(_changed(change) for change in self.changes or ())

    @property
    def problems(self) -> list[str]:
        """Whatever is not done or does not work, a line each."""
        undone = [f"{change.host}: {change.text}" for change in self.changes or () if change.state in _INCOMPLETE]
        failed = [f"{proof.way}: {proof.error}" for proof in (*(self.proofs or ()), *(self.measured or ())) if proof.error]
        rdma = [f"{host} {interface}: {text}" for host, interface, text in self.rdma]
        ring = [f"all_sum: {self.ring.error}"] if self.ring and self.ring.error else []
        return [*([self.refusal] if self.refusal else []), *undone, *failed, *rdma, *ring]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data, to be put beside the network."""
        return {
            "changes": None if self.changes is None else [change.to_json() for change in self.changes],
            "verified": None if self.proofs is None else [proof.to_json() for proof in self.proofs],
            "rdma": [{"host": host, "interface": name, "error": text} for host, name, text in self.rdma],
            "measured": None if self.measured is None else [proof.to_json() for proof in self.measured],
            "measured_in": round(self.measured_in, 3),
            "all_sum": self.ring.to_json() if self.ring else None,
            "problems": self.problems,
        }


def outcome_of(work: Work, returncode: int, message: str) -> tuple[int, str]:
    """Return exit status and message of a look together with the work that followed."""
    problems = work.problems
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return EXIT_NOT_READY, f"{problems[0]}{more}"
    if work.measured and not returncode:
        slowest = min(proof.bandwidth for proof in work.measured)
        message = f"{message}; the slowest link gives {rate(slowest)}"
    if work.changes is None or returncode:
        return returncode, message
    verb = "would change" if any(change.state == WOULD for change in work.changes) else "taken back" if work.undo else "set"
    counts = [sum(bool(port["steps"]) for port in change.ports) for change in work.changes]
    count = sum(counts)
    ports = f"{count} port{'s'[count == 1 :]}"
    hosts = sum(map(bool, counts))
    text = f"{ports} on {hosts} host{'s'[hosts == 1 :]} {verb}" if count else "nothing to change"
    proved = f"; {len(work.proofs) // 2} links work in both directions" if work.proofs else ""
    return 0, f"{text}{proved}"


# -- as text


def lines_of(work: Work) -> Iterator[str]:
    """Yield the lines for a person, below the table."""
    for change in work.changes or ():
        yield from _change_lines(change)
    for proof in work.proofs or ():
        if proof.error:
            yield f"fail  {proof.way}: {proof.error}"
    for host, interface, text in work.rdma:
        yield f"fail  {host} {interface}: {text}"
    if work.measured:
        yield from _measured_lines(work.measured, work.measured_in)
    if work.ring:
        yield _ring_line(work.ring)


def _change_lines(change: HostChange) -> Iterator[str]:
    state = SET if change.state == FAILED else change.state
    for port in change.ports:
        if port.get("error"):
            continue  # the text of its host has it
        yield f"{state if port['steps'] else UNCHANGED}  {change.host} {port['after']}{_stay(port)}"
        if port["note"]:
            yield f"      {port['note']}"
    if change.state in _INCOMPLETE:
        yield f"{change.state}  {change.host}: {change.text}"
    if change.state == BY_HAND:
        for port in change.ports:
            yield from (f"      {line}" for line in as_text(port["steps"]))


def _stay(port: Mapping[str, Any]) -> str:
    if not port["after"] or not port["steps"]:
        return ""
    if port["rejoins"]:
        return f"; after a restart {port['rejoins']} has the port again: apply again"
    return "; stays after a restart" if port["persistent"] else "; until the next restart"


def rate(bits: float) -> str:
    """Return bits a second for a person."""
    return f"{bits / 1e9:.3g} Gb/s" if bits >= 1e9 else f"{bits / 1e6:.3g} Mb/s"


def _measured_lines(proofs: Sequence[Proof], seconds: float) -> Iterator[str]:
    yield f"measured, all links at the same time, in {seconds:.1f} s"
    for proof in proofs:
        should = f" of {proof.span.speed:g} Gb/s" if proof.span.speed else ""
        said = proof.error or f"{rate(proof.bandwidth)}{should}, {1000 * proof.latency:.3g} ms there and back"
        yield f"  {proof.way}  {said}"


def _ring_line(ring: RingSum) -> str:
    if ring.error:
        return f"all_sum of MLX over {ring.hosts} hosts: {ring.error}"
    return f"all_sum of MLX over {ring.hosts} hosts is right: {1000 * ring.latency:.3g} ms for a number, {rate(ring.bandwidth)} for 4 MiB"


def diff_of(work: Work) -> list[dict[str, str]]:
    """Return the changes as Ansible shows differences, one a host."""
    return [
        {
            "before_header": change.host,
            "after_header": change.host,
            "before": "".join(f"{port['before']}\n" for port in change.ports),
            "after": "".join(f"{port['after']}\n" for port in change.ports),
        }
        for change in work.changes or ()
        if _changed(change)
    ]


def _changed(change: HostChange) -> bool:
    return change.state in (SET, WOULD, FAILED) and any(port["steps"] for port in change.ports)
