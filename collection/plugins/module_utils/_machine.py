# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: what kind of machine this is, and how much of it is free.

`run` is the agent's, and `(exit status, output)` what it returns.
"""

from __future__ import annotations

import os
import re

_SW_VERS = "/usr/bin/sw_vers"
_RELEASES = ("/etc/os-release", "/usr/lib/os-release")


def attempt(run, argv, **options):
    """Return (exit status, output) of a program; one that cannot be started has status 127, as in a shell."""
    try:
        return run(argv, **options)
    except OSError as exc:
        return 127, "%s: %s" % (argv[0], exc.strerror)


def output(run, argv):
    """Return what a program prints, without the space around it, or "" when it fails."""
    status, text = attempt(run, argv, timeout=10.0)
    return text.strip() if status == 0 else ""


def is_mac():
    """Return whether this is a Mac."""
    return os.path.exists(_SW_VERS)


def system(run):
    """Return name and version of the system, and what it runs on: the chip of a Mac, else the architecture."""
    machine = os.uname().machine
    if is_mac():
        chip = output(run, ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"])
        return {"name": "macOS", "version": output(run, [_SW_VERS, "-productVersion"]), "chip": chip, "machine": machine}
    for path in _RELEASES:
        try:
            with open(path, encoding="utf-8") as source:
                name, version = parse_os_release(source.read())
        except OSError:
            continue
        return {"name": name, "version": version, "chip": "", "machine": machine}
    return {"name": os.uname().sysname, "version": os.uname().release, "chip": "", "machine": machine}


def parse_os_release(text):
    """Return (name, version) of a Linux distribution from os-release(5)."""
    found = dict(re.findall(r"""^([A-Z_]+)=["']?(.*?)["']?$""", text, re.MULTILINE))
    name = found.get("NAME", "Linux").replace("GNU/Linux", "").strip()
    return name or "Linux", found.get("VERSION_ID", "")


def memory(run):
    """Return total and available memory in bytes; None where it is not told."""
    if is_mac():
        total = output(run, ["/usr/sbin/sysctl", "-n", "hw.memsize"])
        return {"total": int(total) if total.isdigit() else None, "available": parse_vm_stat(output(run, ["/usr/bin/vm_stat"]))}
    try:
        with open("/proc/meminfo", encoding="utf-8") as source:
            found = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", source.read(), re.MULTILINE)}
    except OSError:
        found = {}
    return {"total": found.get("MemTotal"), "available": found.get("MemAvailable")}


def parse_vm_stat(text):
    """Return the bytes that can be had without swapping, from vm_stat(1) of macOS; None when it does not say."""
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
    """Return how many files a process here may have open."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft
