# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few sockets that a start needs, from the part of `socket` that is written in C.

The enums of the rest are slow to import.
"""

from __future__ import annotations

import struct

try:
    import _socket
except ImportError:  # a Python other than CPython
    import socket as _socket

AF_INET = _socket.AF_INET
SOCK_DGRAM, SOCK_STREAM = _socket.SOCK_DGRAM, _socket.SOCK_STREAM
MSG_DONTWAIT = _socket.MSG_DONTWAIT
SOL_SOCKET, SO_REUSEADDR = _socket.SOL_SOCKET, _socket.SO_REUSEADDR
gethostname = _socket.gethostname
inet_pton = _socket.inet_pton
socketpair = _socket.socketpair


class Socket(_socket.socket):
    """A socket; as a context manager it is closed at the end."""

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()


def send_fds(link, data, fds):
    """Send bytes with descriptors over a Unix socket, as `socket.send_fds` does."""
    return link.sendmsg([data], [(SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("%di" % len(fds), *fds))])


def recv_fds(link, size, most):
    """Return the bytes that come over a Unix socket, and the descriptors that come with them.

    Args:
        link: the socket.
        size: of bytes, at most.
        most: number of descriptors, at most.
    """
    width = struct.calcsize("i")
    data, messages, _flags, _address = link.recvmsg(size, _socket.CMSG_LEN(most * width))
    fds = []
    for level, kind, content in messages:
        if (level, kind) == (SOL_SOCKET, _socket.SCM_RIGHTS):
            count = len(content) // width
            fds += struct.unpack("%di" % count, content[: count * width])
    return data, fds
