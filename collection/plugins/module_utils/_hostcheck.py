# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection, runs on the host: is everything here that the ranks need? Nothing is started.

Each check returns problems as text: what is wrong on this host and, where it helps, what is there instead.
"""

from __future__ import annotations

import errno
import os
import socket
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils._ports import Kept

PREFIXES = ("MLX_", "PYTHON", "DYLD_", "LD_")


def check_host(spec):
    """Return (facts, problems, ports that are kept) for the part of the job that runs on this host.

    Args:
        spec: python, script and command ("" when not asked for), cwd, default_cwd, addresses, listen ("ip:port"), shifts, port_flag,
            devices (the CUDA device of each rank, nothing for a backend that wants none), mpi (candidates).
    """
    problems = []
    cwd = _find_cwd(spec, problems)
    if spec["python"] and not _find_program(spec["python"], cwd):
        problems.append("python %s is not there, or cannot be run" % spec["python"])
    if spec["script"]:
        _check_script(spec["script"], cwd, problems)
    elif spec["command"] and not _find_program(spec["command"], cwd):
        problems.append("command %s is not there, or cannot be run" % spec["command"])
    foreign = check_addresses(spec["addresses"], problems)
    ports = Kept(() if foreign else spec["listen"], spec["shifts"], spec["port_flag"])
    problems += [] if ports.shifts else ports.problems
    check_devices(spec["devices"], problems)
    known = dict(facts(cwd), shifts=ports.shifts)
    if "mpi" in spec:
        # Late: only this backend needs it.
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils._mpirun import find

        known.update(uid=os.getuid(), mpirun=find(spec["mpi"]["candidates"]))
    return known, problems, ports


def facts(cwd):
    """Return what the controller compares between hosts and keeps in the record."""
    return {
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "cwd": cwd,
        "platform": sys.platform,
        "supervisor_python": "%d.%d.%d" % sys.version_info[:3],
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(PREFIXES)},
    }


def _find_program(name, cwd):
    """Return the path of an executable given by path or, as a shell would, by name; "" when there is none."""
    if "/" in name:
        path = os.path.join(cwd, name)
        return path if os.path.isfile(path) and os.access(path, os.X_OK) else ""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def _find_cwd(spec, problems):
    if spec["cwd"]:
        path = spec["cwd"]
        if not os.path.isdir(path):
            problems.append("working directory %s is not there" % path)
        elif not os.access(path, os.X_OK):
            problems.append("working directory %s cannot be entered" % path)
        return path
    # Nobody asked for one: where the launch was typed, if it exists here, else home.
    wanted = spec["default_cwd"]
    return wanted if wanted and os.path.isdir(wanted) and os.access(wanted, os.X_OK) else os.path.expanduser("~")


def _check_script(script, cwd, problems):
    path = os.path.join(cwd, script)
    if os.path.isdir(path):
        if not os.path.isfile(os.path.join(path, "__main__.py")):
            problems.append("script %s is a directory without a __main__.py" % path)
    elif not os.path.isfile(path):
        problems.append("script %s is not there" % path)
    elif not os.access(path, os.R_OK):
        problems.append("script %s cannot be read" % path)


def check_addresses(addresses, problems):
    foreign = [ip for ip in addresses if not _owns(ip)]
    if foreign:
        problems.append("does not own %s; it has %s" % (", ".join(foreign), describe(own_addresses())))
    return bool(foreign)


def _owns(ip):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError as exc:
            return exc.errno != errno.EADDRNOTAVAIL
    return True


def check_devices(wanted, problems, dev="/dev"):
    """With fewer devices than ranks NCCL fails late, or waits for ever.

    Args:
        wanted: the device of each rank, as CUDA_VISIBLE_DEVICES names it.
    """
    if not wanted:
        return
    which = "%d rank%s with nccl need%s CUDA device %s" % (len(wanted), "s"[len(wanted) == 1 :], "s"[len(wanted) > 1 :], ", ".join(wanted))
    if sys.platform != "linux":
        problems.append("%s; nccl runs on Linux only, and this is %s" % (which, sys.platform))
        return
    if not all(name.isdigit() for name in wanted):
        return  # parts of a device (MIG), say: only the driver knows them
    names = os.listdir(dev)
    count = sum(name.startswith("nvidia") and name[6:].isdigit() for name in names)
    # Under WSL 2 and on Jetson boards devices have other names, which tell nothing about their number.
    unknown = not count and any(name == "dxg" or name.startswith("nvhost") for name in names)
    if not unknown and max(map(int, wanted)) >= count:
        problems.append("%s, and it has %s" % (which, "%d in all" % count if count else "none (%s/nvidia0)" % dev))


def own_addresses():
    """Return [(interface, IPv4 address)] of this host, or nothing where no tool tells."""
    import subprocess  # only on the way to an error message: it is slow to import

    for command, parse in ((["ip", "-4", "-o", "addr"], parse_ip_addr), (["/sbin/ifconfig", "-a"], parse_ifconfig)):
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5, check=False)
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0:
            return parse(done.stdout.decode("utf-8", "replace"))
    return []


def parse_ip_addr(text):
    """Return [(interface, address)] from `ip -4 -o addr` (iproute2)."""
    rows = [line.split() for line in text.splitlines()]
    return [(row[1], row[3].partition("/")[0]) for row in rows if len(row) > 3 and row[2] == "inet"]


def parse_ifconfig(text):
    """Return [(interface, address)] from `ifconfig -a` (macOS)."""
    found, interface = [], ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            interface = line.partition(":")[0]
        fields = line.split()
        if len(fields) > 1 and fields[0] == "inet":
            found.append((interface, fields[1]))
    return found


def describe(addresses):
    """Return addresses as one phrase; loopback only when there is nothing else."""
    outside = [pair for pair in addresses if not pair[1].startswith("127.")] or addresses
    return ", ".join("%s %s" % pair for pair in outside) or "no IPv4 address that it could name"
