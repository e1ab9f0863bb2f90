"""The dry run of a launch; its plan as text is in output/test_plan_text.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.dry_run import HIDDEN, dry_run
from tests.unit.launches import request

SSH = {"a": "me@a", "b": "me@b"}


def planned(**settings: Any) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """Return the result of a dry run, and its events."""
    events: list[tuple[str, dict[str, Any]]] = []
    return dry_run(request(**settings), SSH, lambda kind, **details: events.append((kind, details))), events


def test_dry_run_reports_its_plan_and_nothing_else() -> None:
    result, events = planned()
    assert events == [("job_planned", {"plan": result["plan"]})]
    assert (result["returncode"], result["cause"]) == (0, "planned")
    assert result["message"].startswith("would run 2 ranks on 2 hosts")


def test_dry_run_has_what_tasks_after_a_job_use() -> None:
    result, _events = planned(cwd="/data")
    unknown = {"returncode": None, "signal": None, "duration": None, "stopped": False}
    assert result["ranks"] == [{"rank": 0, "host": "a", **unknown}, {"rank": 1, "host": "b", **unknown}]
    assert result["cwd"] == "/data"
    assert planned()[0]["cwd"] == planned()[0]["plan"]["ranks"][0]["cwd"]


def test_plan_has_every_rank_with_its_command_and_place() -> None:
    result, _events = planned(command=["echo", "a b"])
    rows = [(row["rank"], row["host"], row["command"], row["listen"]) for row in result["plan"]["ranks"]]
    assert rows == [(0, "a", "echo 'a b'", ["10.0.0.1:32323"]), (1, "b", "echo 'a b'", ["10.0.0.2:32324"])]
    assert [row["ssh"] for row in result["plan"]["hostfile"]["hosts"]] == ["me@a", "me@b"]


def test_expected_deploy_is_in_the_commands(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print()")
    result, _events = planned(command=(), script=str(tmp_path / "train.py"), project_dir=str(tmp_path), root="/r")
    deploy = result["plan"]["deploy"]["project"]
    assert deploy["path"].startswith(f"/r/projects/{tmp_path.name}/")
    assert result["plan"]["ranks"][1]["argv"] == ["/usr/bin/python3", f"{deploy['path']}/train.py"]


def test_placeholders_are_explained() -> None:
    result, _events = planned()
    assert set(result["plan"]["unknown"]) == {"<folder>", "<id>"}


def test_no_value_of_a_users_variable_is_shown() -> None:
    asked = request()
    asked = replace(asked, hosts=[replace(host, env={"TOKEN": "secret"}) for host in asked.hosts])
    result = dry_run(asked, SSH, lambda *_event, **_details: None)
    assert [row["env"]["TOKEN"] for row in result["plan"]["ranks"]] == [HIDDEN, HIDDEN]
    assert "secret" not in str(result["plan"]["ranks"])
