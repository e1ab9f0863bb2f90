# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A local process, ssh for example, whose standard input and output lead to a program on a host."""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Protocol

from ...module_utils.shared import wire
from .bootstrap import STARTED
from .early.handed import HandedProcess, on_failure, rest_for, take

CHUNK = 256 * 1024
_ERRORS_KEPT = 8192  # bytes of standard error
_WRITTEN_AT_ONCE = 65536
_LONGEST_REASON = 200  # characters
_AT_ONCE = 0.0  # by a clock that has begun before
_TRIES = 5  # after the first, within 15 to 30 seconds
_SSH_FAILED = 255  # exit status of ssh for a failure of its own, see ssh(1)


class Patience:
    """The pauses before another try to connect, when too many begin at once; random, so that hosts come one by one.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries = 0

    def next_try(self, reason: str) -> float | None:
        """Return when to try again after a failure, None when that is of no use (any more)."""
        if not turned_away(reason) or self._tries == _TRIES:
            return None
        self._tries += 1
        return self._clock() + random.uniform(0.2, 0.5) * 2.0**self._tries  # noqa: S311 - to differ, not to be secret


class Process(Protocol):
    """The part of `subprocess.Popen` that a connection uses."""

    @property
    def stdin(self) -> IO[bytes] | None:
        """Pipe to the process."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """Pipe from the process."""

    @property
    def stderr(self) -> IO[bytes] | None:
        """Pipe with its errors."""

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, or raise TimeoutExpired."""

    def kill(self) -> None:
        """End it at once."""


