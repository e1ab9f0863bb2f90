"""What is told of earlier jobs."""

from __future__ import annotations

from tests.unit.controller.check.good import cell


def test_leftover_processes_fail_and_files_are_worth_a_look() -> None:
    found = cell("leftovers", {"leftovers": {"processes": [[17, "python", "j.0"]], "folders": ["/tmp/mlxlaunch-j-0"]}})
    assert (found.value, found.status) == ("2", "fail")
    assert found.notes[0] == "processes of jobs that are over: python (17); end them: kill 17"
    for name in ("folders", "staging", "environments"):
        assert cell("leftovers", {"leftovers": {name: ["/x"]}}).status == "warn"
    assert cell("leftovers", {"leftovers": {"jobs": ["j"]}}).value == "job"
