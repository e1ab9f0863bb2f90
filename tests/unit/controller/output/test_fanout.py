"""All sinks of a job as one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.fanout import Fanout
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.sinks import Sink
from tests.unit.readers import event, output


class Recorder(Sink):
    """Writes down the calls, in one list with others."""

    backlog = 0
    broken = False

    def __init__(self, name: str, calls: list[tuple[object, ...]], due: float | None = None) -> None:
        self._name = name
        self._calls = calls
        self._due = due

    def event(self, event: Event) -> None:
        self._calls.append((self._name, event.event))

    def output(self, event: Event, payload: bytes) -> None:
        self._calls.append((self._name, event.event, payload))

    def forward(self, frame: bytes) -> None:
        self._calls.append((self._name, frame))

    def tick(self, now: float) -> None:
        self._calls.append((self._name, now))

    def deadline(self) -> float | None:
        return self._due

    def close(self) -> None:
        self._calls.append((self._name, "closed"))


@pytest.mark.parametrize(
    ("send", "call"),
    [
        (lambda fanout: fanout.event(event("warning")), ("warning",)),
        (lambda fanout: fanout.output(output(), b"x"), ("rank_output", b"x")),
        (lambda fanout: fanout.forward(b"frame"), (b"frame",)),
        (lambda fanout: fanout.tick(7.0), (7.0,)),
    ],
    ids=["event", "output", "forward", "tick"],
)
def test_every_sink_gets_it_in_order(send: Callable[[Fanout], None], call: tuple[object, ...]) -> None:
    calls: list[tuple[object, ...]] = []
    fanout = Fanout([Recorder("a", calls)])
    fanout.add(Recorder("b", calls))
    send(fanout)
    assert calls == [("a", *call), ("b", *call)]


def test_first_deadline_counts() -> None:
    assert Fanout([Recorder("a", [], 3.0), Recorder("b", []), Recorder("c", [], 2.0)]).deadline() == 2.0
    assert Fanout([Recorder("a", [])]).deadline() is None


def test_slowest_reader_counts_and_any_may_break() -> None:
    one, two = Recorder("a", []), Recorder("b", [])
    fanout = Fanout([one, two])
    assert (fanout.backlog, fanout.broken) == (0, False)
    one.backlog, two.backlog, two.broken = 3, 5, True
    assert (fanout.backlog, fanout.broken) == (5, True)


def test_news_of_all_sinks_are_put_together() -> None:
    class News(Recorder):
        late = False

        def safe(self) -> list[tuple[int, str, int]]:
            return [(0, self._name, 5)]

        def warnings(self) -> list[str]:
            return [self._name]

    one, two = News("a", []), News("b", [])
    fanout = Fanout([one, two])
    assert (fanout.safe(), fanout.warnings(), fanout.late) == ([(0, "a", 5), (0, "b", 5)], ["a", "b"], False)
    two.late = True
    assert fanout.late


def test_without_sinks_nothing_is_due_or_behind() -> None:
    fanout = Fanout()
    fanout.event(event("warning"))
    fanout.close()
    assert (fanout.backlog, fanout.broken, fanout.deadline()) == (0, False, None)


def test_last_sink_is_closed_first() -> None:
    calls: list[tuple[object, ...]] = []
    Fanout([Recorder("a", calls), Recorder("b", calls)]).close()
    assert calls == [("b", "closed"), ("a", "closed")]


def test_sink_that_cannot_be_closed_leaves_no_other_open() -> None:
    class Stuck(Sink):
        def close(self) -> None:
            raise OSError("full")

    calls: list[tuple[object, ...]] = []
    with pytest.raises(OSError, match="full"):
        Fanout([Recorder("a", calls), Stuck()]).close()
    assert calls == [("a", "closed")]
