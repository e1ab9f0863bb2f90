# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: drives a job. One loop around the channels, the policy and the sinks."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..module_utils import _wire as wire
from ._channel import Channel
from ._control import Control
from ._exits import signal_name
from ._mpi_policy import MpiPolicy
from ._policy import FINISHED, Cause, Close, Policy, Recover, Report, Tell
from ._sinks import BACKLOG, STREAM_NAMES, Sink, SocketSink

ACK_EVERY = 4 * 1024 * 1024
_CLOSE_PATIENCE = 5.0
# Seconds; epoll counts milliseconds in 32 bits.
_LONGEST_WAIT = 3600.0


@dataclass
class HostPlan:
    """What the gang needs to know about a host.

    Attributes:
        connect: gives the local command that reaches it; True for a connection of its own, not a shared one.
        spec: the host's part of the job, as the supervisor wants it.
    """

    connect: Callable[[bool], Sequence[str]]
    spec: Mapping[str, Any]


@dataclass
class _Received:
    """How much of a rank's streams has come, in bytes."""

    stdout: int = 0
    stderr: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)


class Gang:
    """One job, from opening the channels to the last host's confirmation.

    Args:
        job: its id.
        policy: its rules and state.
        sinks: where events and output go.
        control: the job's private socket, when a program launched it.
    """

    def __init__(self, job: str, policy: Policy, sinks: Sequence[Sink], control: Control | None = None) -> None:
        self.job = job
        self.policy = policy
        self._plans: Mapping[str, HostPlan] = {}
        self._sinks = sinks
        self._control = control
        self._channels: dict[str, Channel] = {}
        self._received = {rank.rank: _Received() for rank in policy.table.ranks}
        self._host_of = {rank.rank: rank.host for rank in policy.table.ranks}
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._paused = False
        self._signals: list[int] = []
        self._closing: list[Channel] = []

    # -- called from outside the loop

    def wake(self) -> None:
        """Make the loop look around; safe from any thread and from a signal handler."""
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"w")

    def end(self) -> None:
        """Tell what the policy has decided without any channel, and let go of everything."""
        self._carry_out()
        self._close_all()

    def add_sink(self, sink: Sink) -> None:
        """Send events and output there as well."""
        self._sinks = [*self._sinks, sink]

    # -- the loop

    def start(self) -> None:
        """Tell that there is a job."""
        self.report("job_started", world_size=len(self.policy.table.ranks), hosts=list(self.policy.table.hosts))

    def run(self, plans: Mapping[str, HostPlan]) -> None:
        """Run the job to its end; `policy` then knows the outcome.

        Args:
            plans: by host.
        """
        self._plans = plans
        self.policy.begin(time.monotonic())
        with self._signal_handlers(), self._parent_watch():
            if self._control:
                self._selector.register(self._control.socket, selectors.EVENT_READ)
                self._obey(self._control.early())
            for host in self.policy.opening:
                self._open(host, fresh=False)
            while self.policy.phase != FINISHED:
                self._turn()
            self._carry_out()
        self._close_all()

    def _turn(self) -> None:
        self._carry_out()
        for key, _mask in self._selector.select(self._timeout()):
            if self._selector.get_map().get(key.fd) == key:  # else it was closed on behalf of one before it
                self._on_ready(key)
        now = time.monotonic()
        self.policy.on_tick(now)
        for sink in self._sinks:
            sink.tick(now)
            if sink.broken:
                self._stop("output_closed", 128 + signal.SIGPIPE, "nobody reads the output any more")
        self._pause_or_resume()

    def _timeout(self) -> float:
        times = [self.policy.deadline(), *(at for at in (sink.deadline() for sink in self._sinks) if at is not None)]
        return min(max(0.0, min(times) - time.monotonic()), _LONGEST_WAIT)

    def _on_ready(self, key: selectors.SelectorKey) -> None:
        if key.fd == self._wake_read:
            self._on_wake()
        elif self._control and key.fileobj is self._control.socket:
            self._on_control(self._control)
        elif key.data == "parent":
            self._on_parent_gone()
        else:
            channel, end = key.data
            if end == "stdin":
                channel.flush()
                self._watch_writing(channel)
            elif end == "stderr":
                if not channel.read_errors():
                    self._selector.unregister(channel.stderr)
            else:
                self._on_readable(channel)

    # -- channels

    def _open(self, host: str, *, fresh: bool) -> None:
        plan = self._plans[host]
        channel = Channel(host, plan.connect(fresh))
        self._channels[host] = channel
        channel.flush()
        if not self._paused:
            self._selector.register(channel.stdout, selectors.EVENT_READ, (channel, "stdout"))
        self._selector.register(channel.stderr, selectors.EVENT_READ, (channel, "stderr"))
        self._watch_writing(channel)

    def _watch_writing(self, channel: Channel) -> None:
        watched = channel.stdin in self._selector.get_map()
        if channel.backlog and not watched:
            self._selector.register(channel.stdin, selectors.EVENT_WRITE, (channel, "stdin"))
        elif watched and not channel.backlog:
            self._selector.unregister(channel.stdin)

    def _send(self, channel: Channel, data: bytes) -> None:
        channel.send(data)
        self._watch_writing(channel)

    def _forget(self, host: str, *, kill: bool = False) -> None:
        """Close a host's channel; its local process ends by itself, unless killed, and is waited for at the end."""
        channel = self._channels.pop(host, None)
        if channel is None:
            return
        for fd in (channel.stdin, channel.stdout, channel.stderr):
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
        channel.close()
        if kill:
            channel.process.kill()
        self._closing.append(channel)

    def _on_readable(self, channel: Channel) -> None:
        host, now = channel.host, time.monotonic()
        was_synchronised = channel.decoder.synchronised
        try:
            frames = channel.receive()
        except wire.WireError as exc:
            self._lost(channel, str(exc))
            return
        if frames is None:
            self._lost(channel, channel.reason())
            return
        if channel.decoder.synchronised and not was_synchronised:
            self._send(channel, wire.encode_json(wire.SPEC, self._spec(host)))
        self.policy.on_heard(host, now)
        for frame in frames:
            self._on_frame(channel, frame, now)
            self._carry_out()

    def _lost(self, channel: Channel, reason: str) -> None:
        self._forget(channel.host)
        self.policy.on_closed(channel.host, reason, time.monotonic())

    def _spec(self, host: str) -> Mapping[str, Any]:
        if self.policy.hosts[host].state != "recovering":
            return self._plans[host].spec
        limits = self.policy.limits
        have = {rank: {"stdout": got.stdout, "stderr": got.stderr} for rank, got in self._received.items() if self._host_of[rank] == host}
        return {
            **{key: self._plans[host].spec[key] for key in ("job", "index", "grace", "lease")},
            "recover": True,
            "have": have,
            "patience": limits.grace + limits.recover,
        }

    def _on_frame(self, channel: Channel, frame: wire.Frame, now: float) -> None:
        host = channel.host
        if frame.kind in STREAM_NAMES:
            self._on_output(channel, frame)
        elif frame.kind == wire.READY:
            self.policy.on_ready(host, frame.json(), now)
        elif frame.kind == wire.REFUSED:
            self.policy.on_refused(host, frame.json()["problems"], now)
        elif frame.kind == wire.STARTED:
            self.policy.on_started(frame.rank, frame.json()["pid"])
        elif frame.kind == wire.EXITED:
            self.policy.on_exited(frame.rank, frame.json(), now)
        elif frame.kind == wire.WARNING:
            self.report("warning", host, text=frame.json()["text"])
        elif frame.kind == wire.DONE:
            self.policy.on_done(host, frame.json()["left"])
        elif frame.kind == wire.ROOM:
            self.tell_launcher(wire.encode(wire.ROOM, b"", frame.rank, frame.offset))
        elif isinstance(self.policy, MpiPolicy):
            self._on_mpi_frame(self.policy, host, frame, now)

    def _on_mpi_frame(self, policy: MpiPolicy, host: str, frame: wire.Frame, now: float) -> None:
        if frame.kind == wire.WANTED:
            policy.on_wanted(host, frame.json())
        elif frame.kind == wire.SAID:
            policy.on_said(host, frame.json()["name"], frame.json()["text"])
        elif frame.kind == wire.LEFT:
            policy.on_left(host, frame.json(), now)

    def _on_output(self, channel: Channel, frame: wire.Frame) -> None:
        stream, got = STREAM_NAMES[frame.kind], self._received[frame.rank]
        setattr(got, stream, frame.offset + len(frame.payload))
        event = self._event("rank_output", channel.host, frame.rank, stream=stream, offset=frame.offset, length=len(frame.payload))
        for sink in self._sinks:
            sink.output(event, frame.payload)
        end = frame.offset + len(frame.payload)
        if end - got.acknowledged.get(stream, 0) >= ACK_EVERY:
            got.acknowledged[stream] = end
            self._send(channel, wire.encode(wire.ACK, b'{"stream": "%s"}' % stream.encode(), frame.rank, end))

    # -- policy

    def _carry_out(self) -> None:
        for action in self.policy.take():
            if isinstance(action, Tell):
                self._tell(action)
            elif isinstance(action, Close):
                self._forget(action.host, kill=True)
            elif isinstance(action, Recover):
                self._open(action.host, fresh=True)
            elif isinstance(action, Report):
                self.report(action.event, action.host, action.rank, **action.details)

    def _tell(self, action: Tell) -> None:
        channel = self._channels.get(action.host)
        if channel:
            frame = wire.encode(action.kind) if action.message is None else wire.encode_json(action.kind, action.message)
            self._send(channel, frame)

    # -- events

    def report(self, event: str, host: str | None = None, rank: int | None = None, **details: Any) -> None:
        """Send an event to all sinks."""
        made = self._event(event, host, rank, **details)
        for sink in self._sinks:
            sink.event(made)

    def _event(self, event: str, host: str | None, rank: int | None, **details: Any) -> dict[str, Any]:
        return {"event": event, "job": self.job, "time": time.time(), "host": host, "rank": rank, **details}

    def _pause_or_resume(self) -> None:
        """Leave output on the hosts while a sink has enough to do."""
        backlog = max((sink.backlog for sink in self._sinks), default=0)
        if not self._paused and backlog > BACKLOG:
            self._paused = True
            for channel in self._channels.values():
                if channel.stdout in self._selector.get_map():
                    self._selector.unregister(channel.stdout)
        elif self._paused and backlog < BACKLOG // 4:
            self._paused = False
            for channel in self._channels.values():
                self._selector.register(channel.stdout, selectors.EVENT_READ, (channel, "stdout"))
        if self._paused:
            # Nothing is read, so nothing can be heard: silence says nothing about the hosts.
            for host in self._channels:
                self.policy.on_heard(host, time.monotonic())

    # -- who wants the job to end

    def _stop(self, kind: str, returncode: int, message: str, *, kill: bool = False) -> None:
        self.policy.stop(Cause(kind, returncode, message), time.monotonic(), kill=kill)

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        while self._signals:
            number = self._signals.pop(0)
            # Ctrl-C while the job is being ended means now. SIGTERM does not: Ansible sends one to a worker that takes its time.
            now = number == signal.SIGINT and self.policy.cause is not None
            self._stop("interrupted", 128 + number, f"interrupted by {signal_name(number)}", kill=now)

    def _on_control(self, control: Control) -> None:
        frames = control.receive()
        if frames is None:
            self._selector.unregister(control.socket)
            self._stop("launcher_gone", 128 + signal.SIGTERM, "the process that launched the job is gone")
        else:
            self._obey(frames)

    def _obey(self, frames: list[wire.Frame]) -> None:
        for frame in frames:
            if frame.kind in (wire.STOP, wire.KILL):
                wish = frame.json()
                self._stop("interrupted", wish["returncode"], wish["message"], kill=frame.kind == wire.KILL)
            elif frame.kind in (wire.STDIN, wire.STDIN_END, wire.SCREEN):
                self._hand_on(frame)

    def _hand_on(self, frame: wire.Frame) -> None:
        """Give what is for a rank, or for all, to its host; it was told how much there is room for."""
        data = wire.encode(frame.kind, frame.payload, frame.rank)
        hosts = list(self._channels) if frame.rank == wire.EVERY_RANK else [self._host_of.get(frame.rank, "")]
        for host in hosts:
            if host in self._channels:
                self._send(self._channels[host], data)

    def tell_launcher(self, frame: bytes) -> None:
        """Send a frame to the process that launched the job, if one did."""
        for sink in self._sinks:
            if isinstance(sink, SocketSink):
                sink.forward(frame)

    def _on_parent_gone(self) -> None:
        stopping = self.policy.cause is not None
        self._stop("launcher_gone", 128 + signal.SIGTERM, "ansible-playbook is gone", kill=stopping)
        for key in list(self._selector.get_map().values()):
            if key.data == "parent":
                self._selector.unregister(key.fileobj)

    @contextlib.contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        """Turn signals into wishes to stop. Ansible's own handler would end this worker, and with it the grace."""

        def remember(number: int, _frame: Any) -> None:
            self._signals.append(number)
            self.wake()

        before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        # The kernel may give a signal to a writer's thread, and then it would not interrupt this one's select.
        wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def _parent_watch(self) -> Iterator[None]:
        """Notice the death of ansible-playbook: this worker has a session of its own and would outlive it."""
        parent = os.getppid()
        if sys.platform != "linux":
            with _kqueue_watch(self._selector, parent):
                yield
            return
        try:
            fd = os.pidfd_open(parent)
        except OSError:
            yield
            return
        self._selector.register(fd, selectors.EVENT_READ, "parent")
        try:
            yield
        finally:
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            os.close(fd)

    # -- the end

    def _close_all(self) -> None:
        """Let go of every channel and wait, for a bounded time, until its local process has ended."""
        for host in list(self._channels):
            self._forget(host)
        deadline = time.monotonic() + _CLOSE_PATIENCE
        for channel in self._closing:
            try:
                channel.process.wait(max(0.0, deadline - time.monotonic()))
            except Exception:  # noqa: BLE001 - TimeoutExpired, and nothing else may keep us
                channel.kill()
        self._selector.close()
        for fd in (self._wake_read, self._wake_write):
            os.close(fd)


@contextlib.contextmanager
def _kqueue_watch(selector: selectors.BaseSelector, pid: int) -> Iterator[None]:
    """Make the end of process `pid` show in `selector`, with kqueue(2)."""
    import select

    queue = select.kqueue()  # type: ignore[attr-defined]
    event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)  # type: ignore[attr-defined]
    try:
        queue.control([event], 0)
        selector.register(queue.fileno(), selectors.EVENT_READ, "parent")
        yield
    finally:
        queue.close()
