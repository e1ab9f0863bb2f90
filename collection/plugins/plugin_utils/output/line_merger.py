# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which the ranks' bytes reach one terminal or file. Pure.

Lines of different ranks never mix, yet nobody waits for a newline. The source in the middle of a line owns the place,
and its bytes pass at once. Others keep their lines until its newline comes, or for a short time. A newline that comes
after that ends nothing any more, and is left out: whoever writes a line and its newline separately gets no empty line.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable


class LineMerger:
    """Merge byte streams into one, line by line.

    Args:
        prefix: gives the bytes before each line of a source; None for none.
        hold: seconds without news after which lines wait no longer for another source's newline. With news they wait
            four times as long: when much is under way, that newline most likely is, too. Time given to `postpone`
            does not count.

    Attributes:
        prefix: as above.
        newline: bytes that break a line which a source leaves open.
        hold: as above.
    """

    def __init__(self, prefix: Callable[[Hashable], bytes] | None = None, hold: float = 0.25) -> None:
        self.prefix = prefix
        self.hold = hold
        self.newline = b"\n"
        self._owner: Hashable | None = None
        self._broken: set[Hashable] = set()  # sources of which nothing has come since their line was broken
        self._waiting: dict[Hashable, bytearray] = {}
        self._since = 0.0
        self._news = 0.0

    def feed(self, source: Hashable, data: bytes, now: float) -> bytes:
        """Take bytes of a source; return the bytes to write now, perhaps none."""
        # The owner of the line goes first: its newline may be the one that all wait for.
        out = b"" if source == self._owner else self.tick(now)
        if data:
            self._news = now
            out += self._take(source, data, now)
        return out + self.tick(now)

    def _take(self, source: Hashable, data: bytes, now: float) -> bytes:
        """Return the bytes that pass; keep those of a source that has to wait."""
        if self._owner not in (None, source):
            if not self._waiting:
                self._since = now
            self._waiting.setdefault(source, bytearray()).extend(data)
            return b""
        if not self._waiting:
            return self._write(source, data)
        lines, rest = split_lines(data)
        if not lines:
            return self._write(source, rest)
        out = self._write(source, lines)
        self._waiting[source] = bytearray(rest)
        return out + self._release(now)

    def tick(self, now: float) -> bytes:
        """Return the lines that have waited for their full time, after a newline that breaks the owner's line."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return b""
        self._broken.add(self._owner)
        self._owner = None
        return self.newline + self._release(now)

    def deadline(self) -> float | None:
        """Return when to call `tick`, or None when nothing waits."""
        return min(self._news + self.hold, self._since + 4 * self.hold) if self._waiting else None

    def postpone(self, seconds: float) -> None:
        """Do not count the last `seconds`: the reader took nothing in that time."""
        self._since += seconds
        self._news += seconds

    @property
    def waiting(self) -> int:
        """Bytes that wait for the end of another source's line."""
        return sum(map(len, self._waiting.values()))

    def finish(self) -> bytes:
        """Return all bytes that are left; no more will come."""
        out = b""
        while self._waiting:
            out += self.tick(self._since + 4 * self.hold)
        return out

    def _release(self, now: float) -> bytes:
        """Return all complete lines that wait; the first source left in mid-line becomes the owner."""
        out = b""
        for source, data in list(self._waiting.items()):
            lines, rest = split_lines(bytes(data))
            out += self._write(source, lines)
            self._waiting[source] = bytearray(rest)
        self._waiting = {source: rest for source, rest in self._waiting.items() if rest}
        self._since = now
        if self._waiting:
            first = next(iter(self._waiting))
            out += self._write(first, bytes(self._waiting.pop(first)))
        return out

    def _write(self, source: Hashable, data: bytes) -> bytes:
        """Return `data` with its prefixes, and remember the owner of the line it stops in."""
        if data and source in self._broken:
            self._broken.discard(source)
            data = data.removeprefix(self.newline if data.startswith(self.newline) else b"\n")
        if not data:
            return b""
        fresh = self._owner is None
        self._owner = None if data.endswith(b"\n") else source
        return _with_prefix(self.prefix(source), data, fresh) if self.prefix else data


def _with_prefix(prefix: bytes, data: bytes, fresh: bool) -> bytes:
    """Return `data` with `prefix` before each line that begins in it; `fresh` when the first does."""
    body, end = (data[:-1], b"\n") if data.endswith(b"\n") else (data, b"")
    return (prefix if fresh else b"") + body.replace(b"\n", b"\n" + prefix) + end


def split_lines(data: bytes) -> tuple[bytes, bytes]:
    """Return (complete lines, the beginning of one)."""
    at = data.rfind(b"\n") + 1
    return data[:at], data[at:]
