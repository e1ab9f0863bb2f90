"""The condition for the go, and the decision on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.barrier import Barrier, not_ready
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import Decision, no_decision
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host import READY, REFUSED, Hosts
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.limits import Limits


def hosts(**events: str) -> Hosts:
    """Return hosts to which these events happened, if any; their facts are their names."""
    made = Hosts(events, Limits(), 0.0)
    for name, event in events.items():
        if event:
            made[name].step(event, 0.0, ["x"])
        made[name].facts = {"cwd": "/", "environment": {"MLX_HOST": name}}
    return made


def fail(_facts: Mapping[str, Mapping[str, Any]]) -> Decision:
    return pytest.fail("nothing to decide")


def test_nothing_is_decided_while_a_host_has_not_answered() -> None:
    assert Barrier(fail).decision(hosts(a=READY, b="")) is None


def test_nothing_is_decided_when_a_host_has_refused() -> None:
    found = hosts(a=READY, b=REFUSED)
    assert Barrier(fail).decision(found) == Decision()
    cause = not_ready(found)
    assert cause
    assert (cause.kind, cause.returncode) == ("not_ready", 3)
    assert cause.message == "1 of 2 hosts not ready: b; no rank was started anywhere"


def test_facts_of_all_ready_hosts_decide() -> None:
    found = hosts(a=READY, b=READY)
    barrier = Barrier(lambda facts: Decision(go={host: list(known) for host, known in facts.items()}))
    assert barrier.decision(found) == Decision(go={"a": ["cwd", "environment"], "b": ["cwd", "environment"]})
    assert not_ready(found) is None


def test_without_a_decision_nothing_travels_with_the_go() -> None:
    assert Barrier(no_decision).decision(hosts(a=READY)) == Decision({}, {})


def test_differences_in_declared_variables_do_not_count() -> None:
    found = hosts(a=READY, b=READY)
    assert [(host, line.partition(" ")[0]) for host, line in Barrier().differences(found)] == [("b", "MLX_HOST")]
    assert Barrier(declared=["MLX_HOST"]).differences(found) == []
