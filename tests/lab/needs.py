"""What a machine must have for a lab."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

#: Programs, and the Debian package which has each.
_PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "timeout": "coreutils",
    "ip": "iproute2",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sudo": "sudo",
}
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LabError(Exception):
    """The lab cannot do this; the text says why and what to do."""


def missing() -> list[str]:
    """Say what this machine lacks for a lab, with Debian package names; empty: nothing that is known."""
    if not sys.platform.startswith("linux"):
        return [f"Linux (this is {sys.platform})"]
    lacks = [] if os.geteuid() == 0 else ["root"]
    lacks += [f"{name} (Debian package {package})" for name, package in _PROGRAMS.items() if not program(name)]
    if not faketime():
        lacks.append("libfaketime (Debian package faketime)")
    return lacks


def packages() -> list[str]:
    """Debian packages a lab needs, sorted."""
    return sorted({*_PROGRAMS.values(), "faketime"})


def program(name: str) -> str | None:
    """Full path of a system program, also when it is not in a normal user's PATH."""
    return shutil.which(name, path=_SYSTEM_PATH)


def faketime() -> Path | None:
    """The library which shows a process another time; the variant for programs with threads."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
