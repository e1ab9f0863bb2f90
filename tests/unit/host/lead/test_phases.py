"""The phases of a job: events of hosts that a well-behaved supervisor sends only at certain times."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host import UnexpectedEvent
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.policy import FINISHED, OPENING, RUNNING
from tests.unit.jobs import Event, closed, done, job, orders, ready, refused, replay, replay_all, running, tick


@pytest.mark.parametrize("before", [[], [(0.5, ready("a"))]], ids=["opening", "ready"])
def test_host_that_shuts_down_before_the_go_is_not_ready(before: list[tuple[float, Event]]) -> None:
    policy = job("a", "b")
    replay_all(policy, *before, (1, done("a")), (1, closed("a")))
    assert (policy.phase, list(policy.problems)) == (OPENING, ["a"])
    assert orders(replay(policy, (2, ready("b")))) == ["bye a", "bye b"]
    assert (policy.phase, policy.returncode) == (FINISHED, 3)


@pytest.mark.parametrize("event", [ready("a"), done("a")], ids=["ready", "done"])
def test_event_that_does_not_fit_names_host_and_state(event: Event) -> None:
    policy = running("a", "b")
    replay(policy, (1, done("a")))
    with pytest.raises(UnexpectedEvent, match="^a: '.*' does not fit a host that is 'done'$"):
        event(policy, 2.0)
    assert policy.phase == RUNNING


def test_job_can_be_run_again_with_a_policy_of_its_own() -> None:
    first = job("a", "b")
    replay(first, (1, refused("a", "x")), (1, ready("b")))
    second = job("a", "b")
    assert orders(replay_all(second, (1, ready("a")), (1, ready("b")), (1, tick()))) == ["go a", "go b"]
    assert (first.phase, first.returncode, second.phase, second.problems) == (FINISHED, 3, RUNNING, {})
