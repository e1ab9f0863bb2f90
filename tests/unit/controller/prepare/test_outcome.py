"""The result of a preparation."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.outcome import prepare_result, stopped_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.result import HostState, Outcome
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import Work
from tests.unit.controller.prepare.answers import SLEEP, mac, row


def test_result_has_document_table_and_differences() -> None:
    found = prepare_result(Outcome(Work(apply=True), [HostState.of("a", mac(row("sleep", "changed", **SLEEP)))]))
    assert (found["returncode"], found["cause"], found["message"], found["changed"]) == (0, "prepared", "1 item on 1 host set", True)
    assert found["text"].startswith("host  sleep\na     set\n")
    assert found["prepare"]["hosts"][0]["host"] == found["diff"][0]["after_header"] == "a"


def test_host_that_cannot_be_asked_is_not_ready() -> None:
    found = prepare_result(Outcome(Work(), [HostState("a", failure="no answer")]))
    assert (found["returncode"], found["cause"], found["text"]) == (3, "not_ready", "fail  a: no answer")


@pytest.mark.parametrize(("begun", "said"), [(False, "interrupted"), (True, "interrupted; hosts may have been changed, and")])
def test_interrupted_run_says_whether_something_may_have_changed(begun: bool, said: str) -> None:
    found = stopped_result(130, "interrupted", "interrupted", begun=begun)
    assert found["message"].startswith(said)
    assert (found["prepare"], found["changed"]) == (None, begun)
