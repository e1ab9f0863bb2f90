"""The sink of a piece of work, by who wants it."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller import terminal
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.control import Control
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import check_settings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.view import view
from tests.unit.readers import output


def show_line(control: Any = None, shown: Any = None, **settings: Any) -> None:
    """Show a line of rank 0 on node1."""
    checked = check_settings({"backend": "ring", "command": ["true"], **settings})
    sink = view(cast("Control | None", control), lambda text, newline: shown.append(text), checked, lambda: None, {0: "node1"})
    sink.output(output(0), b"hello\n")
    sink.close()


def test_launching_program_gets_frames() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        show_line(SimpleNamespace(socket=ours))
        [frame] = [frame for frame in wire.Decoder().feed(theirs.recv(65536)) if frame.kind == wire.STDOUT]
    assert (frame.rank, frame.payload) == (0, b"hello\n")


@pytest.mark.parametrize(("prefix", "line"), [(True, b"[0 node1] hello\n"), (False, b"hello\n")])
def test_terminal_of_the_playbook_gets_lines(monkeypatch: pytest.MonkeyPatch, prefix: bool, line: bytes) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(terminal, "_kept", [(write, write)])
    show_line(prefix=prefix)
    os.close(write)
    with os.fdopen(read, "rb") as reader:
        assert reader.read() == line


def test_display_of_ansible_gets_text_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_kept", [])
    shown: list[str] = []
    show_line(shown=shown)
    assert "".join(shown) == "hello\n"
