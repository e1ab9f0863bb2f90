"""The launching process's own standard input: whether there is something to read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlxlaunch_ansible.commands.terminal.keyboard import has_something

ASK = [sys.executable, "-c", "from mlxlaunch_ansible.commands.terminal.keyboard import has_something as h; print(h())"]


@contextmanager
def closing(*fds: int) -> Iterator[None]:
    yield
    for fd in fds:
        os.close(fd)


def test_terminal_is_something() -> None:
    ours, theirs = os.openpty()
    with closing(ours, theirs):
        assert has_something(theirs)


@pytest.mark.parametrize(("text", "at", "expected"), [("x", 0, True), ("", 0, False), ("xyz", 3, False)])
def test_file_is_something_until_its_end(text: str, at: int, expected: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    fd = os.open(path, os.O_RDONLY)
    with closing(fd):
        os.lseek(fd, at, os.SEEK_SET)
        assert has_something(fd) is expected


def test_pipe_is_something_until_it_is_empty_and_closed() -> None:
    read, write = os.pipe()
    with closing(read):
        assert has_something(read)  # there may come something
        os.write(write, b"x")
        assert has_something(read)
        os.close(write)
        assert has_something(read)
        os.read(read, 1)
        assert not has_something(read)


def test_socket_is_something_until_it_is_empty_and_closed() -> None:
    one, other = socket.socketpair()
    with one:
        assert has_something(one.fileno())
        other.send(b"x")
        other.close()
        assert has_something(one.fileno())
        one.recv(1)
        assert not has_something(one.fileno())


def test_null_device_and_what_is_closed_are_nothing() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    with closing(fd):
        assert not has_something(fd)
    assert not has_something(fd)


def test_standard_input_that_was_closed_is_nothing() -> None:
    """Another file may have its number by then."""
    command = ["/bin/sh", "-c", '"$@" <&-', "sh", *ASK]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
