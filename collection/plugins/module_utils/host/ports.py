# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports: whether they are free, their owners, and a hold on them until the ranks of a job take them.

A port is kept by a UDP socket of the same number on the loopback address. That is in no rank's way, cannot be had twice
by any user, and comes free with the process that has it. It listens to nobody but itself.
"""

from __future__ import annotations

import os
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import sockets

_LISTEN = "0A"  # state of a socket in /proc/net/tcp


class Kept:
    """The ports of one job on this host.

    Attributes:
        shifts: those at which all ports are free, best first.
        problems: why there is none.
        doubts: what need not go wrong: another job keeps a port that is free.
    """

    def __init__(self, listen, shifts, flag):
        """Try to keep ports.

        Args:
            listen: ("ip:port", ...) as they are to be.
            shifts: numbers to add to every port, best first; with a single one, a port that another job keeps is only
                a doubt.
            flag: the option that changes the ports.
        """
        self.shifts = []
        self.problems = []
        self.doubts = []
        self._sockets = {}
        for shift in shifts:
            self._try(shift, [move(address, shift) for address in listen], flag, alone=len(shifts) == 1)

    def _try(self, shift, listen, flag, alone):
        problems = check(listen, flag)
        kept, taken = _keep(sorted({int(address.rpartition(":")[2]) for address in listen})) if not problems else ([], [])
        doubts = ["port %d is kept for another job here%s; try another %s, or auto" % (port, owner("udp", port), flag) for port in taken]
        if problems or (doubts and not alone):
            for each in kept:
                each.close()
            self.problems += problems or doubts
            return
        self.doubts += doubts
        self.shifts.append(shift)
        self._sockets[shift] = kept

    def choose(self, shift):
        """Let go of all others."""
        for other in [other for other in self._sockets if other != shift]:
            for kept in self._sockets.pop(other):
                kept.close()

    def close(self):
        """Let go of all."""
        self.choose(None)


def move(address, shift):
    """Return "ip:port" with another port."""
    ip, _colon, port = address.rpartition(":")
    return "%s:%d" % (ip, int(port) + shift)


def _keep(ports):
    """Return (sockets, ports that cannot be had)."""
    found, taken = [], []
    for port in ports:
        kept = sockets.Socket(sockets.AF_INET, sockets.SOCK_DGRAM)
        try:
            kept.bind(("127.0.0.1", port))
            kept.connect(("127.0.0.1", port))
        except OSError:
            kept.close()
            taken.append(port)
        else:
            found.append(kept)
    return found, taken


def check(listen, flag):
    """Return the problems that keep ranks from listening on ("ip:port", ...)."""
    problems = []
    for address in listen:
        ip, _colon, port = address.rpartition(":")
        with sockets.Socket(sockets.AF_INET, sockets.SOCK_STREAM) as probe:
            # As MLX's ring does: a port still in TIME_WAIT from the job before is free.
            probe.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            try:
                probe.bind((ip, int(port)))
            except OSError as exc:
                who = owner("tcp", int(port))
                problems.append("port %s cannot be used: %s%s; try another %s" % (address, exc.strerror, who, flag))
    return problems


def owner(protocol, port):
    """Return " (NAME, process PID)" for the process that has a port here, "" where it cannot be told."""
    try:
        found = _from_proc(protocol, port) if sys.platform == "linux" else _from_lsof(protocol, port)
    except (OSError, ValueError):
        found = None
    return " (%s, process %d)" % found if found else ""


def _from_proc(protocol, port):
    inodes = set()
    for name in (protocol, protocol + "6"):
        with open("/proc/net/" + name, encoding="ascii") as table:
            inodes |= inodes_of(table.read(), port, protocol == "tcp")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir("/proc/%s/fd" % pid):
                link = os.readlink("/proc/%s/fd/%s" % (pid, fd))
                if link.startswith("socket:[") and link[8:-1] in inodes:
                    with open("/proc/%s/comm" % pid, encoding="utf-8", errors="replace") as comm:
                        return comm.read().strip(), int(pid)
        except OSError:
            continue  # gone meanwhile, or another user's
    return None


def inodes_of(table, port, listening):
    """Return the inodes of the sockets with a local port in the text of /proc/net/tcp or udp, see proc(5)."""
    rows = [line.split() for line in table.splitlines()[1:]]
    wanted = "%04X" % port
    return {row[9] for row in rows if row[1].endswith(":" + wanted) and (row[3] == _LISTEN or not listening)}


def _from_lsof(protocol, port):
    import subprocess  # only on the way to an error message: it is slow to import

    command = ["/usr/sbin/lsof", "-nP", "-Fpc", "-i%s:%d" % (protocol.upper(), port)] + (["-sTCP:LISTEN"] if protocol == "tcp" else [])
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5, check=False)
    except subprocess.SubprocessError:
        return None
    return parse_lsof(done.stdout.decode("utf-8", "replace"))


def parse_lsof(text):
    """Return (name, process id) from `lsof -Fpc`, or None: a line per field, that begins with the field's letter."""
    fields = {line[:1]: line[1:] for line in reversed(text.splitlines())}
    return (fields["c"], int(fields["p"])) if "p" in fields and "c" in fields else None
