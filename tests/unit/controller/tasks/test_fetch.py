# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the fetch action: its own options, and the files here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Access
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import agent, host_command
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.hosts import Hosts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.fetch import FetchTask
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks.request import Request, TaskContext
from tests.unit.controller.fleets import Events

VARIABLES = {"groups": {"mlx": ["a", "b"]}, "hostvars": {"a": {}, "b": {}}}


class ThisMachine:
    """Hosts that are all this machine."""

    def names(self, group: str) -> list[str]:
        return VARIABLES["groups"][group]  # type: ignore[return-value]

    def settings(self, name: str) -> Any:
        return SimpleNamespace(name=name)

    def access_of(self, hosts: list[Any], _settings: Any) -> dict[str, Access]:
        command = host_command([sys.executable], agent())
        return {host.name: Access(lambda shell: ["/bin/sh", "-c", shell], command) for host in hosts}


class Recorded(FetchTask):
    """Keeps its events."""

    @contextlib.contextmanager
    def _reporting(self, settings: Any) -> Iterator[Any]:  # noqa: ARG002
        yield Events()


def context(options: dict[str, Any], **modes: bool) -> TaskContext:
    return TaskContext(options, None, None, None, VARIABLES, print, **modes)


def run(options: dict[str, Any], **modes: bool) -> dict[str, Any]:
    given = context(options, **modes)
    return Recorded(given, Request.of(given, {}, FetchTask.own_options), cast("Hosts", ThisMachine())).run()


@pytest.fixture(name="options")
def make_options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "w").write_text("weights")
    return {"patterns": ["*"], "cwd": str(tmp_path / "job"), "to": str(tmp_path / "to")}


def test_files_are_fetched_once(tmp_path: Path, options: dict[str, Any]) -> None:
    first, second = (run(options) for _turn in range(2))
    assert (first["host"], first["bytes"], second["bytes"]) == ("a", 7, 0)
    assert (tmp_path / "to" / "w").read_text() == "weights"
    assert first["files"] == [{"path": f"{tmp_path}/job/w", "dest": f"{tmp_path}/to/w", "size": 7, "changed": True}]


def test_check_mode_shows_the_difference_only(tmp_path: Path, options: dict[str, Any]) -> None:
    result = run(options, check_mode=True, diff=True)
    assert result["diff"] == [{"prepared": f"{tmp_path}/to, from a\n+ w\n"}]
    assert not (tmp_path / "to").exists()


def test_relative_directory_counts_from_the_current_one(tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(options | {"to": None, "host": "b"})["to"] == f"{tmp_path}/fetched"
    assert (tmp_path / "fetched" / "w").exists()


def test_no_pattern_reaches_no_host(options: dict[str, Any]) -> None:
    assert run(options | {"patterns": []})["files"] == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"host": "c"}, "host: c is not in the inventory"),
        ({"host": 7}, "host: 7 is not in the inventory"),
        ({"to": 7}, "mlx_fetch_to: 7 is not a path"),
        ({"to": "~nobody-of-this-name/x"}, "mlx_fetch_to: ~nobody-of-this-name/x"),
        ({"patterns": None}, "want patterns"),
        ({"patterns": [None]}, "None is no name of a file"),
        ({"cwd": ""}, "no job has run before"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any], given: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        run(options | given)


@pytest.mark.parametrize("option", ["colour", "control", "src", "flat"])
def test_option_of_another_action_is_refused(option: str) -> None:
    with pytest.raises(UsageError, match=f"fetch: unknown option: {option}"):
        FetchTask.of(context({option: "x"}))
