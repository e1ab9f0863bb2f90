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
#: Needed by no lab, but by tests which run on one: another mpirun than that of the environment, a firewall, login shells.
_TESTS_PROGRAMS = {"mpirun": "openmpi-bin", "iptables": "iptables", "fish": "fish", "tcsh": "tcsh"}
#: As _PROGRAMS, for hosts that look like a Mac.
_MAC_PROGRAMS = {"zsh": "zsh", "rsync": "rsync"}
#: Where such a host has what the lab needs and a Mac does not have in its PATH.
BACK_DOOR = Path("/usr/libexec/mlxlab")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LabError(Exception):
    """The lab cannot do this; the text says why and what to do."""


class NoMacError(LabError):
    """The machine can have a lab, but none whose hosts look like a Mac."""


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
    """Debian packages a lab and what runs on it need, sorted."""
    return sorted({*_PROGRAMS.values(), *_MAC_PROGRAMS.values(), *_TESTS_PROGRAMS.values(), "faketime"})


def mac_lacks_programs() -> list[str]:
    """Say which programs this machine lacks for a host that looks like a Mac."""
    return [f"{name} (Debian package {package})" for name, package in _MAC_PROGRAMS.items() if not program(name)]


def program(name: str) -> str | None:
    """Full path of a system program, also when it is not in a normal user's PATH."""
    return shutil.which(name, path=_SYSTEM_PATH)


def faketime() -> Path | None:
    """The library which shows a process another time; the variant for programs with threads."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
