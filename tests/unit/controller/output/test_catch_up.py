"""A slow reader, which gets from the record what it did not take in time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.catch_up import CatchUp
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.run_dir import RunDir
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.sinks import BACKLOG, Sink
from tests.support.waiting import wait_until
from tests.unit.readers import Woken, event, output

LINE = b"x" * 99_999 + b"\n"


class SlowSink(Sink):
    """Keeps what it gets; its reader takes it all when told."""

    backlog = 0
    broken = False

    def __init__(self) -> None:
        self.got: list[tuple[str, int | None, int]] = []
        self.bytes: dict[int | None, int] = {}
        self.forwarded: list[bytes] = []

    def event(self, event: Event) -> None:
        self.got.append((event.event, event.rank, 0))

    def output(self, event: Event, payload: bytes) -> None:
        assert event.details["offset"] == self.bytes.get(event.rank, 0), "a gap, or once more"
        self.bytes[event.rank] = event.details["offset"] + len(payload)
        self.got.append(("rank_output", event.rank, len(payload)))
        self.backlog += len(payload)

    def forward(self, frame: bytes) -> None:
        self.forwarded.append(frame)


class Bench:
    """A record, and a slow sink that catches up from it; news go to both, as a fanout sends them."""

    def __init__(self, path: Path) -> None:
        self.record = RunDir(path)
        self.sink = SlowSink()
        self.catch_up = CatchUp(self.sink, self.record, Woken())
        self.sent: dict[int, int] = {}

    def print(self, rank: int = 0, payload: bytes = LINE) -> None:
        offset = self.sent.get(rank, 0)
        self.sent[rank] = offset + len(payload)
        news = output(rank, offset=offset)
        self.record.output(news, payload)
        self.catch_up.output(news, payload)

    def say(self, kind: str) -> None:
        news = event(kind)
        self.record.event(news)
        self.catch_up.event(news)

    def read(self) -> None:
        """Let the reader take everything for as long as there is something."""

        def all_taken() -> bool:
            self.sink.backlog = 0
            self.catch_up.tick(0.0)
            return not self.catch_up.late

        wait_until(all_taken, "the reader has everything")

    def close(self) -> None:
        self.catch_up.close()
        self.record.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "j1")
    yield made
    made.close()


def test_reader_in_time_gets_news_at_once(bench: Bench) -> None:
    bench.print(payload=b"token")
    bench.say("warning")
    assert bench.sink.got == [("rank_output", 0, 5), ("warning", None, 0)]


def test_slow_reader_gets_everything_later_and_once(bench: Bench) -> None:
    for number in range(200):
        bench.print(number % 3)
    bench.say("job_stopping")
    assert bench.sink.backlog <= BACKLOG + len(LINE)
    assert bench.catch_up.backlog == 0, "nobody waits for it"
    bench.read()
    assert bench.sink.bytes == bench.sent
    bench.print(1, b"live again")
    assert bench.sink.got[-1] == ("rank_output", 1, 10)
    assert [kind for kind, _rank, _size in bench.sink.got if kind != "rank_output"] == ["job_stopping"]


def test_events_stay_in_their_place_among_output(bench: Bench) -> None:
    for _each in range(60):
        bench.print()
    bench.say("warning")
    for _each in range(60):
        bench.print()
    bench.read()
    at = bench.sink.got.index(("warning", None, 0))
    assert sum(size for _kind, _rank, size in bench.sink.got[:at]) == 60 * len(LINE)


def test_news_during_the_catching_up_follow_it(bench: Bench) -> None:
    for _each in range(60):
        bench.print()
    bench.sink.backlog = 0
    bench.catch_up.tick(0.0)
    bench.print(1, b"one")
    bench.say("warning")
    bench.print(1, b"two")
    bench.read()
    assert bench.sink.bytes == bench.sent
    assert bench.sink.got[-3:] == [("rank_output", 1, 3), ("warning", None, 0), ("rank_output", 1, 3)]


def test_memory_stays_flat_while_the_reader_sleeps(bench: Bench) -> None:
    for _each in range(50):
        bench.print()
    bench.record.settle(30)
    tracemalloc.start()
    try:
        for _round in range(50):
            for _each in range(20):
                bench.print()
            assert bench.record.settle(30)
        used, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 8 * 1024 * 1024
    bench.read()
    assert bench.sink.bytes == bench.sent


def test_reader_that_stops_once_more_still_gets_everything(bench: Bench) -> None:
    for _turn in range(5):
        for _each in range(60):
            bench.print()
        bench.sink.backlog = 0
        bench.catch_up.tick(0.0)
        for _each in range(60):
            bench.print(1)
    bench.read()
    assert bench.sink.bytes == bench.sent


def test_record_that_is_gone_is_told_and_the_news_go_on(bench: Bench) -> None:
    for _each in range(100):
        bench.print()
    assert bench.record.settle(30)
    bench.record.log(0, "stdout").unlink()

    def over() -> bool:
        bench.sink.backlog = 0
        bench.catch_up.tick(0.0)
        return not bench.catch_up.late

    wait_until(over, "it has given up the record")
    [told] = bench.catch_up.warnings()
    assert told.startswith("output was left out here: cannot read the record")
    bench.say("job_finished")
    assert bench.sink.got[-1] == ("job_finished", None, 0)


def test_frames_for_the_launching_program_do_not_wait(bench: Bench) -> None:
    for _each in range(60):
        bench.print()
    bench.catch_up.forward(b"credit")
    assert bench.sink.forwarded == [b"credit"]


def test_reader_that_is_gone_is_not_given_the_record(bench: Bench) -> None:
    for _each in range(60):
        bench.print()
    bench.sink.broken, bench.sink.backlog = True, 0
    before = len(bench.sink.got)
    bench.catch_up.tick(0.0)
    assert (bench.catch_up.broken, len(bench.sink.got)) == (True, before)


def test_outcome_comes_though_the_rest_is_not_waited_for(bench: Bench) -> None:
    for _each in range(60):
        bench.print()
    bench.say("job_finished")
    bench.catch_up.close()
    assert bench.sink.got[-1] == ("job_finished", None, 0)
