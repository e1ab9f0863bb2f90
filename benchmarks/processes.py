# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of this machine as /proc tells of them: who belongs to whom, processor time, resident memory."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Process:
    """One process at one moment.

    Attributes:
        pid, ppid, name: as usual.
        cpu: seconds of processor time, user and system, of itself only.
        rss: resident bytes.
    """

    pid: int
    ppid: int
    name: str
    cpu: float
    rss: int


def become_subreaper() -> None:
    """Become the parent of every orphan among our descendants, so that a daemonized ssh master stays ours: prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def all_processes() -> dict[int, Process]:
    """Return every process of the machine, by pid."""
    found = (_read(pid) for pid in all_pids())
    return {process.pid: process for process in found if process}


def all_pids() -> list[int]:
    """Return the pid of every process of the machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def reaped_cpu(pid: int) -> float:
    """Return the seconds of processor time of all that a process has started and waited for; see proc(5), cutime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) * _TICK


def children() -> set[int]:
    """Return our own children; those too that have ended and are still to be reaped."""
    me = os.getpid()
    return {process.pid for process in all_processes().values() if process.ppid == me}


def tree(processes: dict[int, Process], roots: Iterable[int]) -> list[Process]:
    """Return `roots` and all their descendants."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.ppid, []).append(process.pid)
    waiting, found = list(roots), []
    while waiting:
        pid = waiting.pop()
        if pid in processes:
            found.append(processes[pid])
        waiting += children.get(pid, [])
    return found


def arguments(pid: int) -> tuple[str, ...]:
    """Return a process's command line; empty when it is gone."""
    try:
        return tuple(os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0"))
    except OSError:
        return ()


def _read(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and can contain any: proc(5).
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    return Process(pid, int(rest[1]), name, (int(rest[11]) + int(rest[12])) * _TICK, int(rest[21]) * _PAGE)
