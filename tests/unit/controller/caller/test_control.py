"""The worker's end of the socket to the launching program."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.control import FOLDER, Control
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import LaunchError, UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.version import VERSION

SETUP = {"job": "job-1", "version": VERSION, "package": "/site/mlxlaunch_ansible", "settings": {"script": "train.py"}}


class Program:
    """A launching program that waits for its worker."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "s")
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(self.path)
        self._server.listen()
        self.connection: Any = None

    def answer(self, data: bytes) -> None:
        """Accept the worker in a thread, and send it this."""

        def accept() -> None:
            self.connection = self._server.accept()[0]
            self.connection.recv(65536)
            self.connection.sendall(data)
            if not data:
                self.connection.close()

        self._thread = threading.Thread(target=accept)
        self._thread.start()

    def answered(self) -> None:
        """Wait until the worker has its answer."""
        self._thread.join()

    def close(self) -> None:
        self._thread.join()
        self.connection.close()
        self._server.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a launching program's private directory; the path of a socket has to be short."""
    path = Path(tempfile.mkdtemp(prefix=FOLDER, dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def program(folder: Path) -> Iterator[Program]:
    program = Program(folder)
    yield program
    program.close()


def test_processes_come_with_their_descriptors_in_whatever_pieces(program: Program, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c", "d", "e", "f", "g", "h")]
    fds = [os.open(path, os.O_RDWR | os.O_CREAT) for path in files]
    program.answer(wire.encode_json(wire.SPEC, SETUP | {"handed": 2}))

    def hand_over() -> None:
        program.answered()
        for pid, own in ((7, fds[:4]), (8, fds[4:])):
            data = wire.encode_json(wire.HANDED, {"argv": ["ssh"] * 20_000, "pid": pid, "sent": 0})
            sent = socket.send_fds(program.connection, [data], own)
            program.connection.sendall(data[sent:] + (wire.encode(wire.KILL) if pid == 8 else b""))

    thread = threading.Thread(target=hand_over)
    thread.start()
    control = Control(program.path)
    thread.join()
    assert [told["pid"] for told, _fds in control.handed] == [7, 8]
    given = [fd for _told, own in control.handed for fd in own]
    assert [os.fstat(fd).st_ino for fd in given] == [path.stat().st_ino for path in files]
    assert [frame.kind for frame in control.early() or control.receive() or []] == [wire.KILL]
    for fd in (*fds, *given):
        os.close(fd)
    control.close()


def test_setup_comes_first_and_early_frames_once(program: Program) -> None:
    program.answer(wire.encode_json(wire.SPEC, SETUP) + wire.encode(wire.KILL))
    control = Control(program.path)
    assert control.setup == SETUP
    assert [frame.kind for frame in control.early()] == [wire.KILL]
    assert control.early() == []
    control.close()


def test_frames_come_until_the_program_is_gone(program: Program, folder: Path) -> None:
    program.answer(wire.encode_json(wire.SPEC, SETUP))
    control = Control(program.path)
    program._thread.join()
    program.connection.sendall(wire.encode(wire.STDIN, b"x", 1))
    assert [(frame.kind, frame.payload) for frame in control.receive() or ()] == [(wire.STDIN, b"x")]
    program.connection.close()
    assert control.receive() is None
    control.close()
    assert not folder.exists(), "the program cannot remove its directory any more"


def test_directory_of_a_living_program_stays(program: Program, folder: Path) -> None:
    program.answer(wire.encode_json(wire.SPEC, SETUP))
    Control(program.path).close()
    assert folder.exists()


def test_refusal_reaches_the_program(program: Program) -> None:
    program.answer(wire.encode_json(wire.SPEC, SETUP))
    control = Control(program.path)
    control.refuse("job-1", 2, "no hosts")
    control.close()
    program._thread.join()
    [frame] = wire.Decoder().feed(program.connection.recv(65536))
    assert frame.kind == wire.EVENT
    event = frame.json()
    assert (event["event"], event["job"], event["returncode"], event["message"]) == ("job_refused", "job-1", 2, "no hosts")


@pytest.mark.parametrize(
    ("version", "named"), [("0.1", "mlxlaunch 0.1 in /site/mlxlaunch_ansible"), (None, "mlxlaunch of another version")]
)
def test_program_of_another_version_is_refused(program: Program, version: str | None, named: str) -> None:
    setup = {**SETUP, "version": version} if version else {"job": "job-1"}
    program.answer(wire.encode_json(wire.SPEC, setup))
    with pytest.raises(UsageError, match=named) as caught:
        Control(program.path)
    program._thread.join()
    event = wire.Decoder().feed(program.connection.recv(65536))[0].json()
    assert (event["event"], event["job"], event["returncode"], event["message"]) == ("job_refused", "job-1", 2, str(caught.value))
    assert f"mlxlaunch.cluster {VERSION} in /" in event["message"]


def test_program_that_hangs_up_is_an_error(program: Program) -> None:
    program.answer(b"")
    with pytest.raises(LaunchError, match="the process that launched the job does not answer: it is gone"):
        Control(program.path)


def test_program_that_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(LaunchError, match="the process that launched the job does not answer: .*No such file"):
        Control(str(folder / "s"))
