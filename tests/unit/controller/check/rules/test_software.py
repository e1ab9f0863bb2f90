"""What is told of Python, MLX, mpirun, and what is deployed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import Cell
from tests.unit.controller.check.good import OTHER, cell, cells, facts, states


def test_root_that_a_stranger_could_change_fails_and_hides_what_is_in_it() -> None:
    problem = "/opt/mlxlaunch belongs to eve, who could change what is there; set mlx_root to a directory of your own"
    change: dict[str, Any] = {
        "root": {"path": "/opt/mlxlaunch", "problem": problem},
        "python": {"problem": "/opt/mlxlaunch/envs/k/bin/python is not run before the root is safe"},
        "environment": None,
        "project": None,
    }
    found = cells(facts("a", change), facts("b"))[0]
    assert found["root"] == Cell("/opt/mlxlaunch", "fail", [problem])
    assert [found[column].status for column in ("python", "environment", "project", "mlx", "mlx.core")] == ["unknown"] * 5


def test_missing_python_fails_and_hides_its_consequences() -> None:
    found = cells(facts("a", {"python": {"problem": "/x is not there, or cannot be run"}, "environment": None}))[0]
    assert (found["python"].value, found["python"].status) == ("none", "fail")
    assert "set mlx_python" in found["python"].notes[0]
    assert [found[name].status for name in ("mlx", "mlx.core")] == ["unknown", "unknown"]


def test_python_of_an_environment_that_is_not_made_is_told_once() -> None:
    change = {"python": {"problem": "/e/bin/python is not there"}, "environment": {"state": "absent", "digest": ""}}
    found = cells(facts("a", change))[0]
    assert [name for name, one in found.items() if one.status == "fail"] == ["environment"]
    assert "mlxlaunch sync" in found["environment"].notes[0]


@pytest.mark.parametrize(("version", "status"), [("3.12.4", "ok"), ("3.12.7", "warn"), ("3.11.4", "fail")])
def test_python_version_is_held_against_the_majority(version: str, status: str) -> None:
    assert cell("python", {"python": {"version": version}}).status == status


def test_majority_is_what_most_have_and_with_as_many_the_first() -> None:
    old, new = {"python": {"mlx": "0.31.0"}}, {"python": {"mlx": "0.32.4"}}
    assert states("mlx", facts("a", old), facts("b", new), facts("c", new)) == ["fail", "ok", "ok"]
    assert states("mlx", facts("a", old), facts("b", new)) == ["ok", "fail"]


def test_variable_that_mlx_wants_alike_is_held_against_the_majority() -> None:
    hosts = facts("a", {"fast_synch": "1"}), facts("b", {}), facts("c", {"fast_synch": ""})
    assert states("mlx", *hosts) == ["warn", "ok", "ok"]
    assert "MLX_METAL_FAST_SYNCH is 1, and unset on most hosts" in cells(*hosts)[0]["mlx"].notes[0]
    assert states("mlx", *(facts(name, {"fast_synch": "1"}) for name in "ab")) == ["ok", "ok"]


def test_python_at_another_path_is_worth_a_look() -> None:
    found = cell("python", {"python": {"path": "/other/python"}})
    assert found.status == "warn"
    assert "/other/python" in found.notes[0]


def test_python_for_the_wrong_chip_fails() -> None:
    found = cell("python", {"python": {"machine": "x86_64"}})
    assert found.status == "fail"
    assert "arm64" in found.notes[-1]


def test_a_warning_after_a_failure_leaves_it_a_failure() -> None:
    found = cell("python", {"python": {"version": "3.11.4", "path": "/other/python"}})
    assert (found.status, len(found.notes)) == ("fail", 2)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"state": "absent", "digest": ""}, "none"),
        ({"state": "incomplete", "digest": ""}, "part"),
        ({"problem": "packages in /e are not those it was made with"}, "edited"),
        ({"digest": OTHER}, "aaaaa"),
    ],
)
def test_wrong_environment_fails_with_the_command_that_helps(change: dict[str, Any], value: str) -> None:
    found = cell("environment", {"environment": change})
    assert (found.value, found.status) == (value, "fail")
    assert "mlxlaunch sync" in found.notes[0]


def test_environment_that_hosts_cannot_have_fails() -> None:
    found = cell("environment", {"environment": None}, environment_failure="no Python 3.12 here")
    assert (found.status, found.notes) == ("fail", ["no Python 3.12 here"])


@pytest.mark.parametrize(
    ("change", "value"), [({"state": "absent"}, "none"), ({"state": "edited", "edited": ["train.py", "a", "b", "c", "d"]}, "edited")]
)
def test_wrong_project_fails_with_the_command_that_helps(change: dict[str, Any], value: str) -> None:
    found = cell("project", {"project": change})
    assert (found.value, found.status) == (value, "fail")
    assert "mlxlaunch sync" in found.notes[0]


@pytest.mark.parametrize(
    ("column", "change", "value", "status"),
    [
        ("environment", {"state": "absent", "digest": ""}, "none", "warn"),
        ("environment", {"state": "incomplete", "digest": ""}, "part", "warn"),
        ("environment", {"state": "absent", "digest": "", "problem": "/e belongs to eve"}, "closed", "fail"),
        ("environment", {"problem": "packages in /e are not those it was made with"}, "edited", "fail"),
        ("project", {"state": "absent"}, "none", "warn"),
        ("project", {"state": "edited", "edited": ["train.py"]}, "edited", "warn"),
        ("project", {"state": "absent", "closed": "/p belongs to eve"}, "closed", "fail"),
    ],
)
def test_what_a_deploy_mends_is_only_a_doubt_in_a_dry_run(column: str, change: dict[str, Any], value: str, status: str) -> None:
    found = cells(facts("a", {column: change, "python": {"problem": "/e/bin/python is not there"}}), dry_run=True)[0][column]
    assert (found.value, found.status) == (value, status)
    assert ("check mode" in found.notes[0]) == (status == "warn")


def test_script_that_is_not_on_a_host_fails() -> None:
    found = cell("project", {"project": None, "script": ["script /x/train.py is not there"]})
    assert found.status == "fail"
    assert "/x/train.py" in found.notes[0]


def test_nothing_deployed_and_nothing_asked_for_is_no_fault() -> None:
    bare: dict[str, Any] = {"environment": None, "project": None}
    found = cells(facts("a", bare, project=""), facts("b", bare, project=""))[0]
    assert (found["environment"].status, found["project"].status) == ("unknown", "unknown")


def test_missing_mlx_and_broken_mlx_fail_each_in_its_column() -> None:
    missing = cells(facts("a"), facts("b", {"python": {"mlx": "", "import_error": "No module named mlx"}}))[1]
    assert (missing["mlx"].status, missing["mlx.core"].status) == ("fail", "unknown")
    broken = cells(facts("a", {"python": {"import_error": "RuntimeError: no Metal device"}}))[0]
    assert (broken["mlx"].status, broken["mlx.core"].status) == ("ok", "fail")
    assert "no Metal device" in broken["mlx.core"].notes[0]


def test_mpirun_matters_only_to_mpi() -> None:
    none = {"mpirun": {"path": "", "version": ""}}
    other = {"mpirun": {"path": "/usr/bin/mpirun", "version": "4.1.4"}}
    hosts = [facts("a"), facts("b"), facts("c", none), facts("d", other)]
    assert states("mpirun", *hosts) == ["unknown", "unknown", "unknown", "warn"]
    assert states("mpirun", *hosts, backend="mpi") == ["ok", "ok", "fail", "fail"]
