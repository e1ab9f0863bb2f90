"""The request for a launch."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.request import check_same_ranks
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.record import rank_rows
from tests.unit.jobs import ranks_on
from tests.unit.launches import request


@pytest.mark.parametrize(
    ("default", "settings", "readers"),
    [
        (None, {}, ()),
        (None, {"stdin": "all"}, ()),
        ("none", {}, ()),
        ("all", {}, (0, 1)),
        ("all", {"stdin": "1"}, (1,)),
        ("none", {"stdin": "all"}, (0, 1)),
    ],
)
def test_readers_of_stdin(default: str | None, settings: dict[str, Any], readers: tuple[int, ...]) -> None:
    assert request(default_stdin=default, **settings).readers(2) == readers


def test_launch_on_this_machine_alone_deploys_no_project(tmp_path: Any) -> None:
    (tmp_path / "train.py").write_text("")
    settings = {"command": (), "script": str(tmp_path / "train.py")}
    assert request("a", **settings).project
    assert not request("a", local=True, **settings).project
    assert not request("a", sync=False, **settings).project


def test_environment_is_wanted_only_with_sync() -> None:
    assert request(environment="copy").wants_environment
    assert not request(environment="copy", sync=False).wants_environment
    assert not request().wants_environment


def test_repeated_run_refuses_ranks_elsewhere() -> None:
    before = rank_rows(ranks_on("a", "b"))
    check_same_ranks(before, ranks_on("a", "b"))
    check_same_ranks(None, ranks_on("a"))
    with pytest.raises(UsageError, match=r"the hosts are not what they were in that run: rank 1 is now on c.*, it was on b"):
        check_same_ranks(before, ranks_on("a", "c"))
