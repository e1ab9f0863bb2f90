# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of this host's processes, and the marks that jobs have put into their environments."""

from __future__ import annotations

import os
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process import Process, mark_in
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import BOOT

_KERNEL = 0x00200000  # PF_KTHREAD, a flag of Linux' own threads since 2.6.29
_MOST = 4096  # bytes of a stat, which comes whole in one read


def take_table():
    """Return ({pid: Process}, function that returns the mark of a process, "" when it has none) of all living ones.

    Threads of the kernel, most of what a Linux host with many processors runs, are left out: no program starts one.
    The environment is read of this user's processes alone: that of a stranger's may hang, and it proves nothing.
    """
    if sys.platform == "darwin":
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import ps  # Late: where there is no /proc.

        table, marks = ps.parse(ps.run(ps.ALL))
        return table, lambda pid: marks.get(pid, "")
    user = os.geteuid()
    return _from_proc(), lambda pid: mark_of(pid, user)


def _from_proc():
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                process = parse_stat(_read("/proc/%s/stat" % entry, _MOST))
            except OSError:
                continue  # gone meanwhile
            if process:
                table[int(entry)] = process
    return table


def mark_of(pid, user):
    """Return the mark in the environment that a process of a user was started with, "" when it has none."""
    try:
        if os.stat("/proc/%d" % pid).st_uid != user:
            return ""
        words = _read("/proc/%d/environ" % pid).split(b"\0")
    except OSError:
        return ""  # gone meanwhile, or not ours to look at
    return mark_in(words)


def _read(path, whole=0):
    """Return what a file has; if that comes whole in one read, of at most so many bytes, without another."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if whole:
            return os.read(fd, whole)
        chunks = []
        while True:
            chunk = os.read(fd, 65536)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
    finally:
        os.close(fd)


def parse_stat(stat):
    """Return the Process from the text of /proc/PID/stat, see proc(5); None when it is dead, or the kernel's."""
    before, _paren, after = stat.rpartition(b")")
    fields = after.split(None, 20)
    if fields[0] in (b"Z", b"X") or int(fields[6]) & _KERNEL:
        return None
    name = before.partition(b"(")[2].decode("utf-8", "replace")
    return Process(name, int(fields[1]), int(fields[2]), int(fields[3]), fields[19].decode())


def is_program_of_ours(pid):
    """Return whether a process is a supervisor, a guard or an agent, sent by a controller."""
    try:
        return BOOT.encode() in (_command_by_ps(pid) if sys.platform == "darwin" else _read("/proc/%d/cmdline" % pid))
    except OSError:
        return False


def _command_by_ps(pid):
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs import ps  # Late: where there is no /proc.

    return ps.run(("/bin/ps", "-wwo", "command=", "-p", str(pid)))
