# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the programs, addresses and devices that ranks need on this host. Nothing is started.

A check appends its problems as texts, which name what is wrong and, where it helps, what is there instead.
"""

from __future__ import annotations

import errno
import os
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.closed import closed_folder
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import sockets

_FIRST_LINE = 256  # bytes of it that Linux reads, as linux/binfmts.h says; macOS reads 512


def find_program(name, cwd, env=None):
    """Return the path of an executable given by path or, as a shell would, by name; "" when there is none.

    Args:
        name: path or name.
        cwd: directory in which it is run.
        env: variables with which it is run, whose PATH counts; None for those of this process.
    """
    folders = [""] if "/" in name else (os.environ if env is None else env).get("PATH", os.defpath).split(os.pathsep)
    paths = [os.path.join(cwd, folder, name) for folder in folders]
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), "")


def check_program(what, name, cwd, own, problems):
    """Check a program that ranks need, and return its path, "" when it cannot be run.

    Args:
        what: "python" or "command".
        name, cwd: as for `find_program`.
        own: variables that the ranks have beside those of this process.
    """
    env = dict(os.environ, **own)
    path = find_program(name, cwd, env)
    if not path:
        closed = closed_folder(os.path.join(cwd, name)) if "/" in name else ""
        problems.append("%s %s is not there, or cannot be run%s" % (what, name, ": %s" % closed if closed else _looked(name, cwd, own)))
        return ""
    lacking = _lacking_interpreter(path, cwd, env)
    if lacking:
        problems.append("%s %s wants the interpreter %s" % (what, name, lacking))
    return path


def _lacking_interpreter(path, cwd, env):
    """Return a phrase for the interpreter that the first line of a program names, if it cannot be run, else "".

    Args:
        path: of the program.
        cwd: directory in which it is run.
        env: all variables with which it is run.
    """
    try:
        with open(path, "rb") as program:
            first = program.readline(_FIRST_LINE)
    except OSError:
        return ""  # it may be run, and not be read
    for name in _interpreters(os.fsdecode(first)) if first.startswith(b"#!") else ():
        if not find_program(name, cwd, env):
            return "%r, which is not there, or cannot be run%s" % (name, " (Windows line ends?)" * name.endswith("\r"))
    return ""


def _interpreters(first):
    """Return the program that a first line names, and the one that this is to run if it is `env`.

    As systems read it, blanks and tabs are between words, and a carriage return is a part of one.
    """
    named, _blank, rest = first[2:].rstrip("\n").replace("\t", " ").strip(" ").partition(" ")
    word = (rest[2:] if rest.startswith("-S") else rest).strip(" ").partition(" ")[0]
    by_env = os.path.basename(named) == "env" and not word.startswith("-") and "=" not in word  # no other options, no variables
    # A name without a slash is one in the working directory, and not in PATH.
    return [name for name in (named if "/" in named else named and "./" + named, word if by_env else "") if name]


def _looked(name, cwd, env):
    """Return where a program was looked for, where that is not plain."""
    if os.path.isabs(name) or not ("/" in name or "PATH" in env):
        return ""
    return " (looked in %s)" % (cwd if "/" in name else "the ranks' own PATH, %s" % env["PATH"])


def find_cwd(cwd, default, problems):
    """Return the working directory of the ranks.

    Args:
        cwd: directory that was asked for, "" for none.
        default: directory where the launch was typed: it is taken if it exists here, otherwise the home directory.
    """
    if cwd:
        if not os.path.isdir(cwd):
            problems.append("working directory %s is not there" % cwd)
        elif not os.access(cwd, os.X_OK):
            problems.append("working directory %s cannot be entered" % cwd)
        return cwd
    if default and os.path.isdir(default) and os.access(default, os.X_OK):
        return default
    home = os.path.expanduser("~")
    if not (os.path.isdir(home) and os.access(home, os.X_OK)):
        problems.append("home directory %s is not there, or cannot be entered; name a working directory (--cwd, mlx_cwd)" % home)
    return home


def check_script(script, cwd, problems):
    """Check a Python file, or a directory with a __main__.py."""
    path = os.path.join(cwd, script)
    if os.path.isdir(path):
        if not os.path.isfile(os.path.join(path, "__main__.py")):
            problems.append("script %s is a directory without a __main__.py" % path)
    elif not os.path.isfile(path):
        closed = closed_folder(path)
        what = "is no file" if os.path.exists(path) else "is not there"
        problems.append("script %s cannot be read: %s" % (path, closed) if closed else "script %s %s" % (path, what))
    elif not os.access(path, os.R_OK):
        problems.append("script %s cannot be read" % path)


def check_addresses(addresses, problems):
    """Check that addresses are the host's own; return whether one is not."""
    foreign = [ip for ip in addresses if not owns(ip)]
    if foreign:
        problems.append("does not own %s; it has %s" % (", ".join(foreign), describe(own_addresses())))
    return bool(foreign)


def owns(ip):
    """Return whether an address is this host's own."""
    with sockets.Socket(sockets.AF_INET, sockets.SOCK_STREAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError as exc:
            return exc.errno != errno.EADDRNOTAVAIL
    return True


def check_devices(wanted, problems, dev="/dev"):
    """Check that there are as many CUDA devices as ranks: with fewer, NCCL fails late or waits for ever.

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
    """Return [(interface, IPv4 address)] of this host, or nothing where no tool lists them."""
    return _listed("-4", "inet")


def interface_of(ip):
    """Return the interface that has an IPv6 address, "" when it cannot be told."""
    address, _percent, zone = ip.partition("%")
    return zone or next((name for name, own in _listed("-6", "inet6") if own.partition("%")[0] == address), "")


def _listed(option, family):
    import subprocess  # only where an address is not plain: it is slow to import

    for command, parse in ((["ip", option, "-o", "addr"], parse_ip_addr), (["/sbin/ifconfig", "-a"], parse_ifconfig)):
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5, check=False)
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0:
            return parse(done.stdout.decode("utf-8", "replace"), family)
    return []


def parse_ip_addr(text, family="inet"):
    """Return [(interface, address)] from `ip -o addr` (iproute2)."""
    rows = [line.split() for line in text.splitlines()]
    return [(row[1], row[3].partition("/")[0]) for row in rows if len(row) > 3 and row[2] == family]


def parse_ifconfig(text, family="inet"):
    """Return [(interface, address)] from `ifconfig -a` (macOS)."""
    found, interface = [], ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            interface = line.partition(":")[0]
        fields = line.split()
        if len(fields) > 1 and fields[0] == family:
            found.append((interface, fields[1]))
    return found


def describe(addresses):
    """Return addresses as one phrase; loopback only when there is nothing else."""
    outside = [pair for pair in addresses if not pair[1].startswith("127.")] or addresses
    return ", ".join("%s %s" % pair for pair in outside) or "no IPv4 address that it could name"
