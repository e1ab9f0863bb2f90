"""Programs that are run for hosts end in a bounded time."""

from __future__ import annotations

import sys

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.target import Programs
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled, Subprocesses


def test_program_gets_its_input_and_its_end_is_awaited() -> None:
    status, output = Programs(Subprocesses(), 30.0).run(["/bin/sh", "-c", "cat; echo err >&2; exit 3"], b"data\n")
    assert (status, sorted(output.split())) == (3, ["data", "err"])


def test_program_that_does_not_end_is_killed() -> None:
    status, output = Programs(Subprocesses(), 0.1).run([sys.executable, "-c", "import time; time.sleep(900)"])
    assert status != 0
    assert output.endswith("no answer within 0.1 s")


def test_program_without_a_reader_ends_all_the_same() -> None:
    assert Programs(Subprocesses(), 30.0).run(["true"], b"x" * 10_000_000)[0] == 0


def test_nothing_starts_after_the_end() -> None:
    subprocesses = Subprocesses()
    subprocesses.close()
    with pytest.raises(Cancelled):
        Programs(subprocesses, 30.0).run(["true"])


def test_connection_that_was_turned_away_is_tried_again(tmp_path: object) -> None:
    turned_away = "echo 'kex_exchange_identification: Connection reset' >&2; exit 255"
    script = f"if [ -e {tmp_path}/x ]; then echo in; else touch {tmp_path}/x; {turned_away}; fi"
    assert Programs(Subprocesses(), 30.0).run_ssh(["/bin/sh", "-c", script]) == (0, "in\n")
