"""What a Mac of the lab remembers: settings on its disk, and what a restart forgets.

Its programs answer from here and change it. Many of them run at the same time, so nothing is imported that is slow to
import.
"""

from __future__ import annotations

import json
import os
import sys

HERE = "/usr/libexec/mlxlab"
KEPT = "/var/db/mlxlab"
RUNNING = "/run/mlxlab"


def read(path):
    """Return the data in a file, None when there is none."""
    try:
        with open(path, encoding="utf-8") as source:
            return json.load(source)
    except FileNotFoundError:
        return None


def write(path, data):
    """Write data into a file, whole or not at all."""
    fresh = f"{path}.{os.getpid()}.new"
    with open(fresh, "w", encoding="utf-8") as target:
        json.dump(data, target)
    os.replace(fresh, path)


def fail(text, status=1):
    """End the program with a message."""
    print(text, file=sys.stderr)
    raise SystemExit(status)


def kept(name, default):
    """Return settings on the disk, or those of a new Mac."""
    return _recall(KEPT, name, default)


def keep(name, data):
    """Write settings to the disk."""
    _note(KEPT, name, data)


def running(name, default):
    """Return what is so until the restart."""
    return _recall(RUNNING, name, default)


def run(name, data):
    """Note what is so until the restart."""
    _note(RUNNING, name, data)


def _recall(folder, name, default):
    found = read(f"{folder}/{name}.json")
    return default if found is None else found


def _note(folder, name, data):
    os.makedirs(folder, exist_ok=True)
    write(f"{folder}/{name}.json", data)


# -- the kernel's variables: sysctl(8) keeps a file for each that was set


def variable(name):
    """Return a variable of the kernel as a number."""
    try:
        with open(f"{RUNNING}/sysctl/{name}", encoding="utf-8") as source:
            return int(source.read())
    except FileNotFoundError:
        pass
    with open(HERE + "/recordings/sysctl.txt", encoding="utf-8") as source:
        return next(int(line.split(": ")[1]) for line in source if line.startswith(name + ": "))


def set_variable(name, value):
    """Set a variable of the kernel until the restart."""
    os.makedirs(RUNNING + "/sysctl", exist_ok=True)
    with open(f"{RUNNING}/sysctl/{name}", "w", encoding="utf-8") as target:
        target.write(f"{value}\n")


# -- what no program of a Mac changes as a test wants it


SWITCHES = {
    "filevault": "fdesetup(8) says that FileVault is on",
    "sip_limits": "launchctl(1) may set no limits, but a LaunchDaemon may when the Mac starts, as some versions of macOS have it",
}


def switch(name):
    """Return whether a switch of the lab is on."""
    return bool(kept("switches", {}).get(name))


def main(words):
    """Turn a switch on or off: NAME on|off."""
    if len(words) != 2 or words[0] not in SWITCHES or words[1] not in ("on", "off"):
        known = "".join(f"\n  {name}: {text}" for name, text in SWITCHES.items())
        fail(f"usage: macstate.py NAME on|off, with NAME one of{known}", 64)
    keep("switches", dict(kept("switches", {}), **{words[0]: words[1] == "on"}))


if __name__ == "__main__":
    main(sys.argv[1:])
