"""The outcome of a deploy in one line, and as Ansible's diff."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.outcome import Outcome, deploy_result, diff_of
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.deployed import Deployed

CHANGED = {"a": ["environment"], "b": ["project"]}


@pytest.mark.parametrize(
    ("outcome", "check", "returncode", "message"),
    [
        (Outcome(), False, 0, "nothing to do: all hosts have it"),
        (Outcome(changed=CHANGED), False, 0, "2 hosts changed"),
        (Outcome(changed=CHANGED), True, 0, "2 hosts would change"),
        (Outcome(changed=CHANGED, problems={"c": ["off"]}), False, 3, "1 hosts could not be deployed to: c"),
    ],
)
def test_message_counts_the_hosts(outcome: Outcome, check: bool, returncode: int, message: str) -> None:
    result = deploy_result(outcome, None, check=check)
    assert (result["returncode"], result["message"]) == (returncode, message)


def test_cause_of_an_early_end_counts_more_than_problems() -> None:
    result = deploy_result(Outcome(problems={"a": ["off"]}), Cause("interrupted", 130, "interrupted by SIGINT"), check=False)
    assert (result["returncode"], result["cause"], result["message"]) == (130, "interrupted", "interrupted by SIGINT")


def test_result_has_the_python_of_the_environment() -> None:
    result = deploy_result(Outcome(Deployed(root="/r", environment="/r/envs/k")), None, check=False)
    assert (result["root"], result["python"]) == ("/r", "/r/envs/k/bin/python")


def test_diff_lists_hosts_with_the_same_differences_together() -> None:
    same = {"added": ["new.py"], "changed": ["a\nb.py"], "removed": ["old.py"]}
    found = diff_of({"a": same, "b": same, "c": {"added": [], "changed": [], "removed": ["x"]}}, "/projects/llm/1")
    assert [entry["prepared"].splitlines()[0] for entry in found] == ["/projects/llm/1 on a, b", "/projects/llm/1 on c"]
    lines = found[0]["prepared"].splitlines()
    assert len(lines) == 4, "a line break in a name is no line break in the text"
    assert (lines[1], lines[3]) == ("+ new.py", "- old.py")
