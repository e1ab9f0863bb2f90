# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords on their way to ssh and sudo: in files of this user's own, and never in a process list.

The files lie in Ansible's directory for temporary files, which nobody else can read and which goes with Ansible.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Sequence

_END = "mlxlaunch: no more passwords"
_TRIES = 12  # more than sudo gives anybody; each takes a line
# Starts a command whose standard input begins with a file: the process becomes the command, a child carries the rest.
_RELAY = """\
import os, sys
path, command = sys.argv[1], sys.argv[2:]
with open(path, "rb") as file:
    data = file.read()
ours, theirs = os.pipe()
if os.fork():
    os.dup2(ours, 0)
    os.close(ours)
    os.close(theirs)
    os.execvp(command[0], command)
os.close(ours)
for fd in (1, 2):
    os.close(fd)
try:
    while data:
        while data:
            data = data[os.write(theirs, data):]
        data = os.read(0, 65536)
except OSError:
    pass
os._exit(0)
"""


def with_askpass(argv: Sequence[str], password: str, folder: str) -> list[str]:
    """Return a command line of ssh that gets a password when it asks for one, from a program that it starts.

    Args:
        argv: the command line.
        password: for the user on the host.
        folder: private directory for the program.
    """
    script = _write(folder, f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(password)}\n", 0o700)
    # DISPLAY for ssh before 8.4, which knows no SSH_ASKPASS_REQUIRE.
    return ["env", f"SSH_ASKPASS={script}", "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:0", *argv]


def with_input(argv: Sequence[str], password: str, folder: str) -> list[str]:
    """Return a command line whose standard input begins with lines for sudo, up to those `after_password` reads.

    A wrong password uses up the lines that sudo reads for its further questions, and not what is meant for the program.

    Args:
        argv: the command line.
        password: for sudo.
        folder: private directory for the lines.
    """
    path = _write(folder, "\n".join([password, *["-"] * _TRIES, _END, ""]), 0o600)
    return [sys.executable, "-IS", "-c", _RELAY, path, *argv]


def after_password(command: str) -> str:
    """Return a shell command that runs `command` with the standard input that follows the lines for sudo."""
    return f'while IFS= read -r line && [ "$line" != {shlex.quote(_END)} ]; do :; done; {command}'


def _write(folder: str, text: str, mode: int) -> str:
    fd, path = tempfile.mkstemp(dir=folder)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(fd, mode)
    return path
