"""The end of a rank, as a number and as text."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_end import RankEnd, describe_end, signal_name


def end(**how: Any) -> RankEnd:
    return RankEnd.from_wire(3, "mac-1", {"code": 0, "signal": 0, "at": 12.345, "stopped": False, **how})


@pytest.mark.parametrize(
    ("how", "failed", "returncode", "name", "text"),
    [
        ({}, False, 0, None, "rank 3 on mac-1 exited with code 0 after 12.3 s"),
        ({"code": 7}, True, 7, None, "rank 3 on mac-1 exited with code 7 after 12.3 s"),
        ({"signal": signal.SIGKILL}, True, 137, "SIGKILL", "rank 3 on mac-1 was killed by SIGKILL after 12.3 s"),
        ({"signal": signal.SIGSEGV}, True, 139, "SIGSEGV", "rank 3 on mac-1 was killed by SIGSEGV after 12.3 s"),
        ({"signal": 99}, True, 227, "signal 99", "rank 3 on mac-1 was killed by signal 99 after 12.3 s"),
        ({"code": 127, "error": "cannot start x: not there"}, True, 127, None, "rank 3 on mac-1: cannot start x: not there"),
    ],
)
def test_end_of_a_rank(how: dict[str, Any], failed: bool, returncode: int, name: str | None, text: str) -> None:
    found = end(**how)
    assert (found.failed, found.returncode, found.signal_name, describe_end(found)) == (failed, returncode, name, text)


def test_account_of_a_supervisor_is_taken_over() -> None:
    assert end(code=1, stopped=True, error="x") == RankEnd(3, "mac-1", 1, 0, 12.345, True, "x")


@pytest.mark.parametrize(("number", "name"), [(15, "SIGTERM"), (9, "SIGKILL"), (6, "SIGABRT"), (0, "signal 0"), (200, "signal 200")])
def test_signal_has_its_name(number: int, name: str) -> None:
    assert signal_name(number) == name
