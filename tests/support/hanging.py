"""A directory whose file system hangs: FUSE, with a server that answers nothing but the greeting.

As a program, it makes the directory given to it hang until its standard input ends. It prints a line when it does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Iterator

_NOSUID, _NODEV = 2, 4
_FORCE, _DETACH = 1, 2
_INIT = 26
_IN = struct.Struct("=IIQQIIII")  # fuse_in_header: length, operation, number, node, user, group, process, padding
_OUT = struct.Struct("=IiQ")  # fuse_out_header: length, error, number
_INIT_OUT = struct.Struct("=IIIIHHIIHH32x")  # protocol 7.31, and limits


@contextlib.contextmanager
def hanging(folder: str) -> Iterator[None]:
    """Let all that is done in a directory hang until the end of the block. A process that hangs can be killed."""
    server = subprocess.Popen([sys.executable, __file__, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert server.stdout, "a pipe"
        assert server.stdout.readline() == b"hangs\n", f"cannot make {folder} hang: it takes root and /dev/fuse"
        yield
    finally:
        server.communicate(timeout=60)


def _hang(folder: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"hanging", os.fsencode(folder), b"fuse", _NOSUID | _NODEV, options.encode()):
        raise OSError(ctypes.get_errno(), "cannot mount", folder)
    try:
        _greet(fd)
        print("hangs", flush=True)
        sys.stdin.read()
    finally:
        libc.umount2(os.fsencode(folder), _FORCE | _DETACH)
        os.close(fd)  # whoever still hangs gets an error


def _greet(fd: int) -> None:
    _length, operation, number, *_rest = _IN.unpack_from(os.read(fd, 1024 * 1024))
    assert operation == _INIT
    body = _INIT_OUT.pack(7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0)
    os.write(fd, _OUT.pack(_OUT.size + len(body), 0, number) + body)


if __name__ == "__main__":
    _hang(sys.argv[1])
