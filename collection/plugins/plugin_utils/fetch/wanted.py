# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that are wanted of a host, and the check of what it says it has. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...module_utils.shared import patterns
from ...module_utils.shared.manifest import printable, to_bytes
from ..hosts.agents import HostFailed
from ..job.errors import UsageError

PIECE = 512 * 1024  # bytes of an answer
_PIECES = 256  # of an answer
_LONGEST_PATH = 4096  # bytes
_LARGEST = 2**63  # bytes of a file
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Wanted:
    """One name or glob, as it is asked for on a host.

    Attributes:
        folder: directory on the host, the last one before the first glob.
        bounds: directory on the host that no link may lead out of; empty for `folder`.
        pattern: names below `folder`, of which some may be globs.
        below: names of the directories that the files go to here.
    """

    folder: str
    bounds: str
    pattern: tuple[str, ...]
    below: tuple[str, ...]

    @property
    def where(self) -> dict[str, str]:
        """Return the arguments of calls that name the directory."""
        return {"folder": self.folder, "bounds": self.bounds}


@dataclass(frozen=True)
class HostFile:
    """A file on a host.

    Attributes:
        wanted: the name or glob that it was found by.
        name: relative to the directory of that.
        size: bytes.
        executable: whether its owner may execute it.
        sha256: of its content, in hex.
    """

    wanted: Wanted
    name: str
    size: int
    executable: bool
    sha256: str

    @property
    def path(self) -> str:
        """Its path on the host."""
        return posixpath.join(self.wanted.folder, self.name)

    @property
    def place(self) -> tuple[str, ...]:
        """Its path here, as names below the directory that is fetched to."""
        return (*self.wanted.below, *self.name.split("/"))


@dataclass(frozen=True)
class Piece:
    """Bytes of a file that are asked for at once."""

    file: HostFile
    offset: int
    length: int


def wanted(pattern: object, cwd: str) -> Wanted:
    """Return what a name or glob asks for; raise UsageError when it makes no sense.

    Args:
        pattern: absolute, or relative to `cwd`.
        cwd: working directory of the job on the host.
    """
    if not isinstance(pattern, str) or not pattern or "\0" in pattern:
        raise UsageError(f"mlx_fetch: {pattern!r} is no name of a file")
    if pattern.endswith("/"):
        raise UsageError(f"mlx_fetch: {pattern} is a directory, which is fetched as {pattern}**")
    if not pattern.startswith("/") and not cwd.startswith("/"):
        raise UsageError(
            f"mlx_fetch: {pattern} is relative, and there is no working directory: no job has run before in this play, or not as far "
            "as to have one; role mlxlaunch.cluster.launch comes first"
        )
    cwd = _normal(cwd)
    names = _normal(posixpath.join(cwd, pattern)).split("/")[1:]
    globs = [at for at, name in enumerate(names) if patterns.is_glob(name)]
    first = globs[0] if globs else len(names) - 1
    folder = "/" + "/".join(names[:first])
    inside = cwd.startswith("/") and (folder == cwd or folder.startswith(cwd.rstrip("/") + "/"))
    below = folder[len(cwd) :] if inside else folder
    return Wanted(
        folder,
        cwd if inside and not pattern.startswith("/") else "",
        tuple(part for name in names[first:] for part in _parts(name, pattern)),
        tuple(name for name in below.split("/") if name),
    )


def _normal(path: str) -> str:
    """Return a path without `.`, `..` and double slashes."""
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else path


def _parts(name: str, pattern: str) -> list[str]:
    """Return a name of a glob; `**.npz` stands for `**/*.npz`."""
    if name != patterns.ANY and patterns.ANY in name[1:]:
        raise UsageError(f"mlx_fetch: {pattern}: ** stands for whole names, as in checkpoints/**/*.npz")
    if name != patterns.ANY and name.startswith(patterns.ANY):
        return [patterns.ANY, name[1:]]
    return [name]


def host_files(asked: Wanted, answer: object) -> list[HostFile]:
    """Return the files that a host reports; raise HostFailed when it reports what it was not asked for."""
    if not isinstance(answer, list) or not 0 < len(answer) <= patterns.MOST:
        raise HostFailed("its list of files is none")
    files = [_host_file(asked, row) for row in answer]
    if len({file.name for file in files}) < len(files):
        raise HostFailed("reports a file twice")
    return files


def _host_file(asked: Wanted, row: object) -> HostFile:
    if not isinstance(row, list) or len(row) != 4 or not isinstance(row[0], str):
        raise HostFailed("its list of files is none")
    name, size, executable, sha256 = row
    if not _is_asked_for(asked, name):
        raise HostFailed(f"reports a file that it was not asked for: {printable(name[:_LONGEST_PATH])}")
    good_size = isinstance(size, int) and not isinstance(size, bool) and 0 <= size < _LARGEST
    if not good_size or not isinstance(executable, bool) or not isinstance(sha256, str) or not _SHA256.match(sha256):
        raise HostFailed(f"reports nonsense about {printable(posixpath.join(asked.folder, name))}")
    return HostFile(asked, name, size, executable, sha256)


def _is_asked_for(asked: Wanted, name: str) -> bool:
    """Return whether a name stays below its directory, and matches."""
    names = name.split("/")
    if len(name) > _LONGEST_PATH or any(part in ("", ".", "..") or "\0" in part for part in names):
        return False
    try:
        to_bytes(name)
    except UnicodeEncodeError:
        return False
    return bool(patterns.matches(asked.pattern, names))


def batches(files: Sequence[HostFile]) -> Iterator[list[Piece]]:
    """Yield the pieces of files, in order, as many at once as one answer may hold; an empty file is one empty piece."""
    batch: list[Piece] = []
    room = PIECE
    for piece in _pieces(files):
        if batch and (piece.length > room or len(batch) == _PIECES or piece.file.wanted.where != batch[0].file.wanted.where):
            yield batch
            batch, room = [], PIECE
        batch.append(piece)
        room -= piece.length
    if batch:
        yield batch


def _pieces(files: Sequence[HostFile]) -> Iterator[Piece]:
    for file in files:
        for offset in range(0, max(file.size, 1), PIECE):
            yield Piece(file, offset, min(PIECE, file.size - offset))


def contents(batch: Sequence[Piece], answer: Any) -> list[bytes]:
    """Return the bytes of pieces that a host has sent; raise HostFailed when they are not those that were asked for."""
    import base64

    if not isinstance(answer, list) or len(answer) != len(batch):
        raise HostFailed("does not send the files that it has reported")
    found = []
    for piece, text in zip(batch, answer, strict=True):
        try:
            data = base64.b64decode(text, validate=True)
        except (TypeError, ValueError):
            raise HostFailed(f"does not send {printable(piece.file.path)} as bytes") from None
        if len(data) != piece.length:
            raise changed(piece.file)
        found.append(data)
    return found


def changed(file: HostFile) -> HostFailed:
    """Return the error of a file whose content is not the one that was reported."""
    return HostFailed(f"{printable(file.path)} changed while it was read; fetch it once nobody writes to it")
