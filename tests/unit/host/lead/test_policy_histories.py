"""Whatever happens, in whatever order: the promises of the policy hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.policy import FINISHED, Close, Limits, Policy, Recover, Send
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from tests.unit.jobs import ranks_on


@dataclass
class Host:
    """What is true on a host, as opposed to what the policy knows of it."""

    ranks: list[int]
    channel: bool = True  # whether one is open, with a supervisor at its other end
    ready: bool = False
    gone: bool = False  # whether its ranks got their go
    stopped: bool = False
    ended: dict[int, int] = field(default_factory=dict)
    done: bool = False


class Histories(RuleBasedStateMachine):
    """Hosts that answer in any order, fail, fall silent, are cut off; a person who interrupts; time."""

    @initialize(
        slots=st.lists(st.integers(1, 2), min_size=1, max_size=3),
        timeout=st.sampled_from([0.0, 5.0, 50.0]),
        lease=st.sampled_from([3.0, 30.0]),
        grace=st.sampled_from([0.0, 10.0]),
    )
    def launch(self, slots: list[int], timeout: float, lease: float, grace: float) -> None:
        self.begin(slots, Limits(grace, lease, 30.0, timeout, 10.0))

    def begin(self, slots: list[int], limits: Limits) -> None:
        names = [f"h{at}" for at, count in enumerate(slots) for _ in range(count)]
        self.table = ranks_on(*names)
        self.now = 0.0
        self.policy = Policy(self.table, limits, self.now)
        self.hosts = {host: Host([rank.rank for rank in self.table.of_host(host)]) for host in self.table.hosts}
        self.interrupted = False

    # -- what the policy wants happens to the hosts

    def carry_out(self) -> None:
        for action in self.policy.take():
            if isinstance(action, Send):
                self.told(self.hosts[action.host], action.kind)
            elif isinstance(action, Close):
                self.cut(self.hosts[action.host])
            elif isinstance(action, Recover):
                assert not self.hosts[action.host].channel, "the old channel is closed first"
                self.hosts[action.host].channel = True

    def told(self, host: Host, kind: int) -> None:
        if kind == wire.GO:
            assert not host.gone, "GO twice"
            assert all(other.ready for other in self.hosts.values()), "GO before all are ready"
            host.gone = True
        elif kind in (wire.STOP, wire.KILL):
            assert host.gone, "nothing runs there"
            host.stopped = True

    def cut(self, host: Host) -> None:
        host.channel = False
        host.stopped = host.gone

    def happen(self, event: Callable[[], None]) -> None:
        event()
        self.carry_out()

    def some(self, data: st.DataObject, fits: Callable[[Host], bool]) -> str | None:
        names = [name for name, host in self.hosts.items() if fits(host)]
        return data.draw(st.sampled_from(names)) if names else None

    # -- what can happen

    @rule(data=st.data())
    def host_is_ready(self, data: st.DataObject) -> None:
        if name := self.some(data, lambda host: host.channel and not host.ready):
            self.hosts[name].ready = True
            self.happen(lambda: self.policy.on_ready(name, {"cwd": "/"}, self.now))

    @precondition(lambda self: self.now > 3)
    @rule(data=st.data())
    def host_refuses(self, data: st.DataObject) -> None:
        if name := self.some(data, lambda host: host.channel and not host.ready):
            self.happen(lambda: self.policy.on_refused(name, ["no"], self.now))

    @rule(data=st.data(), code=st.sampled_from([0, 0, 0, 1, 7]))
    def rank_ends(self, data: st.DataObject, code: int) -> None:
        if name := self.some(data, lambda host: host.channel and host.gone and len(host.ended) < len(host.ranks)):
            host = self.hosts[name]
            rank = data.draw(st.sampled_from([rank for rank in host.ranks if rank not in host.ended]))
            host.ended[rank] = code
            how = {"code": code, "signal": 0, "at": self.now, "stopped": host.stopped}
            self.happen(lambda: self.policy.on_exited(rank, how, self.now))

    @rule(data=st.data())
    def host_is_done(self, data: st.DataObject) -> None:
        if name := self.some(data, lambda host: host.channel and host.gone and not host.done and len(host.ended) == len(host.ranks)):
            self.hosts[name].done = True
            self.happen(lambda: self.policy.on_done(name, {}))

    @precondition(lambda self: self.now > 3)
    @rule(data=st.data())
    def channel_breaks(self, data: st.DataObject) -> None:
        if name := self.some(data, lambda host: host.channel):
            self.cut(self.hosts[name])
            self.happen(lambda: self.policy.on_closed(name, "reset", self.now))

    @precondition(lambda self: self.now > 3)
    @rule(kill=st.booleans())
    def person_interrupts(self, kill: bool) -> None:
        self.interrupted |= self.policy.phase != FINISHED
        self.happen(lambda: self.policy.stop(Cause("interrupted", 130, "interrupted"), self.now, kill=kill))

    # Times are sums of powers of two: exact, so that nothing here depends on how 1.1 + 3 is rounded.
    @rule(seconds=st.sampled_from([0.0, 0.125, 1.0, 3.0, 11.0]), alive=st.booleans())
    def time_passes(self, seconds: float, alive: bool) -> None:
        self.now += seconds
        for name, host in self.hosts.items():
            if alive and host.channel:
                self.policy.on_heard(name, self.now)
        self.happen(lambda: self.policy.on_tick(self.now))
        assert self.policy.phase == FINISHED or self.policy.deadline() > self.now

    # -- what always holds

    @invariant()
    def success_means_that_all_ranks_exited_with_0(self) -> None:
        if self.policy.returncode == 0:
            assert {rank: code for host in self.hosts.values() for rank, code in host.ended.items()} == dict.fromkeys(
                range(self.table.world_size), 0
            )

    @invariant()
    def nothing_waits_to_be_done_for_ever(self) -> None:
        assert self.policy.take() == []

    @invariant()
    def end_means_that_no_host_that_can_be_reached_runs_a_rank(self) -> None:
        if self.policy.phase == FINISHED:
            assert all(host.done or host.stopped or not host.gone for host in self.hosts.values())

    def teardown(self) -> None:
        """Every host closes in the end, and closes again whenever it is tried again: the job is over."""
        for _attempt in range(100):
            for name, host in self.hosts.items():
                if host.channel:
                    self.cut(host)
                    self.happen(lambda name=name: self.policy.on_closed(name, "reset", self.now))  # type: ignore[misc]
            self.now = max(self.now, self.policy.deadline())
            self.happen(lambda: self.policy.on_tick(self.now))
        assert self.policy.phase == FINISHED
        ended = sum(len(host.ended) for host in self.hosts.values())
        failed = any(code for host in self.hosts.values() for code in host.ended.values())
        if failed or ended < self.table.world_size or self.interrupted:
            assert self.policy.returncode != 0


class SilentHistories(Histories):
    """The same; in the end nothing is heard any more, and nothing closes either: time alone ends the job."""

    def teardown(self) -> None:
        for _step in range(200):
            if self.policy.phase == FINISHED:
                break
            self.now = self.policy.deadline()
            self.happen(lambda: self.policy.on_tick(self.now))
        assert self.policy.phase == FINISHED


class LongHistories(Histories):
    """All hosts get their go at once, so that more happens while ranks run."""

    @initialize(slots=st.lists(st.integers(1, 2), min_size=1, max_size=4))
    def launch(self, slots: list[int]) -> None:
        self.begin(slots, Limits())
        for name, host in self.hosts.items():
            host.ready = True
            self.happen(lambda name=name: self.policy.on_ready(name, {}, self.now))  # type: ignore[misc]


TestHistories = Histories.TestCase
TestSilentHistories = SilentHistories.TestCase
TestLongHistories = LongHistories.TestCase
TestHistories.settings = TestSilentHistories.settings = TestLongHistories.settings = settings(max_examples=100, stateful_step_count=40)
