"""The life of a host: its table is swept, and whatever happens its promises hold."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host import (
    CLOSED,
    CONFIRM,
    DONE,
    GO,
    H_DONE,
    H_LOST,
    H_OPENING,
    H_READY,
    H_RECOVERING,
    H_REFUSED,
    H_RUNNING,
    IGNORED,
    LATE,
    NEXT,
    READY,
    REFUSED,
    RETRY,
    RETRY_AFTER,
    SILENT,
    HostMachine,
    Hosts,
    UnexpectedEvent,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.limits import Limits

LIMITS = Limits(grace=10, lease=30, connect=20, recover=10)
EVENTS = (READY, REFUSED, DONE, CLOSED, SILENT, LATE, RETRY, GO)

# The shortest way to each state.
WAYS = {
    H_OPENING: (),
    H_READY: (READY,),
    H_REFUSED: (REFUSED,),
    H_RUNNING: (READY, GO),
    H_RECOVERING: (READY, GO, CLOSED),
    H_DONE: (READY, GO, DONE),
    H_LOST: (READY, GO, CLOSED, LATE),
}


def host(state: str = H_OPENING) -> HostMachine:
    """Return a host that came to its state at 0."""
    machine = HostMachine("a", LIMITS, 0.0)
    for event in WAYS[state]:
        assert machine.step(event, 0.0)
    assert machine.state == state
    return machine


# -- the table


@pytest.mark.parametrize(("state", "event"), list(product(WAYS, EVENTS)))
def test_each_event_is_followed_ignored_or_an_error(state: str, event: str) -> None:
    machine = host(state)
    if (state, event) in NEXT:
        assert machine.step(event, 1.0, ["x"])
        assert machine.state == NEXT[state, event]
    elif (state, event) in IGNORED:
        before = vars(machine).copy()
        assert not machine.step(event, 1.0, ["x"])
        assert vars(machine) == before
    else:
        with pytest.raises(UnexpectedEvent, match=f"^a: '{event}' does not fit a host that is '{state}'$"):
            machine.step(event, 1.0)
        assert machine.state == state


def test_no_event_is_both_followed_and_ignored() -> None:
    assert not IGNORED & set(NEXT)


def test_table_names_known_states_and_events_only() -> None:
    assert {state for state, _event in [*NEXT, *IGNORED]} | set(NEXT.values()) == set(WAYS)
    assert {event for _state, event in [*NEXT, *IGNORED]} == set(EVENTS)


@pytest.mark.parametrize("state", [H_REFUSED, H_DONE, H_LOST])
def test_nothing_follows_the_end_of_a_host(state: str) -> None:
    assert not [event for before, event in NEXT if before == state]
    assert host(state).deadline == float("inf")
    assert host(state).due(1000.0) is None


@pytest.mark.parametrize("state", WAYS)
def test_channel_may_close_in_any_state(state: str) -> None:
    host(state).step(CLOSED, 1.0, ["reset"])


@pytest.mark.parametrize("event", [REFUSED, CLOSED, SILENT, DONE])
def test_ready_host_that_fails_goes_straight_to_refused(event: str) -> None:
    machine = host(H_READY)
    machine.step(event, 1.0, ["x", "y"])
    assert (machine.state, machine.problems) == (H_REFUSED, ["x", "y"])


# -- the clock


@pytest.mark.parametrize(
    ("state", "at", "due"),
    [
        (H_OPENING, 20, (LATE, "no answer within 20 s")),
        (H_READY, 30, (SILENT, "ready, then silent for 30 s")),
        (H_RUNNING, 30, (SILENT, "silent for 30 s: network, host or sleep")),
        (H_RECOVERING, 20, (LATE, "no answer")),
    ],
)
def test_event_is_due_at_the_deadline_and_not_before(state: str, at: float, due: tuple[str, str]) -> None:
    machine = host(state)
    assert machine.deadline == at
    assert machine.due(at - 0.125) is None
    assert machine.due(at) == due


@pytest.mark.parametrize("state", [H_OPENING, H_READY, H_RUNNING, H_RECOVERING])
def test_time_in_which_nothing_was_read_does_not_count(state: str) -> None:
    machine = host(state)
    before = machine.deadline
    machine.postpone(100.0)
    assert machine.deadline == before + 100.0
    assert machine.due(before) is None


def test_times_count_from_the_opening_of_the_channel() -> None:
    machine = host()
    machine.begin(100.0)
    assert machine.deadline == 120


def test_refused_host_is_not_waited_for_when_channels_open() -> None:
    machine = host(H_REFUSED)
    machine.begin(100.0)
    assert machine.deadline == float("inf")


def test_host_has_grace_and_more_to_confirm_its_end() -> None:
    machine = host(H_RUNNING)
    machine.expect_end(1.0, 10.0)
    machine.heard = 25.0
    assert machine.deadline == 1.0 + 10.0 + CONFIRM
    assert machine.due(26.0) == (LATE, "did not confirm that its ranks have ended")


def test_host_out_of_reach_is_tried_once_a_second() -> None:
    machine = host(H_RECOVERING)
    machine.step(CLOSED, 3.0)
    assert machine.deadline == 3.0 + RETRY_AFTER
    assert machine.due(4.0) == (RETRY, "")
    machine.step(RETRY, 4.0)
    assert (machine.state, machine.due(4.0)) == (H_RECOVERING, None)


@pytest.mark.parametrize(("at", "state"), [(9.0, H_RECOVERING), (9.125, H_LOST)], ids=["one more try", "no try left"])
def test_channel_closed_after_the_last_try_loses_the_host(at: float, state: str) -> None:
    machine = host(H_RECOVERING)
    machine.step(CLOSED, at)
    assert machine.state == state


# -- all hosts of a job


def test_hosts_have_answered_when_each_is_ready_or_refused() -> None:
    hosts = Hosts(["a", "b"], LIMITS, 0.0)
    hosts["a"].step(READY, 1.0)
    assert (hosts.answered, hosts.within(H_OPENING), hosts.leased) == (False, ["b"], ["a"])
    hosts["b"].step(REFUSED, 2.0, ["no python"])
    assert (hosts.answered, hosts.over, hosts.problems) == (True, False, {"b": ["no python"]})


def test_deadline_of_hosts_is_the_first_of_theirs() -> None:
    hosts = Hosts(["a", "b"], LIMITS, 0.0)
    hosts["a"].step(READY, 1.0)
    assert hosts.deadline == 20
    hosts.begin(5.0)
    assert hosts.deadline == 25


# -- histories


class HostHistories(RuleBasedStateMachine):
    """A host that answers, fails, falls silent, is cut off and found again; a policy that lets it go; time."""

    @initialize(lease=st.sampled_from([3.0, 30.0]), grace=st.sampled_from([0.0, 10.0]), recover=st.sampled_from([0.5, 10.0]))
    def launch(self, lease: float, grace: float, recover: float) -> None:
        self.now = 0.0
        self.machine = HostMachine("a", Limits(grace, lease, 20.0, 0.0, recover), self.now)
        self.cut_at: float | None = None
        self.seen = [self.machine.state]

    def happen(self, event: str) -> None:
        before = self.machine.state
        self.machine.step(event, self.now, ["x"])
        after = self.machine.state
        if after != before:
            self.seen.append(after)
        if after == H_RECOVERING and self.cut_at is None:
            self.cut_at = self.now

    @rule(data=st.data())
    def something_fits(self, data: st.DataObject) -> None:
        state = self.machine.state
        events = [event for event in (READY, REFUSED, DONE, CLOSED, GO) if (state, event) in NEXT or (state, event) in IGNORED]
        self.happen(data.draw(st.sampled_from(events)))

    @precondition(lambda self: self.machine.state == H_RUNNING)
    @rule()
    def policy_stops_it(self) -> None:
        self.machine.expect_end(self.now, 0.0)

    # Sums of powers of two, which are exact.
    @rule(seconds=st.sampled_from([0.0, 0.125, 1.0, 3.0, 11.0]), alive=st.booleans())
    def time_passes(self, seconds: float, alive: bool) -> None:
        self.now += seconds
        if alive:
            self.machine.heard = self.now
        while due := self.machine.due(self.now):
            self.happen(due[0])

    @invariant()
    def no_state_is_entered_twice(self) -> None:
        assert len(self.seen) == len(set(self.seen))

    @invariant()
    def refused_host_has_never_run(self) -> None:
        if self.machine.state == H_REFUSED:
            assert H_RUNNING not in self.seen
        assert bool(self.machine.problems) == (self.machine.state == H_REFUSED)

    @invariant()
    def nothing_is_due_before_the_deadline(self) -> None:
        assert self.machine.deadline > self.now or self.machine.due(self.now)

    @invariant()
    def recovery_is_bounded(self) -> None:
        if self.machine.state == H_RECOVERING:
            assert self.cut_at is not None
            assert self.machine.deadline <= self.cut_at + 10.0 + 10.0

    def teardown(self) -> None:
        """Nothing comes any more: time alone brings a host to its end."""
        for _step in range(100):
            if self.machine.state in {H_REFUSED, H_DONE, H_LOST}:
                break
            self.now = max(self.now, self.machine.deadline)
            due = self.machine.due(self.now)
            assert due
            self.happen(due[0])
        assert self.machine.state in {H_REFUSED, H_DONE, H_LOST}


TestHostHistories = HostHistories.TestCase
TestHostHistories.settings = settings(max_examples=100, stateful_step_count=30)
