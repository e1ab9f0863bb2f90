"""The ranks that read standard input, and their part of the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import check_settings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.planning import plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.plan import JobPlan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.stdin_readers import readers, readers_frame, with_stdin
from tests.unit.launches import request


@pytest.mark.parametrize(
    ("given", "default", "world_size", "expected"),
    [
        ({}, "all", 3, (0, 1, 2)),
        ({}, "none", 3, ()),
        ({"stdin": "all"}, "none", 2, (0, 1)),
        ({"stdin": "none"}, "all", 2, ()),
        ({"stdin": 0}, "none", 2, (0,)),
        ({"stdin": "1"}, "all", 2, (1,)),
        ({"tty": True}, "none", 1, (0,)),
        ({"tty": True, "stdin": 1}, "all", 2, (1,)),
    ],
)
def test_ranks_that_read(given: dict[str, Any], default: str, world_size: int, expected: tuple[int, ...]) -> None:
    assert readers(check_settings({"script": "x", **given}), default, world_size) == expected


@pytest.mark.parametrize(
    ("given", "world_size", "told"),
    [
        ({"stdin": "some"}, 2, "--stdin some: want all, none, or the number of a rank"),
        ({"stdin": "-1"}, 2, "--stdin -1"),
        ({"stdin": "²"}, 2, "--stdin ²"),
        ({"stdin": 2}, 2, "--stdin 2: the ranks are 0 to 1"),
        ({"stdin": 1}, 1, "--stdin 1: the only rank is 0"),
        ({"tty": True, "stdin": "none"}, 1, "--tty and --stdin none"),
        ({"tty": True}, 4, "--tty: only one of 4 ranks can have the terminal; say which with --stdin RANK"),
        ({"tty": True, "stdin": "all"}, 2, "--tty: only one of 2"),
    ],
)
def test_ranks_that_cannot_read(given: dict[str, Any], world_size: int, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        readers(check_settings({"script": "x", **given}), "all", world_size)
    assert told in str(caught.value)


# -- the plan


def planned(**env: str) -> JobPlan:
    """Return the plan of ranks on two hosts that have variables."""
    asked = request()
    return plan(replace(asked, hosts=[replace(host, env=env) for host in asked.hosts]))


def test_only_readers_get_a_pipe() -> None:
    specs = with_stdin(planned(), {1}, tty=False, screen=None, term="").specs
    assert [rank.stdin for host in ("a", "b") for rank in specs[host].ranks] == ["", "pipe"]


def test_plan_without_readers_is_the_same() -> None:
    first = planned()
    assert with_stdin(first, (), tty=True, screen=(80, 24), term="xterm") is first


def test_terminal_has_its_kind_and_reports_its_size_itself() -> None:
    first = planned(COLUMNS="80", LINES="50")
    [rank] = with_stdin(first, {0}, tty=True, screen=(80, 24), term="xterm").specs["a"].ranks
    assert (rank.stdin, tuple(rank.screen or ())) == ("terminal", (80, 24))
    assert rank.env["TERM"] == "xterm"
    assert "COLUMNS" not in rank.env
    assert rank.env["LINES"] == "50", "another size is the user's own"


def test_kind_of_the_terminal_that_the_user_sets_counts() -> None:
    [rank] = with_stdin(planned(TERM="dumb"), {0}, tty=True, screen=None, term="xterm").specs["a"].ranks
    assert rank.env["TERM"] == "dumb"


def test_launching_program_learns_the_readers() -> None:
    [frame] = wire.Decoder().feed(readers_frame((0, 2), tty=False))
    assert (frame.kind, frame.json()) == (wire.READERS, {"ranks": [0, 2], "tty": False})
