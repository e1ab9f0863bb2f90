"""One host of a lab: look into it, run things on it, break it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .init import delay
from .needs import BACK_DOOR, LabError, faketime
from .spec import USER, HostSpec

#: What the lab does for a host: operation, host, arguments to its result.
Ask = Callable[..., Any]

_PATH = f"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{BACK_DOOR}"
#: Seconds killed processes may take to be gone.
_END_PATIENCE = 60.0
#: Seconds that it may take to get into a host, before the limit of what is run there counts.
_ENTER_PATIENCE = 60.0


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of a host, with the ids the host knows it by."""

    pid: int
    ppid: int
    #: the kernel's name for it, at most 15 characters
    name: str
    args: tuple[str, ...]
    cwd: str | None

    @property
    def is_ssh(self) -> bool:
        """Whether it is part of an ssh session rather than something a session started."""
        return self.name.startswith("sshd") or self.name == "sftp-server"


class Host:
    """One host of a lab; made by the lab.

    Attributes:
        name: host name, `node1` and so on.
        address: address on the first network, where sshd is.
        address2: address on the second network.
        log: what its sshd logs.
    """

    def __init__(self, spec: HostSpec, log: Path, ask: Ask) -> None:
        self.name = spec.name
        self.address, self.address2 = spec.addresses
        self.log = log
        self._ask = ask

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.address}>"

    # --- look and do ---

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._status() is not None

    @property
    def pid(self) -> int:
        """Process id, on the machine, of the host's PID 1."""
        pid = self._status()
        if pid is None:
            raise LabError(f"{self.name} is off")
        return pid

    def run(
        self, argv: Sequence[str | os.PathLike[str]], *, timeout: float = 60, check: bool = False, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the host, as root and not through ssh.

        Args:
            argv: program and arguments.
            timeout: seconds; then its process group is killed and `subprocess.TimeoutExpired` raised.
            check: raise `subprocess.CalledProcessError` when it fails.
            options: as for `subprocess.run`; output is captured as text unless they say otherwise.
        """
        if not {"stdout", "stderr", "capture_output"} & options.keys():
            options["capture_output"] = True
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        # Killing nsenter would leave what it started on the host, so that the limit has to be kept in there.
        limit = ["timeout", "--signal=KILL", f"{timeout}"]
        settings: dict[str, Any] = {"text": True, "env": {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"}}
        settings |= {"stdin": subprocess.DEVNULL} if "input" not in options else {}
        begun = time.monotonic()
        done = subprocess.run([*enter, *limit, *argv], check=check, timeout=timeout + _ENTER_PATIENCE, **(settings | options))
        if done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL) and time.monotonic() - begun >= timeout:
            raise subprocess.TimeoutExpired(done.args, timeout, done.stdout, done.stderr)
        return done

    def path(self, path: str | os.PathLike[str]) -> Path:
        """A path under which this process can read and write the host's file, while the host is on."""
        return Path(f"/proc/{self.pid}/root") / Path(path).relative_to("/")

    def processes(self) -> list[Process]:
        """What runs, without the host's PID 1 and the listening sshd."""
        root = self.path("/")
        own = (1, _read_number(root / "run/sshd.pid"))
        pids = (int(entry.name) for entry in (root / "proc").iterdir() if entry.name.isdigit())
        found = (_read_process(root / "proc", pid) for pid in pids if pid not in own)
        return [process for process in found if process]

    def leftovers(self) -> list[Process]:
        """What runs beside ssh sessions."""
        return [process for process in self.processes() if not process.is_ssh]

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Send a signal to one of the host's processes; nothing happens when it is gone."""
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),
            _open(self.path(f"/proc/{pid}")) as process,
        ):
            signal.pidfd_send_signal(process, number)  # takes a /proc directory for a pidfd

    # --- faults ---

    def cut(self) -> None:
        """Let the network go silent: no frame in or out, no error, the carrier stays."""
        self._ask("cut", self.name, on=True)

    def heal(self) -> None:
        """Undo `cut`."""
        self._ask("cut", self.name, on=False)

    def slow(self, delay_ms: float = 0, rate: str | None = None) -> None:
        """Make the network slow.

        Args:
            delay_ms: milliseconds more in each direction, so a round trip takes twice that.
            rate: limit in each direction as tc(8) writes it, `10mbit`.
        """
        limit = None if rate is None else delay.bits_per_second(rate)
        self._ask("slow", self.name, delay=delay_ms / 1000, rate=limit)

    def kill_ssh(self) -> None:
        """Kill every ssh session but not sshd itself; what the sessions started is not killed."""
        self._end(lambda process: process.is_ssh)

    def kill_all(self) -> None:
        """Kill everything but sshd itself."""
        self._end(lambda _: True)

    def power_off(self) -> None:
        """Take it away at once: silent, all processes gone. The disk stays."""
        self._ask("power_off", self.name)

    def power_on(self) -> None:
        """Boot it, with empty /tmp and /run; the other files are as they were."""
        self._ask("power_on", self.name)

    def reinstall(self) -> None:
        """Power off, blank disk, power on."""
        self._ask("power_off", self.name, blank=True)
        self._ask("power_on", self.name)

    def fill_disk(self, leave: int = 0) -> None:
        """Let the disk have only this many free bytes."""
        self._ask("disk", self.name, leave=leave)

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        self._ask("disk", self.name, leave=None)

    def set_clock(self, offset_seconds: float) -> None:
        """Set the wall clock off for what ssh starts from now on; 0 restores.

        What is started through sudo has the true time: the loader ignores LD_PRELOAD for setuid programs.
        """
        library = faketime()
        if offset_seconds and not library:
            raise LabError("no libfaketime here; install the Debian package faketime")
        for home in ("/root", f"/home/{USER}"):
            file = self.path(f"{home}/.ssh/environment")
            if offset_seconds:
                file.write_text(f"LD_PRELOAD={library}\nFAKETIME={offset_seconds:+}\nFAKETIME_DONT_FAKE_MONOTONIC=1\n")
            else:
                file.unlink(missing_ok=True)

    def restore(self) -> None:
        """Undo every fault and end everything sessions left. Files stay as they are."""
        self._ask("restore", self.name)
        self.set_clock(0)
        self.kill_all()

    # --- how ---

    def _status(self) -> int | None:
        pid: int | None = self._ask("pid", self.name)
        return pid

    def _end(self, which: Callable[[Process], bool]) -> None:
        deadline = time.monotonic() + _END_PATIENCE
        while doomed := [process for process in self.processes() if which(process)]:
            if time.monotonic() > deadline:
                raise LabError(f"{self.name}: still there after SIGKILL: {doomed}")
            for process in doomed:
                self.kill(process.pid)
            time.sleep(0.005)


def _read_process(proc: Path, pid: int) -> Process | None:
    """Read one process; None for one that has ended meanwhile or waits to be reaped."""
    place = proc / str(pid)
    try:
        text = (place / "stat").read_text()
        args = (place / "cmdline").read_bytes().rstrip(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and can contain any, so look for the last one: proc(5).
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    if rest[0] in "ZX":
        return None
    words = tuple(os.fsdecode(word) for word in args.split(b"\0")) if args else ()
    return Process(pid, int(rest[1]), name, words, _read_link(place / "cwd"))


def _read_number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _read_link(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


@contextlib.contextmanager
def _open(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
