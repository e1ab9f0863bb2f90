"""The result of a launch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.result import TAIL_LINES, launch_result, tail
from tests.unit.jobs import done, exited, replay, running, stop


def log(run_dir: Path, rank: int, stream: str, text: str) -> None:
    path = run_dir / str(rank) / f"{stream}.log"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_finished_job_names_every_rank(tmp_path: Path) -> None:
    policy = running("a", "b")
    replay(policy, (1.0, exited(0, at=0.5)), (1.0, exited(1, at=0.75)), (1.1, done("a")), (1.1, done("b")))
    result = launch_result(policy, tmp_path, 2.34567)
    assert (result["returncode"], result["cause"], result["message"]) == (0, "finished", "all ranks returned 0")
    assert [(rank["rank"], rank["host"], rank["returncode"], rank["duration"]) for rank in result["ranks"]] == [
        (0, "a", 0, 0.5),
        (1, "b", 0, 0.75),
    ]
    assert (result["first_failure"], result["duration"], result["run_dir"]) == (None, 2.346, str(tmp_path))


def test_first_failure_has_the_last_lines_of_its_rank(tmp_path: Path) -> None:
    policy = running("a", "b")
    replay(policy, (1.0, exited(1, 7)), (1.1, exited(0, 143, stopped=True)), (1.2, done("a")), (1.2, done("b")))
    log(tmp_path, 1, "stderr", "Traceback\nValueError: no\n")
    result = launch_result(policy, tmp_path, 1.0)
    assert (result["returncode"], result["cause"]) == (7, "rank_failed")
    assert (result["first_failure"]["rank"], result["first_failure"]["tail"]) == (1, ["Traceback", "ValueError: no"])
    assert result["ranks"][0]["stopped"]


def test_rank_whose_end_is_unknown_has_no_status(tmp_path: Path) -> None:
    policy = running("a", "b")
    replay(policy, (1.0, stop()))
    result = launch_result(policy, tmp_path, 1.0)
    assert (result["returncode"], result["cause"]) == (130, "interrupted")
    assert [rank["returncode"] for rank in result["ranks"]] == [None, None]


def test_job_without_a_cause_and_ends_is_incomplete(tmp_path: Path) -> None:
    assert launch_result(running("a"), tmp_path, 1.0)["cause"] == "incomplete"


def test_directory_of_rank_0_is_in_the_result(tmp_path: Path) -> None:
    policy = running("a", "b")
    assert launch_result(policy, tmp_path, 1.0)["cwd"] == ""


@pytest.mark.parametrize(
    ("stderr", "stdout", "lines"),
    [
        ("oops\n", "fine\n", ["oops"]),
        (" \n\n", "fine\n", ["fine"]),
        ("", "", []),
        (None, "fine", ["fine"]),
        ("".join(f"{number}\n" for number in range(100)), "", [str(number) for number in range(100 - TAIL_LINES, 100)]),
    ],
)
def test_tail_is_of_stderr_or_else_of_stdout(tmp_path: Path, stderr: str | None, stdout: str, lines: list[str]) -> None:
    if stderr is not None:
        log(tmp_path, 0, "stderr", stderr)
    log(tmp_path, 0, "stdout", stdout)
    assert tail(tmp_path, 0) == lines


def test_tail_of_a_rank_without_logs_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path, 3) == []
