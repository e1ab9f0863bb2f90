"""Sockets without the module `socket` do what it does."""

from __future__ import annotations

import os
import socket

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import sockets


def test_descriptors_travel_with_bytes_as_by_the_module_socket() -> None:
    for send, receive in ((sockets.send_fds, socket.recv_fds), (send_fds, sockets.recv_fds), (sockets.send_fds, sockets.recv_fds)):
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        with ours, theirs:
            send(ours, b"data", (write,))
            data, fds = receive(theirs, 100, 4)[:2]
        os.write(fds[0], b"x")
        assert (data, len(fds), os.read(read, 1)) == (b"data", 1, b"x")
        for fd in (read, write, *fds):
            os.close(fd)


def send_fds(link: socket.socket, data: bytes, fds: tuple[int, ...]) -> None:
    """Send as the module socket does."""
    socket.send_fds(link, [data], fds)


def test_bytes_come_without_descriptors_too() -> None:
    ours, theirs = sockets.socketpair()
    sockets.send_fds(ours, b"data", ())
    assert sockets.recv_fds(theirs, 100, 4) == (b"data", [])
    ours.close()
    assert sockets.recv_fds(theirs, 100, 4) == (b"", [])
    theirs.close()


def test_socket_is_closed_after_its_block_and_not_inherited() -> None:
    with sockets.Socket(sockets.AF_INET, sockets.SOCK_STREAM) as one:
        fd = one.fileno()
        assert not os.get_inheritable(fd)
    assert one.fileno() == -1
