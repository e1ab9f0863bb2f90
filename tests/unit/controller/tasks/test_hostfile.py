"""The work of the hostfile action: its own options, and the file here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.hostfile import HostfileTask
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext
from tests.unit.controller.fleets import Events

HOSTVARS: dict[str, dict[str, Any]] = {"a": {"mlx_ips": ["10.0.0.1"]}, "b": {"mlx_ips": ["10.0.0.2"]}}
VARIABLES = {"groups": {"mlx": ["a", "b"]}, "hostvars": HOSTVARS}


class NoHosts:
    """A group of which no host takes part in the play."""

    def __init__(self, *sources: str) -> None:
        self.sources = list(sources)

    def members(self, _group: str) -> list[Any]:
        return []

    user = ""

    def variables(self, name: str) -> dict[str, Any]:
        return HOSTVARS[name]

    def warnings(self, _group: str, _given: Any) -> list[str]:
        return []

    def access_of(self, _hosts: list[Any], _settings: Any) -> dict[str, Any]:
        return {}


class Recorded(HostfileTask):
    """Keeps its events."""

    events: Events

    @contextlib.contextmanager
    def _reporting(self, settings: Any) -> Iterator[Any]:  # noqa: ARG002
        yield self.events


def context(options: dict[str, Any], **modes: bool) -> TaskContext:
    return TaskContext(options, None, None, None, VARIABLES, print, **modes)


def task(options: dict[str, Any], *sources: str, **modes: bool) -> Recorded:
    given = context(options, **modes)
    found = Recorded(given, Request.of(given, {}, HostfileTask.own_options), cast("Hosts", NoHosts(*sources)))
    found.events = Events()
    return found


def test_file_is_about_all_hosts_of_the_group() -> None:
    assert [entry["ssh"] for entry in json.loads(task({}).run()["text"])] == ["a", "b"]


def test_file_here_is_changed_once(tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    first, second = (task({"path": str(path)}).run() for _turn in range(2))
    assert (first["path_changed"], second["path_changed"]) == (True, False)
    assert path.read_text() == first["text"]


def test_check_mode_writes_no_file_and_shows_the_difference(tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    result = task({"path": str(path)}, check_mode=True, diff=True).run()
    assert result["path_changed"]
    assert not path.exists()
    assert [entry["before_header"] for entry in result["diff"]] == [str(path)]


def test_result_is_reported_without_the_text() -> None:
    one = task({})
    one.run()
    [(_host, finished)] = one.events.of("deploy_finished")
    assert "text" not in finished
    assert finished["message"] == "hostfile: nothing to do on the hosts"


def test_inventory_is_not_written_over(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    with pytest.raises(UsageError, match="is the inventory"):
        task({"path": str(inventory)}, str(inventory)).run()


@pytest.mark.parametrize("option", ["colour", "control", "hostfile", "script"])
def test_option_of_another_action_is_refused(option: str) -> None:
    with pytest.raises(UsageError, match=f"hostfile: unknown option: {option}"):
        HostfileTask.of(context({option: "x", "path": "y"}))
