# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The channels to all hosts of a job, as its gang uses them (`lead.collaborators.Connections`)."""

from __future__ import annotations

import selectors
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Self

from ...module_utils.lead.collaborators import Arrival
from ...module_utils.shared import wire
from .bootstrap import supervisor
from .connection import Connection, Patience, Process, not_started, start_process
from .early.handed import all_taken
from .early.kept import SUPERVISOR

_CLOSE_PATIENCE = 5.0  # seconds
_LAST_WORDS = 1.0  # seconds that a process may take to end before it has begun, for its status
# Bytes that may wait for a channel. No honest host lets more come together: it takes a window of each rank's input.
MOST_UNSENT = 32 * 1024 * 1024

Connect = Callable[[bool], Sequence[str]]


class Channel(Connection):
    """A connection with the supervisor at its other end.

    Args:
        host: the inventory name.
        argv: the command whose standard input and output are the channel.
        start: starts it.
    """

    def __init__(self, host: str, argv: Sequence[str], start: Callable[[Sequence[str]], Process] = start_process) -> None:
        super().__init__(host, start(argv), supervisor())


class HostConnections:
    """The channels of one job; all are closed when the block is left, or the inner one of two.

    Args:
        connect: by host, returns the local command that reaches it; True for a connection of its own, not a shared one.
        wakers: descriptors that end a wait when they become readable.
        start: starts a local command.
    """

    def __init__(
        self, connect: Mapping[str, Connect], wakers: Sequence[int] = (), start: Callable[[Sequence[str]], Process] = start_process
    ) -> None:
        self._start = start
        self._connect = connect
        self._begun: dict[str, Channel] = {}  # those that nobody has asked for yet
        self._selector = selectors.DefaultSelector()
        self._channels: dict[str, Channel] = {}
        self._requests: dict[str, bytes] = {}
        self._closing: list[Channel] = []
        self._failed: list[Arrival] = []
        self._patience: dict[str, Patience] = {}
        self._again: dict[str, tuple[float, bytes]] = {}  # hosts to be tried again: when, and with which request
        self._paused = False
        for fd in wakers:
            self._selector.register(fd, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Close every channel and wait, for a bounded time, until its local process has ended."""
        while self._begun:
            self._begun.popitem()[1].kill()  # it may still try to connect, for nobody
        for host in self.hosts:
            self.close(host)
        deadline = time.monotonic() + _CLOSE_PATIENCE
        for channel in self._closing:
            with suppress(subprocess.TimeoutExpired):
                channel.process.wait(max(0.0, deadline - time.monotonic()))
                continue
            channel.kill()
        self._selector.close()

    @property
    def hosts(self) -> Sequence[str]:
        """The hosts with an open channel."""
        return list(self._channels)

    def begin(self) -> None:
        """Start the supervisors of all hosts that have none yet, before there is a request for them.

        So ssh and the hosts do their part while this machine does other things for the job. One that cannot be started
        is no news yet: `open` tries again.
        """
        for host in self._connect:
            if host not in self._begun and host not in self._channels:
                with suppress(OSError):
                    self._begun[host] = self._start_channel(host, fresh=False)
        all_taken(SUPERVISOR, (connect(False) for connect in self._connect.values()))

    def open(self, host: str, *, fresh: bool, request: bytes) -> None:
        """Start a host's supervisor, which gets `request` as soon as it answers. The next wait reports a failure."""
        try:
            channel = self._begun.pop(host, None) or self._start_channel(host, fresh=fresh)
        except OSError as exc:  # that host's trouble, not the job's
            self._failed.append(Arrival(host, lost=not_started(exc)))
            return
        self._channels[host], self._requests[host] = channel, request
        if not self._paused:
            self._selector.register(channel.stdout, selectors.EVENT_READ, (channel, self._read))
        self._selector.register(channel.stderr, selectors.EVENT_READ, (channel, self._read_errors))
        self._watch_writing(channel)

    def _start_channel(self, host: str, *, fresh: bool) -> Channel:
        channel = Channel(host, self._connect[host](fresh), self._start)
        channel.flush()
        return channel

    def send(self, host: str, data: bytes) -> None:
        """Send bytes, now or when the channel takes them; nothing happens without an open channel."""
        channel = self._channels.get(host)
        if channel:
            channel.send(data)
            self._watch_writing(channel)
            if channel.backlog > MOST_UNSENT:
                self._failed.append(self._lost(channel, "does not read what it is sent"))

    def close(self, host: str, *, kill: bool = False) -> None:
        """Close a channel. Its local process ends by itself, unless killed; leaving the block waits for it."""
        self._again.pop(host, None)
        channel = self._channels.pop(host, None)
        if channel is None:
            return
        self._requests.pop(host, None)
        for fd in (channel.stdin, channel.stdout, channel.stderr):
            self._unregister(fd)
        channel.close()
        if kill:
            channel.process.kill()
        self._closing.append(channel)

    def pause(self) -> None:
        """Stop reading: output stays on the hosts."""
        self._paused = True
        for channel in self._channels.values():
            self._unregister(channel.stdout)

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        for channel in self._channels.values():
            self._selector.register(channel.stdout, selectors.EVENT_READ, (channel, self._read))

    def wait(self, timeout: float) -> Iterator[Arrival]:
        """Wait for news, at most `timeout` seconds, and read each arrival when it is its turn."""
        failed, self._failed = self._failed, []
        yield from failed
        due = min((at for at, _request in self._again.values()), default=float("inf")) - time.monotonic()
        for key, _mask in self._selector.select(0.0 if failed else max(0.0, min(timeout, due))):
            # An arrival before it may have closed this channel, and a new one may have its descriptor.
            if key.data is None or self._selector.get_map().get(key.fd) != key:
                continue
            channel, read = key.data
            arrival = read(channel)
            if arrival:
                yield arrival
        self._try_again()

    def _try_again(self) -> None:
        now = time.monotonic()
        for host, (at, request) in list(self._again.items()):
            if at <= now:
                del self._again[host]
                self.open(host, fresh=False, request=request)

    # -- one channel

    def _read(self, channel: Channel) -> Arrival | None:
        was_synchronised = channel.decoder.synchronised
        try:
            frames = channel.receive()
        except wire.WireError as exc:
            return self._lost(channel, str(exc))
        if frames is None:
            return self._ended(channel)
        if channel.decoder.synchronised and not was_synchronised:
            self.send(channel.host, self._requests.pop(channel.host))
        return Arrival(channel.host, frames)

    def _ended(self, channel: Channel) -> Arrival | None:
        """Take notice that a channel has ended; one that was turned away is opened again after a pause."""
        host, request = channel.host, self._requests.get(channel.host)
        reason = channel.reason(_LAST_WORDS if request else 0.0)
        at = channel.next_try(reason, self._patience.setdefault(host, Patience()))
        lost = self._lost(channel, reason)
        if at is None or request is None:
            return lost
        self._again[host] = at, request
        return None

    def _lost(self, channel: Channel, reason: str) -> Arrival:
        self.close(channel.host)
        return Arrival(channel.host, lost=reason)

    def _read_errors(self, channel: Channel) -> None:
        if not channel.read_errors():
            self._unregister(channel.stderr)

    def _write(self, channel: Channel) -> None:
        channel.flush()
        self._watch_writing(channel)

    def _watch_writing(self, channel: Channel) -> None:
        watched = channel.stdin in self._selector.get_map()
        if channel.backlog and not watched:
            self._selector.register(channel.stdin, selectors.EVENT_WRITE, (channel, self._write))
        elif watched and not channel.backlog:
            self._selector.unregister(channel.stdin)

    def _unregister(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)
