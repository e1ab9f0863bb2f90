# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of this machine, and its free memory and disk.

`run` is the agent's: it returns (exit status, output).
"""

from __future__ import annotations

import os
import re

_SW_VERS = "/usr/bin/sw_vers"
_WIRED = "iogpu.wired_limit_mb"
_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
_ENV = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "LANG": "C"}
_PATIENCE = 20.0  # seconds for one program


def attempt(run, argv, **options):
    """Return (exit status, output) of a program; one that cannot be started has status 127, as in a shell."""
    try:
        return run(argv, **options)
    except OSError as exc:
        return 127, "%s: %s" % (argv[0], exc.strerror)


def output(run, argv):
    """Return the output of a program, without the space around it, or "" when it fails."""
    status, text = attempt(run, argv, timeout=10.0)
    return text.strip() if status == 0 else ""


def run_shipped(run, argv):
    """Return (exit status, output) of a program of the system, without anything of the user's: root may run it."""
    return attempt(run, argv, env=_ENV, cwd="/", timeout=_PATIENCE)


def reason(argv, status, text):
    """Return the reason of a program's failure, from its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = (lines or ["it ended with status %d" % status])[-1][:200]
    return last if last.startswith(argv[0] + ": ") else "%s: %s" % (argv[0], last)


def is_mac():
    """Return whether this is a Mac."""
    return os.path.exists(_SW_VERS)


def system(run):
    """Return name, version and build of the system, and its hardware: the chip of a Mac, else the architecture."""
    machine = os.uname().machine
    if is_mac():
        chip = output(run, ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
        told = dict(re.findall(r"^(\w+):\s*(\S+)", output(run, [_SW_VERS]), re.MULTILINE))
        return _system("macOS", told.get("ProductVersion", ""), machine, chip, told.get("BuildVersion", ""))
    for path in _RELEASES:
        try:
            with open(path, encoding="utf-8") as source:
                name, version = parse_os_release(source.read())
        except OSError:
            continue
        return _system(name, version, machine)
    return _system(os.uname().sysname, os.uname().release, machine)


def _system(name, version, machine, chip="", build=""):
    return {"name": name, "version": version, "build": build, "chip": chip, "machine": machine}


def parse_os_release(text):
    """Return (name, version) of a Linux distribution from os-release(5)."""
    found = dict(re.findall(r"""^([A-Z_]+)=["']?(.*?)["']?$""", text, re.MULTILINE))
    name = found.get("NAME", "Linux").replace("GNU/Linux", "").strip()
    return name or "Linux", found.get("VERSION_ID", "")


def memory(run):
    """Return total, available and wired memory in bytes; None where it is not told.

    `wired` is the most that the GPU of a Mac with an Apple chip may have, 0 for the system's own choice.
    """
    if is_mac():
        # A Mac without that limit tells the rest, with an exit status of 1.
        _status, text = attempt(run, ["/usr/sbin/sysctl", "hw.memsize", _WIRED], timeout=10.0)
        told = {name: int(value) for name, value in re.findall(r"^([\w.]+): (\d+)$", text, re.MULTILINE)}
        wired = told[_WIRED] * 1024 * 1024 if _WIRED in told else None
        return {"total": told.get("hw.memsize"), "available": parse_vm_stat(output(run, ["/usr/bin/vm_stat"])), "wired": wired}
    try:
        with open("/proc/meminfo", encoding="utf-8") as source:
            found = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", source.read(), re.MULTILINE)}
    except OSError:
        found = {}
    return {"total": found.get("MemTotal"), "available": found.get("MemAvailable"), "wired": None}


def parse_vm_stat(text):
    """Return the bytes that can be had without swapping, from vm_stat(1) of macOS; None when it is not in the text."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = {name: int(count) for name, count in re.findall(r"^Pages (free|inactive|speculative):\s+(\d+)\.", text, re.MULTILINE)}
    return sum(pages.values()) * int(size.group(1)) if size and pages else None


def disk(path):
    """Return the free and total bytes of the disk that a path is on or, not there yet, will be on."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return {"path": path, "free": found.f_bavail * found.f_frsize, "total": found.f_blocks * found.f_frsize}


def open_files():
    """Return how many files a rank here may have open, None for any number."""
    import resource

    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.open_files import earlier

    return None if earlier[0] == resource.RLIM_INFINITY else earlier[0]


def processes():
    """Return how many processes, or threads on Linux, this user may run here; None for any number."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    # Linux holds nobody to it who may change limits, see getrlimit(2).
    free = limit == resource.RLIM_INFINITY or (os.geteuid() == 0 and not is_mac())
    return None if free else limit
