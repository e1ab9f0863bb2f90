"""The few Linux calls the lab needs which the standard library of Python 3.11 does not have."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MNT_DETACH = 0x2

# Names are looked up at the first call only, so importing this on a Mac is harmless.
_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move this thread (for CLONE_NEWPID: its future children) into new namespaces."""
    _check(_libc.unshare(flags), f"unshare({flags:#x})")


def setns(descriptor: int, kind: int) -> None:
    """Move this thread (for CLONE_NEWPID: its future children) into the namespace open at `descriptor`."""
    _check(_libc.setns(descriptor, kind), f"setns({kind:#x})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount `source` of file system `kind` at `target`."""
    arguments = [text.encode() for text in (source, target, kind)]
    what = f"mount {kind or source} at {target}"
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode()), what)


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Make `source` appear at `target` as well."""
    mount(source, target, flags=MS_BIND)
    if read_only:  # a bind mount takes its flags in a second step
        mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def unmount(target: str) -> None:
    """Take the mount at `target` out of the tree now, and away when its last user is gone."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def pivot_root_here() -> None:
    """Make the current directory, a mount point, the root of this mount namespace and drop the old root."""
    # "." twice: the old root is stacked on the new one and detached, see pivot_root(2), NOTES.
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    unmount(".")
    os.chdir("/")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
