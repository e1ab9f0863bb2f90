"""Events on their way from the thread that reads them to the one that iterates."""

from __future__ import annotations

import threading

import pytest

from mlxlaunch_ansible import Event
from mlxlaunch_ansible._streams.buffer import EventBuffer

PATIENCE = 60.0


def output(data: bytes) -> Event:
    return Event("rank_output", "j1", 0.0, "mac-1", 0, data)


def putting(buffer: EventBuffer, *events: Event) -> threading.Thread:
    """Put events in another thread, which may have to wait."""
    thread = threading.Thread(target=lambda: [buffer.put(event) for event in events], daemon=True)
    thread.start()
    return thread


def test_events_come_out_in_order_and_then_the_end() -> None:
    buffer = EventBuffer()
    events = [output(b"1"), output(b"2")]
    for event in events:
        buffer.put(event)
    buffer.close()
    assert [buffer.get(PATIENCE) for _ in range(4)] == [*events, None, None]


def test_wait_has_a_limit() -> None:
    with pytest.raises(TimeoutError):
        EventBuffer().get(0)


def test_full_buffer_waits_for_its_consumer_and_loses_nothing() -> None:
    buffer = EventBuffer(limit=10)
    events = [output(b"%d" % number * 8) for number in range(5)]
    thread = putting(buffer, *events)
    assert [buffer.get(PATIENCE) for _ in events] == events
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_full_buffer_drops_events_once_it_may() -> None:
    buffer = EventBuffer(limit=10)
    thread = putting(buffer, output(b"first" * 8), output(b"second" * 8), output(b"third" * 8))
    buffer.allow_drop()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    buffer.close()
    assert buffer.get(PATIENCE) == output(b"third" * 8)


def test_consumer_that_has_begun_loses_nothing() -> None:
    buffer = EventBuffer(limit=10)
    events = [output(b"%d" % number * 8) for number in range(5)]
    buffer.put(events[0])
    assert buffer.get(PATIENCE) == events[0]
    buffer.allow_drop()
    thread = putting(buffer, *events[1:])
    assert [buffer.get(PATIENCE) for _ in events[1:]] == events[1:]
    thread.join(PATIENCE)
    assert not thread.is_alive()