def start_process(argv: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
    """Start a command with three pipes, and with these variables or those of this process.

    The launching program may have started it already, with variables of its own. In a session of its own: signals meant
    for ansible-playbook's process group must not cut the connection before the ranks have had their grace.
    """
    return take(argv) or open_process(argv, env)


def open_process(argv: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a command as `start_process` does, whatever has been started already."""
    return subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, bufsize=0
    )


def not_started(exc: OSError, name: str = "the connection") -> str:
    """Return why something cannot be started for a host: no descriptor, process or memory is left here."""
    return f"cannot start {name}: {exc.strerror or exc}"


class Connection:
    """The controller's end of a connection with a program on a host. Only `reason`, given a time, waits.

    Args:
        host: the inventory name.
        process: leads to a Python on the host that reads a program.
        program: is sent to it first.

    Attributes:
        stdin, stdout, stderr: descriptors of the pipes.
        decoder: of the frames that come.
    """

    def __init__(self, host: str, process: Process, program: bytes) -> None:
        self.host = host
        self._writing = threading.Lock()
        self._begin(process, program)

    def _begin(self, process: Process, program: bytes) -> None:
        self.process = process
        self.decoder = wire.Decoder(marker=True, most=wire.MOST_OF_HOST)
        self._pipes = [pipe for pipe in (process.stdin, process.stdout, process.stderr) if pipe]
        self.stdin, self.stdout, self.stderr = (pipe.fileno() for pipe in self._pipes)
        for fd in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(fd, False)
        self._out = bytearray(rest_for(process, program))
        self._errors = b""

    def _reconnect(self, process: Process, program: bytes) -> None:
        """Begin anew with another local process."""
        with self._writing:
            for pipe in self._pipes:
                pipe.close()
            self._begin(process, program)

    def next_try(self, reason: str, patience: Patience) -> float | None:
        """Return when to try again after the end of a connection, None when that is of no use.

        One that was begun before anybody knew that it would be needed may have been too early: another follows at once.
        """
        if self.decoder.synchronised:
            return None
        if isinstance(self.process, HandedProcess) and self.process.is_fresh:
            return _AT_ONCE
        on_failure()
        return patience.next_try(reason)

    @property
    def backlog(self) -> int:
        """Bytes that wait to be written."""
        return len(self._out)

    def send(self, data: bytes) -> None:
        """Write as much as the pipe takes, keep the rest for `flush`."""
        with self._writing:
            self._out += data
        self.flush()

    def flush(self) -> None:
        """Write as much as the pipe takes now; a broken pipe shows on the reading side."""
        with self._writing:
            try:
                while self._out:
                    # Not by the descriptor's number: `close` may have given it back.
                    del self._out[: os.write(self._pipes[0].fileno(), self._out[:_WRITTEN_AT_ONCE])]
            except BlockingIOError:
                return
            except (OSError, ValueError):
                self._out.clear()

    def receive(self) -> list[wire.Frame] | None:
        """Return the frames that have come, or None at the end of the connection."""
        data = _read(self._pipes[1], CHUNK)
        if data is None:
            return []
        return self.decoder.feed(data) if data else None

    def read_errors(self) -> bool:
        """Keep the last of the errors that have come; return False at their end."""
        data = _read(self._pipes[2], _WRITTEN_AT_ONCE)
        self._errors = (self._errors + (data or b""))[-_ERRORS_KEPT:]
        return data != b""

    def reason(self, patience: float = 0.0) -> str:
        """Return why the connection ended, in one line; wait so many seconds for the end of the process."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        with contextlib.suppress(OSError, ValueError):
            while data := _read(self._pipes[2], _WRITTEN_AT_ONCE):
                self._errors = (self._errors + data)[-_ERRORS_KEPT:]
        errors, greeting = (source.decode("utf-8", "replace") for source in (self._errors, self.decoder.greeting))
        return explain(errors, self.process.poll(), greeting)

    def close(self) -> None:
        """Let go of the host: the program there sees the end of its input and stops its work."""
        for pipe in self._pipes:
            pipe.close()
        with self._writing:
            self._out.clear()

    def kill(self) -> None:
        """End the local process, and know that it has ended."""
        self.close()
        self.process.kill()
        self.process.wait()


def _read(pipe: IO[bytes], size: int) -> bytes | None:
    """Return the bytes that are there; none at the end, None before the next."""
    try:
        return os.read(pipe.fileno(), size)
    except BlockingIOError:
        return None


_BECOME = (
    "become needs a password there: give it by -K, allow it without (NOPASSWD), or turn become off where it is on: "
    "ansible.cfg ([privilege_escalation]), ANSIBLE_BECOME, the inventory or the play"
)
_PROMPT = re.compile(r"\[sudo via ansible, key=\w+\] password: *")
# What ssh says when sshd, or that of a jump host, drops a connection before it asks who is there; see MaxStartups in
# sshd_config(5).
_TURNED_AWAY = ("kex_exchange_identification: ", "banner exchange: Connection ", "Exceeded MaxStartups", "Not allowed at this time")
_BUSY = "sshd, or that of a jump host, takes no more at once (see MaxStartups in sshd_config), or blocks this machine"
_HINTS = (
    # Before the next, which ssh says in this case as well.
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key has changed; check why before you accept it"),
    ("Host key verification failed", "its host key is unknown; mlxlaunch prepare --apply shows it and asks, as a first ssh to it does"),
    ("Permission denied", "ssh was refused; is the right user and key configured (ansible_user, ansible_ssh_private_key_file)?"),
    ("Could not resolve hostname", "its name is unknown; set ansible_host"),
    ("Connection refused", "no sshd answers there; on a Mac: System Settings, Sharing, Remote Login"),
    ("No route to host", "no route; on macOS 15 or newer also check Local Network in Privacy settings for the terminal app"),
    *((sign, _BUSY) for sign in _TURNED_AWAY),
    ("is not in the sudoers file", "become is not allowed there; set ansible_become_user, or add it to sudoers"),
    ("incorrect password attempt", "the password for become is wrong there"),
    ("a password is required", _BECOME),
)


#: Beginnings of lines by which ssh explains what it does, with -v, or has a warning that is no reason.
_NO_REASON = ("debug", "OpenSSH_", "Authenticated to ", "Transferred: ", "Bytes per second", "Warning: ", "** ")


def explain(errors: str, returncode: int | None, greeting: str = "") -> str:
    """Return one line for the end of a connection, with a hint for a known problem.

    Args:
        errors: standard error: banners, what the login shell and sudo say, and behind `STARTED` what our command says.
        returncode: status of the local process, None while it runs.
        greeting: standard output. Whoever keeps a login shell from running our command says there why, as nologin(8).
    """
    before, started, after = _PROMPT.sub("", errors).rpartition(STARTED)
    lines = _lines(after)
    for sign, hint in _HINTS:
        if any(sign in line for line in lines):
            line = next(line for line in reversed(lines) if sign in line)  # what a banner says comes before
            return f"{line.strip('@. ')}: {hint}"
    # ssh's own status: the reason is its own, and the last that it says. Else a banner may be all that is there.
    refused = [] if started or returncode == _SSH_FAILED else _lines(greeting)
    found = refused or lines or _lines(before) or _lines(greeting)
    if found:
        return found[-1]
    return f"the connection ended (status {returncode})" if returncode is not None else "the connection ended"


def turned_away(reason: str) -> bool:
    """Return whether a reason of `explain` is that too many connections began at once, so that another try helps."""
    return reason.endswith(_BUSY)


def busy(errors: str, returncode: int) -> str:
    """Return the reason of `explain` if it is that one, else nothing."""
    reason = explain(errors, returncode)
    return reason if turned_away(reason) else ""


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [_shorten(line) for line in lines if line and not line.startswith(_NO_REASON)]


def _shorten(line: str) -> str:
    """Cut a line that repeats the whole command we gave."""
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."
