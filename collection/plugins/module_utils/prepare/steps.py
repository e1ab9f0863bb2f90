# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a change: programs that are run and files that are written, and how a person does the same by hand."""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.record import write_lastingly

#: How launchctl(1) begins its refusal where macOS takes limits from LaunchDaemons only, when it starts.
_ONLY_AT_START = "Could not set resource limits: 150"


class Run:
    """A program that is run.

    Args:
        argv: its words.

    Attributes:
        commands: lists of words by which a person does the same.
        deferred: whether this system does it only when it starts.
    """

    def __init__(self, *argv):
        self.commands = [list(argv)]
        self.deferred = False

    def perform(self, host):
        """Do it; return the reason of a failure, or an empty text."""
        reason = host.change(self.commands[0])
        self.deferred = _ONLY_AT_START in reason
        return "" if self.deferred else reason


class Write:
    """A file of ours that is written, or goes.

    Args:
        path: where it is.
        text: its content, "" for none.
        commands: as `Run` has them.
    """

    deferred = False

    def __init__(self, path, text, commands):
        self._path = path
        self._text = text
        self.commands = commands if text else [["rm", path]]

    def perform(self, host):
        """Do it; return the reason of a failure, or an empty text."""
        host.changed()
        try:
            if self._text:
                write_lastingly(self._path, self._text.encode("utf-8"))
            else:
                os.unlink(self._path)
        except OSError as exc:
            return "%s: %s" % (self._path, exc.strerror)
        return ""


def read_file(path):
    """Return the bytes of a file of ours, b"" when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    with os.fdopen(fd, "rb") as source:
        return source.read(1 << 20)
