"""A hostfile on all hosts: each that can take it has it, whatever happens to the others."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.hostfile_writer import HostfileWriter, Placed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from tests.unit.controller.fleets import Answer, Events, FakeFleet, lost

FACTS = {"system": "Linux", "root_user": True, "home": "/root"}
OLD = {"same": False, "before": "old", "mode": 0o644}
SAME = {"same": True, "before": "text", "mode": 0o644}
TAKES: Mapping[str, Answer] = {"hello": FACTS, "place_hostfile": OLD}


def write(check: bool = False, root: str = "", **hosts: Mapping[str, Answer]) -> tuple[Placed, Events, FakeFleet]:
    fleet, events = FakeFleet(hosts), Events()
    writer = HostfileWriter(JobSettings(root=root), {}, "text", check=check, fleet=fleet)
    writer.write_on_hosts(events)
    return writer.placed, events, fleet


def test_hosts_that_did_not_have_it_are_changed() -> None:
    placed, events, _fleet = write(a=TAKES, b={**TAKES, "place_hostfile": SAME})
    assert placed.changed == ["a"]
    assert events.of("host_deployed") == [("a", {"what": "hostfile", "path": "/opt/mlxlaunch/hostfile.json"})]


def test_failed_host_does_not_keep_the_others_from_it() -> None:
    placed, _events, _fleet = write(b={**TAKES, "hello": lost()}, a={**TAKES, "place_hostfile": lost()}, c=TAKES)
    assert placed.changed == ["c"]
    assert list(placed.problems) == ["b", "a"]


def test_root_that_is_set_is_not_decided_by_hosts() -> None:
    placed, _events, fleet = write(root="/data/mlx", a=TAKES)
    assert placed.path_on_hosts == "/data/mlx/hostfile.json"
    assert fleet.agents["a"].named("place_hostfile") == [{"root": "/data/mlx", "text": "text", "check": False}]


def test_check_mode_reports_no_change() -> None:
    placed, events, fleet = write(check=True, a=TAKES)
    assert placed.changed == ["a"]
    assert events.all == []
    assert fleet.agents["a"].named("place_hostfile")[0]["check"] is True


def test_written_files_stay_known_when_the_rest_is_cancelled() -> None:
    written = threading.Event()

    def place(**_given: Any) -> Any:
        written.set()
        return OLD

    def stuck(**_given: Any) -> Any:
        assert written.wait(60)
        raise Cancelled

    placed, _events, _fleet = write(a={**TAKES, "place_hostfile": place}, b={**TAKES, "place_hostfile": stuck})
    assert placed.changed == ["a"]
    assert placed.problems == {}


def test_file_here_is_written_before_hosts_are_asked(tmp_path: Path) -> None:
    writer = HostfileWriter(JobSettings(), {}, "text", check=False, fleet=FakeFleet({}))
    writer.write_here(str(tmp_path / "hosts.json"))
    assert (tmp_path / "hosts.json").read_text() == "text"
    assert writer.placed.changed_here
    again = HostfileWriter(JobSettings(), {}, "text", check=False, fleet=FakeFleet({}))
    again.write_here(str(tmp_path / "hosts.json"))
    assert not again.placed.changed_here


def test_directory_for_the_file_here_has_to_exist(tmp_path: Path) -> None:
    writer = HostfileWriter(JobSettings(), {}, "text", check=False, fleet=FakeFleet({}))
    with pytest.raises(UsageError, match="there is no directory"):
        writer.write_here(str(tmp_path / "none/hosts.json"))
