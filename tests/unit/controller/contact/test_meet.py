"""All hosts are met at the same time, and a jump host once for all behind it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.meet import Contact
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.outcome import READY, UNKNOWN_KEY, UNREACHABLE
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.visit import Wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled
from tests.unit.controller.meetings import FakeSsh, target

NAMES = [f"mac-{at}" for at in range(10)]


def ignore(*_event: Any, **_details: Any) -> None:
    """Take an event."""


def test_ten_hosts_are_met_at_once(tmp_path: Path) -> None:
    class Together(FakeSsh):
        """Answers when all ask at the same time, and else never."""

        barrier = threading.Barrier(len(NAMES))

        def run_ssh(self, argv: Sequence[str], data: bytes = b"", seconds: float = 0.0) -> tuple[int, str]:
            self.barrier.wait(60)
            return super().run_ssh(argv, data, seconds)

    ssh = Together(tmp_path)
    ssh.known = True
    found = Contact([target(name=name) for name in NAMES], ssh, Wishes()).run(ignore)
    assert [(met.host, met.state) for met in found] == [(name, READY) for name in NAMES]


def test_jump_host_is_met_once_and_comes_first(tmp_path: Path) -> None:
    class Behind(FakeSsh):
        """A jump host whose key is not known, and hosts behind it that none reaches."""

        def run_ssh(self, argv: Sequence[str], data: bytes = b"", seconds: float = 0.0) -> tuple[int, str]:
            if argv[-2] == "me@gate":
                self.config = self.config.replace("proxyjump me@gate", "proxyjump none")
                return super().run_ssh(argv, data, seconds)
            return 255, "Host key verification failed.\nkex_exchange_identification: Connection closed by remote host\n"

        def run(self, argv: Sequence[str], data: bytes = b"", seconds: float = 0.0) -> tuple[int, str]:
            status, output = super().run(argv, data, seconds)
            return status, output.replace("proxyjump me@gate", "") if argv[-1] == "me@gate" else output

    found = Contact([target(name=name) for name in NAMES], Behind(tmp_path, "proxyjump me@gate\n"), Wishes(True)).run(ignore)
    assert [(met.host, met.state) for met in found] == [("me@gate", UNKNOWN_KEY), *((name, UNREACHABLE) for name in NAMES)]


def test_key_of_a_host_with_two_names_is_added_once(tmp_path: Path) -> None:
    ssh = FakeSsh(tmp_path, "stricthostkeychecking accept-new")
    found = Contact([target(name="a"), target(name="b")], ssh, Wishes(True)).run(ignore)
    assert [met.state for met in found] == [READY, READY]
    assert len(ssh.known_hosts.read_text().splitlines()) == 1


def test_end_of_all_work_is_the_end(tmp_path: Path) -> None:
    class Closed(FakeSsh):
        """Programs that have been ended."""

        def run_ssh(self, *_arguments: Any) -> tuple[int, str]:
            raise Cancelled

    with pytest.raises(Cancelled):
        Contact([target()], Closed(tmp_path), Wishes()).run(ignore)
    assert Contact([], Closed(tmp_path), Wishes()).run(ignore) == []
