# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop of one job: frames from hosts go to the policy, its actions to hosts and sinks.

Connections, requests to stop, sinks and the clock are given. A gang therefore leads a job from any machine, and a new
one over the same objects starts the job again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import (
    Arrival,
    Connections,
    Fanout,
    Reporter,
    StopRequest,
    Stops,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.limits import Texts
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.messages import LAST_OFFSET, message_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.offsets import Received, Windows
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.policy import (
    FINISHED,
    Action,
    Close,
    Emit,
    Miss,
    Policy,
    Recover,
    Send,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

# Bytes that may wait to be written before output is left on the hosts.
BACKLOG = 4 * 1024 * 1024
# Seconds; epoll counts milliseconds in 32 bits.
_LONGEST_WAIT = 3600.0
_STREAMS = {wire.STDOUT: "stdout", wire.STDERR: "stderr"}
# The part of a host's specification that a recovery needs too.
_RECOVERY_KEYS = ("job", "index", "grace", "lease")
_OUTPUT_CLOSED = StopRequest(Cause("output_closed", 128 + signal.SIGPIPE, "nobody reads the output any more"))

# Of a recovery that found no folder of the job.
_UNKNOWN = "nothing of the job is left there; the rest of its output, and how its ranks ended, is lost"

# Events with a text of a host, of which each may send so many only.
_TEXTS = frozenset({"warning", "mpirun_said"})
_GAP = "rank %d: its %s is lost from byte %d to %d; the host did not keep it"


class Gang:
    """One job, from opening the connections to the last host's confirmation.

    Large, as it has a short method for each frame and each action.

    Args:
        policy: its rules and state, which afterwards know the outcome.
        specs: what each host has to run, as it is sent.
        connections: the ways to the hosts; those that are still open at the end are closed.
        stops: the requests to end the job.
        reporter: takes events and output.
        fanout: the sinks behind it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        policy: Policy,
        specs: Mapping[str, Mapping[str, Any]],
        connections: Connections,
        stops: Stops,
        reporter: Reporter,
        fanout: Fanout,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self._specs = specs
        self._connections = connections
        self._stops = stops
        self._reporter = reporter
        self._fanout = fanout
        self._clock = clock
        self._host_of = {rank.rank: rank.host for rank in policy.table.ranks}
        self._received = Received(self._host_of)
        self._windows = Windows(self._host_of)
        self._texts = {host: Texts(clock()) for host in specs}
        self._paused_at: float | None = None

    def run(self) -> None:
        """Run the job to its end. One that has ended before, in the deploy, is only reported."""
        self.policy.begin(self._clock())
        self._obey()
        if self.policy.phase != FINISHED:
            for host in self.policy.opening:
                self._connections.open(host, fresh=False, request=wire.encode_json(wire.SPEC, self._specs[host]))
        while self.policy.phase != FINISHED:
            self._turn()
        self._carry_out()
        for host in self._specs:
            self._connections.close(host)
        for host, texts in self._texts.items():
            if texts.dropped:
                self._reporter.emit("warning", host, text="%d of its messages were left out" % texts.dropped)

    def _turn(self) -> None:
        self._carry_out()
        for arrival in self._connections.wait(self._timeout()):
            self._on_arrival(arrival)
        self._obey()
        now = self._clock()
        if self._paused_at is not None:
            self.policy.on_unread(now - self._paused_at)
            self._paused_at = now
        self.policy.on_tick(now)
        self._fanout.tick(now)
        if self._fanout.broken:
            self._stop(_OUTPUT_CLOSED)
        self._acknowledge()
        self._pause_or_resume(now)
        for text in self._fanout.warnings():
            self._reporter.emit("warning", text=text)

    def _timeout(self) -> float:
        due, sinks_due = self.policy.deadline(), self._fanout.deadline()
        if sinks_due is not None:
            due = min(due, sinks_due)
        return min(max(0.0, due - self._clock()), _LONGEST_WAIT)

    def _acknowledge(self) -> None:
        """Let hosts free the output that is safe here."""
        for rank, stream, offset in self._fanout.safe():
            self._connections.send(self._host_of[rank], wire.encode(wire.ACK, b'{"stream": "%s"}' % stream.encode(), rank, offset))

    def _pause_or_resume(self, now: float) -> None:
        """Leave output on the hosts while the record cannot be written as fast."""
        backlog = self._fanout.backlog
        if self._paused_at is None and backlog > BACKLOG:
            self._paused_at = now
            self._connections.pause()
        elif self._paused_at is not None and backlog < BACKLOG // 4:
            self._paused_at = None
            self._connections.resume()

    # -- requests to stop

    def _obey(self) -> None:
        for request in self._stops.pending():
            self._stop(request)
        for frame in self._stops.input():
            self._forward_input(frame)

    def _stop(self, request: StopRequest) -> None:
        kill = request.kill or (request.kill_if_stopping and self.policy.cause is not None)
        self.policy.stop(request.cause, self._clock(), kill=kill)

    def _forward_input(self, frame: wire.Frame) -> None:
        """Forward a frame to the rank's host, or to all hosts. The sender already respects the window."""
        data = wire.encode(frame.kind, frame.payload, frame.rank)
        for host in self._windows.send(frame.rank, len(frame.payload) if frame.kind == wire.STDIN else 0):
            self._connections.send(host, data)

    # -- actions of the policy

    def _carry_out(self) -> None:
        for action in self.policy.take():
            _ACTIONS[type(action)](self, action)

    def _send(self, action: Send) -> None:
        frame = wire.encode(action.kind) if action.message is None else wire.encode_json(action.kind, action.message)
        self._connections.send(action.host, frame)

    def _close(self, action: Close) -> None:
        self._connections.close(action.host, kill=True)

    def _recover(self, action: Recover) -> None:
        """Ask a host for the rest of its output, over a new connection."""
        host, limits = action.host, self.policy.limits
        spec = {
            **{key: self._specs[host][key] for key in _RECOVERY_KEYS},
            "recover": True,
            "have": self._received.have(self._ranks_of(host)),
            "patience": limits.grace + limits.recover,
        }
        self._connections.open(host, fresh=True, request=wire.encode_json(wire.SPEC, spec))

    def _emit(self, action: Emit) -> None:
        if action.host and action.event in _TEXTS:
            self._pass_on(action.event, action.host, **action.details)
        else:
            self._reporter.emit(action.event, action.host, action.rank, **action.details)

    def _pass_on(self, event: str, host: str, text: str, **details: Any) -> None:
        """Emit a text of a host, unless it has sent too many."""
        passed = self._texts[host].pass_on(text, self._clock())
        if passed is not None:
            self._reporter.emit(event, host, text=passed, **details)

    def _miss(self, action: Miss) -> None:
        received = self._received.phrase(self._ranks_of(action.host))
        self._pass_on("warning", action.host, "%s; bytes that were received: %s" % (action.text, received))

    # -- frames from hosts

    def _on_arrival(self, arrival: Arrival) -> None:
        host, now = arrival.host, self._clock()
        if arrival.lost is not None:
            self.policy.on_closed(host, arrival.lost, now)
            return
        self.policy.on_heard(host, now)
        try:
            for frame in arrival.frames:
                self._on_frame(host, frame, now)
                self._carry_out()
        except wire.WireError as exc:
            self._connections.close(host)
            self.policy.on_closed(host, str(exc), now)

    def _on_frame(self, host: str, frame: wire.Frame, now: float) -> None:
        handler = _FRAMES.get(frame.kind)
        if handler is None:
            raise wire.WireError("%s sent a frame of unknown kind %d" % (host, frame.kind))
        handler(self, host, frame, now)

    def _on_output(self, host: str, frame: wire.Frame, _now: float) -> None:
        rank, stream, end = self._rank_on(host, frame), _STREAMS[frame.kind], frame.offset + len(frame.payload)
        before = self._received.end(rank, stream)
        if not before <= frame.offset <= LAST_OFFSET:
            raise wire.WireError("%s sent output of rank %d from offset %d, which does not follow" % (host, rank, frame.offset))
        if before < frame.offset:
            self._pass_on("warning", host, _GAP % (rank, stream, before, frame.offset))
        self._received.add(rank, stream, end)
        self._reporter.output(host, rank, stream, frame.offset, frame.payload)

    def _on_ready(self, host: str, frame: wire.Frame, now: float) -> None:
        self.policy.on_ready(host, message_of(host, frame), now)

    def _on_refused(self, host: str, frame: wire.Frame, now: float) -> None:
        self.policy.on_refused(host, message_of(host, frame)["problems"], now)

    def _on_started(self, host: str, frame: wire.Frame, _now: float) -> None:
        self.policy.on_started(self._rank_on(host, frame), message_of(host, frame)["pid"])

    def _on_exited(self, host: str, frame: wire.Frame, now: float) -> None:
        self.policy.on_exited(self._rank_on(host, frame), message_of(host, frame), now)

    def _on_warning(self, host: str, frame: wire.Frame, _now: float) -> None:
        self._pass_on("warning", host, message_of(host, frame)["text"])

    def _on_done(self, host: str, frame: wire.Frame, _now: float) -> None:
        message = message_of(host, frame)
        if not message.get("known", True):
            self._miss(Miss(host, _UNKNOWN))
        self.policy.on_done(host, message["remaining"], message.get("written", ""))

    def _on_credit(self, host: str, frame: wire.Frame, _now: float) -> None:
        rank = self._rank_on(host, frame)
        granted = self._windows.grant(rank, frame.offset)
        if granted is not None:
            self._fanout.forward(wire.encode(wire.CREDIT, b"", rank, granted))

    def _on_pong(self, host: str, frame: wire.Frame, now: float) -> None:
        """A sign of life, which every arrival is."""

    def _on_wanted(self, host: str, frame: wire.Frame, _now: float) -> None:
        self.policy.on_wanted(host, message_of(host, frame))

    def _on_said(self, host: str, frame: wire.Frame, _now: float) -> None:
        said = message_of(host, frame)
        self.policy.on_said(host, said["name"], said["text"])

    def _on_exited_service(self, host: str, frame: wire.Frame, now: float) -> None:
        self.policy.on_exited_service(host, message_of(host, frame), now)

    def _ranks_of(self, host: str) -> list[int]:
        return [rank.rank for rank in self.policy.table.of_host(host)]

    def _rank_on(self, host: str, frame: wire.Frame) -> int:
        """Return the rank that a frame is about; only its own host may send it."""
        if self._host_of.get(frame.rank) != host:
            raise wire.WireError("%s sent a frame about rank %d, which does not run there" % (host, frame.rank))
        return frame.rank


_ACTIONS: Mapping[type[Action], Callable[[Gang, Any], None]] = {
    Send: Gang._send,
    Close: Gang._close,
    Recover: Gang._recover,
    Emit: Gang._emit,
    Miss: Gang._miss,
}

_FRAMES: Mapping[int, Callable[[Gang, str, wire.Frame, float], None]] = {
    wire.STDOUT: Gang._on_output,
    wire.STDERR: Gang._on_output,
    wire.READY: Gang._on_ready,
    wire.REFUSED: Gang._on_refused,
    wire.STARTED: Gang._on_started,
    wire.EXITED: Gang._on_exited,
    wire.WARNING: Gang._on_warning,
    wire.DONE: Gang._on_done,
    wire.PONG: Gang._on_pong,
    wire.CREDIT: Gang._on_credit,
    wire.WANTED: Gang._on_wanted,
    wire.SAID: Gang._on_said,
    wire.EXITED_SERVICE: Gang._on_exited_service,
}
