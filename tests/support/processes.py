"""Processes of this machine, as /proc shows them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def is_gone(pid: int) -> bool:
    """Return whether a process has ended; one that nobody has reaped counts as gone, which is not its own fault."""
    try:
        return _state_of(pid) in "ZX"
    except OSError:
        return True


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped by a signal."""
    return _state_of(pid) == "T"


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def parent_of(pid: int) -> int:
    """Return the process id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Yield the process id and the command line of every process; lab hosts' processes are among them."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
                yield int(entry.name), [os.fsdecode(word) for word in words]


def descendants(root: int) -> dict[int, str]:
    """Return the command lines of a process and all it has started, by process id."""
    lines = {pid: " ".join(words) for pid, words in command_lines()}
    parents: dict[int, int] = {}
    for pid in lines:
        with contextlib.suppress(OSError):
            parents[pid] = parent_of(pid)
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: lines[pid] for pid in found if pid in parents}
