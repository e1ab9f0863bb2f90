"""The examples of modules work in a play with several hosts: a result is there for the first of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.unit.collection.documented import COLLECTION

MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
NESTED = ("block", "rescue", "always")


def tasks(entries: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Give each task, also those in blocks."""
    for entry in entries:
        nested = [task for name in NESTED for task in entry.get(name, ())]
        yield from tasks(nested) if nested else [entry]


def examples(plugin: str) -> list[Mapping[str, Any]]:
    for node in ast.parse((COLLECTION / "plugins" / f"{plugin}.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
            return list(tasks(yaml.safe_load(ast.literal_eval(node.value))))
    raise AssertionError(plugin)


@pytest.mark.parametrize("module", MODULES)
def test_task_that_uses_a_result_runs_for_the_host_that_has_it(module: str) -> None:
    found = examples(f"modules/{module}")
    results = {task["register"] for task in found if "register" in task}
    for task in found:
        ours = any(name.startswith("mlxlaunch.cluster.") for name in task)  # which runs once by itself
        if any(result in str({**task, "register": ""}) for result in results) and not ours:
            assert task.get("run_once") is True, task["name"]


def test_file_of_a_job_is_not_fetched_in_check_mode() -> None:
    assert examples("modules/fetch")[-1]["when"] == "not ansible_check_mode"


def test_hostfile_is_made_once_and_of_what_every_play_has() -> None:
    for task in examples("filter/hostfile"):
        assert task["run_once"] is True
        assert "mlx_env" not in str(task)
