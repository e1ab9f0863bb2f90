"""Connections over pipes, and the reason for their end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.connection import Connection, explain, turned_away
from tests.unit.controller.fleets import FakeProcess


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ("Warning: added x\nme@mac-1: Permission denied (publickey).\n", ["me@mac-1: Permission denied (publickey): ", "ansible_user"]),
        (
            "No ED25519 host key is known for mac-1.\nHost key verification failed.\n",
            ["Host key verification failed: ", "mlxlaunch prepare --apply"],
        ),
        ("ssh: Could not resolve hostname mac-9: Name or service not known", ["hostname mac-9", "set ansible_host"]),
        ("ssh: connect to host mac-1 port 22: Connection refused", ["port 22: Connection refused: ", "Remote Login"]),
        ("ssh: connect to host mac-1 port 22: No route to host", ["No route to host: ", "Local Network"]),
        ("sudo: a password is required", ["a password is required: ", "-K", "NOPASSWD"]),
        ("[sudo via ansible, key=abc] password:sudo: 3 incorrect password attempts", ["sudo: 3 incorrect", "is wrong there"]),
    ],
)
def test_known_failure_has_a_hint(said: str, parts: list[str]) -> None:
    text = explain(said, 255)
    assert [part for part in parts if part not in text] == []
    assert len(text.splitlines()) == 1


def test_changed_host_key_is_not_taken_for_an_unknown_one() -> None:
    said = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nIT IS POSSIBLE ...\nHost key verification failed."
    assert "check why before you accept it" in explain(said, 255)


@pytest.mark.parametrize(
    ("said", "returncode", "expected"),
    [
        ("Welcome to mac-1\n\nbash: python3: not found\n\n", 127, "bash: python3: not found"),
        ("", 255, "the connection ended (status 255)"),
        (" \n", -9, "the connection ended (status -9)"),
        ("", None, "the connection ended"),
    ],
)
def test_other_failure_is_told_by_its_last_line(said: str, returncode: int | None, expected: str) -> None:
    assert explain(said, returncode) == expected


@pytest.mark.parametrize(
    ("errors", "greeting", "returncode", "expected"),
    [
        (
            "***\nWelcome. All is recorded.\n***\n",
            "This account is currently not available.\n",
            1,
            "This account is currently not available.",
        ),
        ("Banner\n", "hi\nonly git here\n", 128, "only git here"),
        ("hi from .bashrc\nmlxlaunch: started\nzsh: killed\n", "hi\n", 137, "zsh: killed"),
        ("hi from .bashrc\nmlxlaunch: started\n", "", 1, "hi from .bashrc"),
        ("Banner\nroot@a: Permission denied (publickey).\ndebug1: Exit\n", "hi", 255, "root@a: Permission denied (publickey): ssh"),
        ("debug1: x\nssh: no route\nTransferred: sent 1\nBytes per second: 2\n", "", 255, "ssh: no route"),
        ("", "hi\nno entry\n", 1, "no entry"),
    ],
)
def test_banner_or_greeting_is_not_the_reason(errors: str, greeting: str, returncode: int, expected: str) -> None:
    assert explain(errors, returncode, greeting).startswith(expected)


def test_connection_that_was_turned_away_is_known() -> None:
    said = "kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535\n"
    assert turned_away(explain(said, 255))
    assert "MaxStartups" in explain(said, 255)
    assert not turned_away(explain("root@a: Permission denied (publickey).", 255))


@pytest.fixture
def process() -> Iterator[FakeProcess]:
    process = FakeProcess()
    yield process
    process.close()


def test_program_is_sent_before_anything_else(process: FakeProcess) -> None:
    connection = Connection("a", process, b"program ")
    connection.send(b"frame")
    assert process.read() == b"program frame"
    assert not connection.backlog


def test_full_pipe_keeps_the_rest_for_later(process: FakeProcess) -> None:
    data = bytes(range(256)) * 4096
    connection = Connection("a", process, data)
    got = b""
    connection.flush()
    assert connection.backlog
    while connection.backlog:
        got += process.read()
        connection.flush()
    assert got + process.read() == data


def test_reader_that_is_gone_shows_only_when_reading(process: FakeProcess) -> None:
    connection = Connection("a", process, b"program")
    process.close()
    connection.flush()
    assert not connection.backlog


def test_frames_come_as_they_are_complete(process: FakeProcess) -> None:
    connection = Connection("a", process, b"")
    assert connection.receive() == []
    frame = wire.encode_json(wire.REPLY, {"result": 1})
    process.write(b"Welcome\n" + wire.MARKER + frame[:5])
    assert connection.receive() == []
    process.write(frame[5:])
    assert [got.json() for got in connection.receive() or ()] == [{"result": 1}]
    process.end(0)
    assert connection.receive() is None


def test_reason_is_the_last_error_the_process_wrote(process: FakeProcess) -> None:
    connection = Connection("a", process, b"")
    process.write(b"Welcome\n", b"first\n" * 10_000 + b"no such machine\n")
    process.end(255)
    assert connection.reason() == "no such machine"
    assert not connection.read_errors()


def test_reason_is_the_greeting_when_there_is_no_error(process: FakeProcess) -> None:
    connection = Connection("a", process, b"")
    process.write(b"This account is closed.\n")
    process.end(1)
    connection.receive()
    assert connection.reason() == "This account is closed."


def test_reason_of_a_process_that_goes_on_does_not_wait(process: FakeProcess) -> None:
    assert Connection("a", process, b"").reason() == "the connection ended"


def test_closed_connection_writes_no_more(process: FakeProcess) -> None:
    connection = Connection("a", process, b"program")
    connection.close()
    connection.send(b"frame")
    assert not connection.backlog
    assert process.read() == b""
