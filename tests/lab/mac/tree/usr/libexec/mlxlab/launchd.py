"""The services of a Mac of the lab: loads and starts LaunchDaemons, when it starts and when launchctl(1) says so.

Only the system's domain is there, and of a service's settings those in `KNOWN`. A service that ends is not started again.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import signal
import stat
import sys

sys.path.insert(0, "/usr/libexec/mlxlab")
import macstate

FOLDER = "/Library/LaunchDaemons"
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
#: Set for what runs at the start of a Mac.
BOOT = "MLXLAB_BOOT"
#: Seconds that the start of a Mac waits for a service; one that takes longer goes on beside.
PATIENCE = 30.0
KNOWN = (
    *("Label", "Program", "ProgramArguments", "RunAtLoad", "KeepAlive", "Disabled"),
    *("UserName", "WorkingDirectory", "EnvironmentVariables", "StandardOutPath", "StandardErrorPath"),
)


class Refused(Exception):
    """Status and text by which launchd refuses."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def services():
    """Return the loaded services by label."""
    return macstate.running("launchd", {})


def note(label, **facts):
    """Note facts of a service; none: it is not loaded any more."""
    known = services()
    if facts:
        known[label] = dict(known.get(label, {}), **facts)
    else:
        del known[label]
    macstate.run("launchd", known)


def load(path):
    """Load a service, and start it when it wants that."""
    plist = read(path)
    label = plist["Label"]
    if label in services():
        raise Refused(5, "Input/output error")
    if macstate.kept("disabled", {}).get(label, plist.get("Disabled", False)):
        raise Refused(119, "Service is disabled")
    note(label, path=path, plist={key: plist[key] for key in KNOWN if key in plist}, runs=0, exit=None, pid=None)
    if plist.get("RunAtLoad") or plist.get("KeepAlive"):
        start(label)


def read(path):
    """Return a property list that root alone may have written, else it could make root do anything."""
    import plistlib
    from xml.parsers.expat import ExpatError

    try:
        found = os.stat(path)
        if found.st_uid or found.st_gid or stat.S_IMODE(found.st_mode) & 0o022:
            raise Refused(122, "Path had bad ownership/permissions")
        with open(path, "rb") as source:
            plist = plistlib.load(source)
    except FileNotFoundError:
        raise Refused(2, "No such file or directory") from None
    except (ValueError, plistlib.InvalidFileException, ExpatError):
        raise Refused(109, "Invalid property list") from None
    if not isinstance(plist, dict) or not plist.get("Label") or not words_of(plist):
        raise Refused(109, "Invalid property list")
    return plist


def words_of(plist):
    """Return program and arguments."""
    return plist.get("ProgramArguments") or ([plist["Program"]] if plist.get("Program") else [])


def start(label):
    """Run a service; note how it ended, if it is one that ends, and does so soon."""
    service = services()[label]
    begun, begins = os.pipe()
    pid = os.fork()
    if pid == 0:
        become(service["plist"])
    os.close(begins)
    os.read(begun, 1)  # it is closed when the program has taken the place of this one, in a session of its own
    os.close(begun)
    note(label, runs=service["runs"] + 1, pid=pid)
    if service["plist"].get("KeepAlive"):
        return
    process = os.pidfd_open(pid)
    if select.select([process], [], [], PATIENCE)[0]:
        status = os.waitpid(pid, 0)[1]
        note(label, pid=None, exit=os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status))


def become(plist):
    """Turn this process into a service."""
    try:
        os.setsid()
        for number, key in ((1, "StandardOutPath"), (2, "StandardErrorPath")):
            os.dup2(os.open(plist.get(key, os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        environment = dict({"PATH": PATH}, **plist.get("EnvironmentVariables", {}))
        if BOOT in os.environ:
            environment[BOOT] = os.environ[BOOT]
        if "UserName" in plist:
            user = pwd.getpwnam(plist["UserName"])
            os.initgroups(user.pw_name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            environment.update(HOME=user.pw_dir, USER=user.pw_name)
        os.chdir(plist.get("WorkingDirectory", "/"))
        words = words_of(plist)
        os.execvpe(plist.get("Program", words[0]), words, environment)  # noqa: S606 - there is no shell
    except (OSError, LookupError):
        os._exit(78)  # EX_CONFIG, by which launchd tells that it could not start a program


def unload(label):
    """End a service and forget it."""
    pid = services()[label]["pid"]
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
    note(label)


def main():
    """Load all LaunchDaemons, as a Mac does when it starts; one that is refused is left out."""
    os.environ[BOOT] = "1"
    for name in sorted(os.listdir(FOLDER)):
        if name.endswith(".plist"):
            try:
                load(os.path.join(FOLDER, name))
            except Refused:
                continue


if __name__ == "__main__":
    main()
