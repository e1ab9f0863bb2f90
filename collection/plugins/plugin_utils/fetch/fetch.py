# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fetch: files of one host, to a directory on the controller.

The content comes over the connection of the agent, in pieces that are asked for one after the other, so that memory
stays flat however large a file is. rsync is not used: with a host as its sender, the names and kinds of the files that
it writes here would be that host's to choose.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...module_utils.shared.manifest import printable
from ..hosts.access import Access
from ..hosts.agents import Agent, HostFailed
from ..hosts.fleet import Fleet
from ..hosts.progress import Emit
from ..hosts.subprocesses import Cancelled
from ..job.settings import JobSettings
from .destination import Destination, NotAsReported, NotWritten
from .wanted import HostFile, Wanted, batches, changed, contents, host_files


@dataclass
class Fetched:
    """The outcome of a fetch so far.

    Attributes:
        files: all that was asked for and found, in order.
        new: those of them that were fetched, or would be in check mode.
        replaced: those of the new ones whose name was taken here.
        problem: why the rest was not fetched, or empty.
    """

    files: list[HostFile] = field(default_factory=list)
    new: list[HostFile] = field(default_factory=list)
    replaced: list[HostFile] = field(default_factory=list)
    problem: str = ""


class Fetch:
    """Fetches files of one host.

    Args:
        settings: how long to wait for the host.
        access: how it is reached, by its name.
        wanted: names and globs.
        to: path of the directory on the controller.
        check: change nothing, only note the changes that would be made.
        apart: see `Destination`.
        fleet: the host, by default that of `access`.

    Attributes:
        fetched: the outcome so far.
    """

    def __init__(
        self,
        settings: JobSettings,
        access: Mapping[str, Access],
        wanted: Sequence[Wanted],
        to: str,
        *,
        check: bool,
        apart: bool = False,
        fleet: Fleet | None = None,
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._to = to
        self._check = check
        self._apart = apart
        self._fleet = fleet or Fleet(access, settings)
        self._done = 0  # bytes
        self.fetched = Fetched()

    def stop(self) -> None:
        """End it from another thread."""
        self._fleet.stop()

    def run(self, emit: Emit) -> None:
        """Fetch the files; `fetched` says how it went.

        Args:
            emit: takes events: kind, host, details.
        """
        # Whoever cancels it reports why.
        with self._fleet.open(emit), contextlib.suppress(Cancelled):
            try:
                answers = self._fleet.ask(self._progress, self._fetch)
                self.fetched.problem = next(iter(answers.failed.values()), "")
            except NotWritten as exc:
                self.fetched.problem = str(exc)

    def _progress(self, hosts: Sequence[str], news: Mapping[str, str]) -> str:
        sizes = f"{size_text(self._done)} so far" if self._done else news.get(hosts[0], "looking for files")
        return f"fetching from {hosts[0]}: {sizes}"

    def _fetch(self, agent: Agent) -> None:
        files = self._find(agent)
        with Destination(self._to, check=self._check, apart=self._apart) as destination:
            new = [file for file in files if not destination.has(file.place, file.size, file.sha256)]
            replaced = {file.place for file in new if destination.exists(file.place)}
            if not self._check:
                _refuse_too_much(new, destination)
            self.fetched.files = files
            for file in self._written(agent, new, destination):
                self.fetched.new.append(file)
                self.fetched.replaced += [file] if file.place in replaced else []

    def _find(self, agent: Agent) -> list[HostFile]:
        """Return all files that are wanted, each once; all problems with them are one error."""
        found: dict[str, HostFile] = {}
        problems = []
        for wanted in self._wanted:
            try:
                answer = agent.call("fetch_find", lease=self._settings.lease, **wanted.where, pattern=wanted.pattern)
                files = host_files(wanted, answer)
                found |= {file.path: file for file in files if file.path not in found}
            except HostFailed as exc:
                problems.append(str(exc))
        if problems:
            raise HostFailed("; ".join(problems))
        places: dict[tuple[str, ...], str] = {}
        for file in found.values():
            other = places.setdefault(file.place, file.path)
            if other != file.path:
                raise HostFailed(f"two files would be one in {printable(self._to)}: {printable(other)} and {printable(file.path)}")
        return list(found.values())

    def _written(self, agent: Agent, files: Sequence[HostFile], destination: Destination) -> Iterator[HostFile]:
        """Write files and yield each when it is there; in check mode yield them only."""
        pieces = self._pieces(agent, files)
        for file in files:
            if not self._check:
                try:
                    destination.write(file.place, _of_one(pieces, file.size), file.sha256, executable=file.executable)
                except NotAsReported:
                    raise changed(file) from None
            yield file

    def _pieces(self, agent: Agent, files: Sequence[HostFile]) -> Iterator[bytes]:
        for batch in batches(files):
            request = [[piece.file.name, piece.offset, piece.length] for piece in batch]
            answer = agent.call("fetch_read", **batch[0].file.wanted.where, pieces=request)
            for data in contents(batch, answer):
                self._done += len(data)
                yield data


def _of_one(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the pieces of the next file; an empty one has an empty piece."""
    left = size
    for data in pieces:
        yield data
        left -= len(data)
        if left <= 0:
            return


def _refuse_too_much(files: Sequence[HostFile], destination: Destination) -> None:
    """Raise NotWritten when files do not fit; none has been asked for yet."""
    size, free = sum(file.size for file in files), destination.free
    if size > free:
        room = f"{size_text(free)} are free here"
        raise NotWritten(f"{len(files)} files, {size_text(size)}, do not fit into {printable(destination.path)}: {room}")


def size_text(size: float) -> str:
    """Return a number of bytes for a person."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
