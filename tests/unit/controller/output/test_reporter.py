"""Events are made in one place, with the job's id and the time."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.reporter import Reporter
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.sinks import Sink
from tests.unit.readers import Clock


class Kept(Sink):
    """Keeps everything it is sent."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.payloads: list[bytes] = []

    def event(self, event: Event) -> None:
        self.events.append(event)

    def output(self, event: Event, payload: bytes) -> None:
        self.events.append(event)
        self.payloads.append(payload)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_event_has_job_time_and_details(kept: Kept) -> None:
    Reporter("j1", kept, Clock()).emit("warning", "mac-1", text="careful")
    assert kept.events == [Event("warning", "j1", 1000.0, "mac-1", None, details={"text": "careful"})]


def test_event_may_be_about_the_whole_job(kept: Kept) -> None:
    Reporter("j1", kept, Clock()).emit("job_started", world_size=1, hosts=["a"])
    assert kept.events[0].to_json() == {
        "event": "job_started", "job": "j1", "time": 1000.0, "host": None, "rank": None, "world_size": 1, "hosts": ["a"]
    }  # fmt: skip


def test_output_has_its_place_in_the_stream(kept: Kept) -> None:
    Reporter("j1", kept, Clock()).output("mac-1", 3, "stderr", 7, b"oops")
    details = {"stream": "stderr", "offset": 7, "length": 4}
    assert kept.events == [Event("rank_output", "j1", 1000.0, "mac-1", 3, b"oops", details)]
    assert kept.payloads == [b"oops"]


def test_unknown_kind_is_an_error_and_is_not_sent(kept: Kept) -> None:
    with pytest.raises(ValueError, match="job_launched"):
        Reporter("j1", kept).emit("job_launched")
    assert kept.events == []
