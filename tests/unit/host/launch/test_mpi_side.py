# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket by which shims reach the supervisor, and the services of MPI."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.mpi_shim import SOCKET, reach
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.mpi_side import MpiSide, ShimServer
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

PATIENCE = 60.0


def turn(selector: selectors.BaseSelector, until: Callable[[], Any]) -> None:
    """Do as the supervisor's loop does until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline
        for key, _mask in selector.select(0.01):
            key.data()


class Shims:
    """A server of shims, and the requests that have come."""

    def __init__(self, folder: Path, has_rank: bool = True) -> None:
        self.folder = folder
        self.selector = selectors.DefaultSelector()
        self.hosts: list[tuple[int, str, list[str]]] = []
        self.ranks: list[tuple[int, dict[str, str], list[int]]] = []
        self.has_rank = has_rank
        self.server = ShimServer(str(folder), self.selector, lambda *request: self.hosts.append(request), self._on_rank)
        self.server.listen()

    def _on_rank(self, *request: Any) -> bool:
        self.ranks.append(request)
        return self.has_rank

    def shim(self, message: object) -> socket.socket:
        """Send a message as a shim does; return its end of the connection."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(PATIENCE)
        link.connect(str(self.folder / SOCKET))
        link.sendall(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
        return link

    def close(self) -> None:
        self.server.close()
        self.selector.close()


@pytest.fixture
def shims(tmp_path: Path) -> Iterator[Shims]:
    """Give a server in a short path; it is closed at the end."""
    made = Shims(tmp_path)
    yield made
    made.close()


RANK = {"rank": 3, "env": {"A": "b"}, "affinity": [0, 1]}


def test_shim_of_a_rank_returns_the_ranks_code(shims: Shims) -> None:
    with shims.shim(RANK) as link:
        turn(shims.selector, lambda: shims.ranks)
        assert shims.ranks == [(3, {"A": "b"}, [0, 1])]
        shims.server.rank_ended(3, 7)
        assert link.recv(10) == b"7\n"


def test_second_shim_of_a_rank_fails_at_once(shims: Shims) -> None:
    with shims.shim(RANK), shims.shim(RANK) as other:
        turn(shims.selector, lambda: shims.ranks)
        other.settimeout(0)

        def answered() -> bool:
            try:
                return other.recv(10, socket.MSG_PEEK) == b"1\n"
            except BlockingIOError:
                return False

        turn(shims.selector, answered)
        shims.server.rank_ended(3, 0)
    assert len(shims.ranks) == 1


def test_shim_of_a_rank_that_is_elsewhere_fails(shims: Shims) -> None:
    shims.has_rank = False
    with shims.shim(RANK) as link:
        turn(shims.selector, lambda: shims.ranks)
        assert link.recv(10) == b"1\n"


def test_command_for_another_host_waits_for_its_answer(shims: Shims) -> None:
    with shims.shim({"host": "b", "words": ["prted"]}) as link:
        turn(shims.selector, lambda: shims.hosts)
        [(number, host, words)] = shims.hosts
        assert (host, words) == ("b", ["prted"])
        shims.server.answer(number, 0)
        assert link.recv(10) == b"0\n"


def test_message_that_is_none_is_dropped(shims: Shims) -> None:
    with shims.shim(b"nonsense\n") as link:
        turn(shims.selector, lambda: len(shims.selector.get_map()) == 2)
        turn(shims.selector, lambda: len(shims.selector.get_map()) == 1)
        assert link.recv(10) == b""


def test_shim_reaches_a_folder_whose_path_is_too_long_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    made = Shims(folder)
    with socket.socket(socket.AF_UNIX) as link:
        assert reach(link, str(folder))
    made.close()


def test_service_that_cannot_be_started_has_exited(tmp_path: Path) -> None:
    sent: list[tuple[int, dict[str, Any]]] = []
    with selectors.DefaultSelector() as selector:
        side = MpiSide(str(tmp_path), "job.0", selector, lambda *message: sent.append(message), lambda *_rank: True, "pass")
        side.open()
        side.start("mpirun", ["/nowhere/mpirun"])
        side.close()
    assert sent == [
        (
            wire.EXITED_SERVICE,
            {"name": "mpirun", "code": 127, "signal": 0, "error": "cannot start /nowhere/mpirun: No such file or directory"},
        )
    ]
