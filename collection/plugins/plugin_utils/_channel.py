# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: one host's connection, carrying the protocol."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from ..module_utils import _wire as wire
from ._program import supervisor

CHUNK = 256 * 1024
_STDERR_KEPT = 8192
_LONGEST_REASON = 200  # characters


class Channel:
    """A connection with the supervisor at its other end. Nothing in here waits.

    Args:
        host: the inventory name.
        argv: the command whose standard input and output are the channel.
    """

    def __init__(self, host: str, argv: Sequence[str]) -> None:
        self.host = host
        # A session of its own: signals meant for ansible-playbook's process group must not cut the connection
        # before the ranks have had their grace.
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, bufsize=0
        )
        self._pipes = [pipe for pipe in (self.process.stdin, self.process.stdout, self.process.stderr) if pipe]
        self.stdin, self.stdout, self.stderr = (pipe.fileno() for pipe in self._pipes)
        self.decoder = wire.Decoder(marker=True)
        self._out = bytearray(supervisor())
        self._errors = b""
        for fd in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(fd, False)

    @property
    def backlog(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._out)

    def send(self, data: bytes) -> None:
        """Write what the pipe takes, keep the rest for `flush`."""
        self._out += data
        self.flush()

    def flush(self) -> None:
        """Write what the pipe takes now; a broken pipe shows on the reading side."""
        while self._out:
            try:
                count = os.write(self.stdin, self._out)
            except BlockingIOError:
                return
            except OSError:
                self._out.clear()
                return
            del self._out[:count]

    def receive(self) -> list[wire.Frame] | None:
        """Return the frames that have come, or None at the end of the channel."""
        try:
            data = os.read(self.stdout, CHUNK)
        except BlockingIOError:
            return []
        return self.decoder.feed(data) if data else None

    def read_errors(self) -> bool:
        """Take what ssh or the supervisor says on standard error; return False at its end."""
        try:
            data = os.read(self.stderr, 65536)
        except BlockingIOError:
            return True
        self._errors = (self._errors + data)[-_STDERR_KEPT:]
        return bool(data)

    def reason(self) -> str:
        """Return why the channel ended, in one line, from what was said before it did."""
        while self.read_errors() and self.process.poll() is None:
            break
        said = self._errors.decode("utf-8", "replace").strip() or self.decoder.greeting.decode("utf-8", "replace").strip()
        return explain(said, self.process.poll())

    def close(self) -> None:
        """Let go of the host: its supervisor sees the end of its input and ends the ranks."""
        for pipe in self._pipes:
            pipe.close()
        self._out.clear()

    def kill(self) -> None:
        """End the local process, and know that it has ended."""
        self.close()
        self.process.kill()
        self.process.wait()


_HINTS = (
    # Before the next, which ssh says in this case as well.
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key has changed; check why before you accept it"),
    ("Host key verification failed", "its host key is unknown; check it and add it to known_hosts, by a first ssh to it for example"),
    ("Permission denied", "ssh was refused; is the right user and key configured (ansible_user, ansible_ssh_private_key_file)?"),
    ("Could not resolve hostname", "its name is unknown; set ansible_host"),
    ("Connection refused", "no sshd answers there; on a Mac: System Settings, Sharing, Remote Login"),
    ("No route to host", "no route; on macOS 15 or newer also check Local Network in Privacy settings for the terminal app"),
    ("a password is required", "become needs a password there, which a launch cannot give; allow it without (NOPASSWD)"),
)


def explain(said: str, returncode: int | None) -> str:
    """Return one line for what a connection said before it ended, with a hint for what is known."""
    lines = [_shorten(line.strip()) for line in said.splitlines() if line.strip()]
    for sign, hint in _HINTS:
        if any(sign in line for line in lines):
            line = next(line for line in lines if sign in line)
            return f"{line.strip('@. ')}: {hint}"
    if lines:
        return lines[-1]
    return f"the connection ended (status {returncode})" if returncode is not None else "the connection ended"


def _shorten(line: str) -> str:
    """Cut a line that repeats the whole command we gave."""
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."
