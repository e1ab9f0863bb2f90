"""Ports of this machine that are free until a test takes them, whatever tests run beside it."""

from __future__ import annotations

import os
import socket
import sys


def own_address() -> str:
    """Return a loopback address that no other process uses, where the system has more than one."""
    pid = os.getpid()
    return f"127.{1 + pid // 65536 % 254}.{pid // 256 % 256}.{pid % 256}" if sys.platform == "linux" else "127.0.0.1"


def free_port() -> int:
    """Return a port where nothing listens at `own_address`."""
    with socket.create_server((own_address(), 0)) as one:
        return int(one.getsockname()[1])


def free_address() -> str:
    """Return an address and a port of it where nothing listens."""
    return f"{own_address()}:{free_port()}"
