"""Fakes for the loop of a job: a scripted world in place of hosts, processes, signals and the clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import Arrival, StopRequest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

READY = {"cwd": "/"}
MOST_WAITS = 1000


class World:
    """Everything around a gang: connections, requests to stop, reporter, sinks and clock in one.

    A script says what happens at which second. Time passes only while the gang waits.

    Args:
        script: (seconds, happening) in order; see `frame`, `lost`, `requested` and `sink`.
    """

    def __init__(self, *script: tuple[float, Happening]) -> None:
        self.script = list(script)
        self.now = 0.0
        self.hosts: list[str] = []
        self.opened: list[tuple[str, bool, dict[str, Any]]] = []
        self.sent: list[tuple[str, wire.Frame]] = []
        self.closed: list[str] = []
        self.waits: list[float] = []
        self.reading = True
        self.requests: list[StopRequest] = []
        self.frames: list[wire.Frame] = []
        self.events: list[dict[str, Any]] = []
        self.forwarded: list[wire.Frame] = []
        self.backlog = 0
        self.broken = False
        self.on_disk: list[tuple[int, str, int]] = []
        self.troubles: list[str] = []
        self.due: float | None = None
        self.ticks: list[float] = []

    def clock(self) -> float:
        return self.now

    # -- connections

    def open(self, host: str, *, fresh: bool, request: bytes) -> None:
        assert host not in self.hosts, "the old connection is closed first"
        [frame] = wire.Decoder().feed(request)
        assert frame.kind == wire.SPEC
        self.hosts.append(host)
        self.opened.append((host, fresh, frame.json()))

    def send(self, host: str, data: bytes) -> None:
        if host in self.hosts:
            self.sent += [(host, frame) for frame in wire.Decoder().feed(data)]

    def close(self, host: str, *, kill: bool = False) -> None:  # noqa: ARG002 - as in its protocol
        if host in self.hosts:
            self.hosts.remove(host)
            self.closed.append(host)

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def wait(self, timeout: float) -> list[Arrival]:
        self.waits.append(timeout)
        assert len(self.waits) < MOST_WAITS, "the job does not end"
        if not self.script or self.script[0][0] > self.now + timeout:
            self.now += timeout
            return []
        at, happening = self.script.pop(0)
        self.now = max(self.now, at)
        arrivals = [arrival for arrival in happening(self) if arrival.host in self.hosts]
        for arrival in arrivals:
            if arrival.lost is not None:
                self.close(arrival.host)
        return arrivals

    # -- requests to stop

    def pending(self) -> list[StopRequest]:
        requests, self.requests = self.requests, []
        return requests

    def input(self) -> list[wire.Frame]:
        frames, self.frames = self.frames, []
        return frames

    # -- events and sinks

    def emit(self, kind: str, /, host: str | None = None, rank: int | None = None, **details: Any) -> None:
        self.events.append({"event": kind, "host": host, "rank": rank, **details})

    def output(self, host: str, rank: int, stream: str, offset: int, payload: bytes) -> None:
        self.emit("rank_output", host, rank, stream=stream, offset=offset, payload=payload)

    def deadline(self) -> float | None:
        return self.due

    def tick(self, now: float) -> None:
        self.ticks.append(now)
        if self.due is not None and now >= self.due:
            self.due = None

    def safe(self) -> list[tuple[int, str, int]]:
        found, self.on_disk = self.on_disk, []
        return found

    def warnings(self) -> list[str]:
        texts, self.troubles = self.troubles, []
        return texts

    def forward(self, frame: bytes) -> None:
        self.forwarded += wire.Decoder().feed(frame)

    # -- for assertions

    def orders(self, kind: int) -> list[str]:
        """Return the hosts that were sent a frame of a kind, in that order."""
        return [host for host, frame in self.sent if frame.kind == kind]

    def kinds(self) -> list[str]:
        """Return the kinds of the events so far."""
        return [event["event"] for event in self.events]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind."""
        return [event for event in self.events if event["event"] == kind]


Happening = Callable[[World], Sequence[Arrival]]


def frames(host: str, *some: tuple[int, Any]) -> Happening:
    """Return the arrival of control frames: (kind, message)."""
    return lambda _world: [Arrival(host, [decoded(wire.encode_json(kind, message)) for kind, message in some])]


def frame(host: str, kind: int, message: Any = b"", rank: int = 0, offset: int = 0) -> Happening:
    """Return the arrival of one frame, with bytes or with JSON."""
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return lambda _world: [Arrival(host, [wire.Frame(kind, payload, rank, offset)])]


def together(*happenings: Happening) -> Happening:
    """Return several happenings at one moment."""
    return lambda world: [arrival for happening in happenings for arrival in happening(world)]


def lost(host: str, reason: str = "connection reset") -> Happening:
    return lambda _world: [Arrival(host, lost=reason)]


def requested(kind: str = "interrupted", returncode: int = 130, **how: bool) -> Happening:
    """Return a request to stop."""

    def happening(world: World) -> list[Arrival]:
        world.requests.append(StopRequest(Cause(kind, returncode, kind), **how))
        return []

    return happening


def typed(kind: int, payload: bytes, rank: int) -> Happening:
    """Return a frame from the launching program."""

    def happening(world: World) -> list[Arrival]:
        world.frames.append(wire.Frame(kind, payload, rank))
        return []

    return happening


def sink(**state: Any) -> Happening:
    """Return a change of the sinks: backlog, broken, due, on_disk, troubles."""

    def happening(world: World) -> list[Arrival]:
        for name, value in state.items():
            setattr(world, name, value)
        return []

    return happening


def ready(*hosts: str) -> Happening:
    return together(*(frame(host, wire.READY, READY) for host in hosts))


def exited(host: str, rank: int, code: int = 0, *, at: float = 1.0, stopped: bool = False) -> Happening:
    return frame(host, wire.EXITED, {"code": code, "signal": 0, "at": at, "stopped": stopped, "error": ""}, rank)


def done(*hosts: str) -> Happening:
    return together(*(frame(host, wire.DONE, {"remaining": {}}) for host in hosts))


def decoded(data: bytes) -> wire.Frame:
    """Return the only frame in some bytes."""
    [only] = wire.Decoder().feed(data)
    return only


def specs_of(hosts: Iterable[str]) -> Mapping[str, dict[str, Any]]:
    """Return specifications that only a gang reads."""
    return {host: {"job": "j", "index": at, "grace": 10.0, "lease": 30.0, "ranks": [host]} for at, host in enumerate(hosts)}
