"""A delay line in user space: frames go from one interface to another later, and not faster than a rate.

The kernel's own means is netem, which small kernels lack, that of this project's first test machine too; and
one way that works everywhere is better tested than two. Frames travel with their virtio header, so that
unfinished checksums and frames larger than the MTU stay intact.
"""

from __future__ import annotations

import collections
import contextlib
import re
import selectors
import socket
import time
from collections.abc import Callable, Sequence

# <linux/if_packet.h>, <asm-generic/socket.h>; Python names only some of these
_SOL_PACKET = 263
_PACKET_VNET_HDR = 15
_PACKET_IGNORE_OUTGOING = 23
_SO_RCVBUFFORCE = 33
_ETH_P_ALL = 3

_LARGEST_FRAME = 80 * 1024
_BUFFER = 16 << 20
_QUEUE_OF_SLOW_LINE = 256 << 10

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def bits_per_second(rate: str) -> float:
    """Parse a rate as tc(8) writes it: `10mbit`, `500kbit`, `9600bit`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)bit", rate.lower())
    if not match or float(match[1]) == 0:
        raise ValueError(f"not a rate such as 10mbit or 500kbit: {rate!r}")
    return float(match[1]) * _UNITS[match[2]]


class Queue:
    """Frames on their way in one direction; knows no socket and no clock.

    Args:
        delay: seconds every frame is late.
        rate: bits per second, None for no limit. With a limit the queue is short and drops what does not fit,
            as a real bottleneck does.
    """

    def __init__(self, delay: float, rate: float | None) -> None:
        self._delay, self._rate = delay, rate
        self._frames: collections.deque[tuple[float, bytes]] = collections.deque()
        self._bytes = 0
        self._line_free_at = 0.0

    def put(self, frame: bytes, now: float) -> None:
        """Take a frame that arrived."""
        if self._bytes + len(frame) > (_QUEUE_OF_SLOW_LINE if self._rate else _BUFFER):
            return
        sent_at = now
        if self._rate:
            sent_at = max(now, self._line_free_at) + 8 * len(frame) / self._rate
            self._line_free_at = sent_at
        self._bytes += len(frame)
        self._frames.append((sent_at + self._delay, frame))

    def due(self, now: float) -> list[bytes]:
        """Give up the frames whose time has come."""
        frames = []
        while self._frames and self._frames[0][0] <= now:
            frames.append(self._frames.popleft()[1])
        self._bytes -= sum(map(len, frames))
        return frames

    def next_due(self) -> float | None:
        """When the next frame is due."""
        return self._frames[0][0] if self._frames else None


class _Direction:
    """Interface to queue to interface."""

    def __init__(self, source: socket.socket, target: socket.socket, queue: Queue) -> None:
        self.source, self.target, self.queue = source, target, queue

    def receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.queue.put(self.source.recv(_LARGEST_FRAME), time.monotonic())

    def send(self) -> None:
        for frame in self.queue.due(time.monotonic()):
            with contextlib.suppress(OSError):  # a lost frame is what networks do
                self.target.send(frame)


def run(pairs: Sequence[tuple[str, str]], delay: float, rate: float | None, *, ready: Callable[[], object]) -> None:
    """Connect pairs of interfaces for ever; call `ready` when it begins."""
    directions: list[_Direction] = []
    for one, other in pairs:
        left, right = _open(one), _open(other)
        directions.append(_Direction(left, right, Queue(delay, rate)))
        directions.append(_Direction(right, left, Queue(delay, rate)))
    with selectors.DefaultSelector() as selector:
        for direction in directions:
            selector.register(direction.source, selectors.EVENT_READ, direction)
        ready()
        while True:
            _turn(selector, directions)


def _turn(selector: selectors.BaseSelector, directions: list[_Direction]) -> None:
    times = [due for direction in directions if (due := direction.queue.next_due()) is not None]
    timeout = max(0.0, min(times) - time.monotonic()) if times else None
    for key, _ in selector.select(timeout):
        key.data.receive()
    for direction in directions:
        direction.send()


def _open(interface: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    raw.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    raw.bind((interface, _ETH_P_ALL))
    raw.setblocking(False)
    return raw
