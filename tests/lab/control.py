"""One request, one answer: JSON lines over the lab's control socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .needs import LabError

#: Seconds a request may take; booting 32 hosts on a slow machine is the longest.
PATIENCE = 150.0


@contextlib.contextmanager
def address(directory: Path) -> Iterator[str]:
    """Give an address of the socket in `directory` which fits into 108 bytes however long the path is."""
    descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/control"
    finally:
        os.close(descriptor)


def listen(directory: Path) -> socket.socket:
    """Open the control socket."""
    (directory / "control").unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with address(directory) as name:
        listener.bind(name)
    listener.listen(64)
    return listener


def ask(directory: Path, request: dict[str, Any]) -> Any:
    """Send a request to the lab in `directory` and return the answer's value."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        try:
            with address(directory) as name:
                connection.connect(name)
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = connection.makefile().readline()
        except OSError as error:
            raise LabError(f"no lab answers in {directory}: {error}") from error
    if not line:
        raise LabError(f"the lab in {directory} ended; see {directory / 'init.log'}")
    answer = json.loads(line)
    if "error" in answer:
        raise LabError(answer["error"])
    return answer["value"]
