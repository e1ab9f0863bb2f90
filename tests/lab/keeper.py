"""Ends a lab for people when the program that it is for has ended: `python -m tests.lab.keeper DIRECTORY PIDFD`.

Such a lab is nobody's child, so that whoever kills that program cannot take it along.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from .lab import Lab
from .needs import LabError
from .start import CHECKOUT, remove_files


def find_program(words: Collection[str]) -> int | None:
    """Return the nearest of our ancestors whose command line has all these words, without directories."""
    return next((pid for pid in _ancestors() if set(words) <= _words(pid)), None)


@contextlib.contextmanager
def kept_for(pid: int, directory: Path) -> Iterator[None]:
    """End the lab that the block starts in a directory when the process ends."""
    program = os.pidfd_open(pid)
    try:
        yield
        command = [sys.executable, "-m", "tests.lab.keeper", str(directory.resolve()), str(program)]
        quiet = subprocess.DEVNULL
        subprocess.Popen(command, cwd=CHECKOUT, pass_fds=[program], start_new_session=True, stdin=quiet, stdout=quiet, stderr=quiet)
    finally:
        os.close(program)


def keep(directory: Path, program: int) -> None:
    """Wait for the end of the program or of the lab; see to it that the lab is gone then."""
    try:
        lab = Lab.attach(directory)
    except LabError:
        return
    init = os.pidfd_open(lab.pid)
    with selectors.DefaultSelector() as selector:
        for pidfd in (program, init):
            selector.register(pidfd, selectors.EVENT_READ)
        ended = {key.fd for key, _events in selector.select()}
    if init not in ended:
        lab.stop()
        remove_files(directory)


def _ancestors() -> Iterator[int]:
    pid = os.getppid()
    while pid > 1:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


def _words(pid: int) -> set[str]:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return set()
    return {Path(os.fsdecode(word)).name for word in line.split(b"\0")}


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
