"""Reports of progress: none at first, then now and then."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.progress import ProgressThrottle, doing
from tests.unit.controller.fleets import Clock, Events


def test_quick_work_is_not_reported() -> None:
    events, clock = Events(), Clock()
    throttle = ProgressThrottle(events, patience=2.0, every=10.0, clock=clock)
    clock.now += 1.9
    throttle.update("waiting for a")
    assert events.all == []


def test_long_work_is_reported_now_and_then() -> None:
    events, clock = Events(), Clock()
    throttle = ProgressThrottle(events, patience=2.0, every=10.0, clock=clock)
    for _second in range(25):
        clock.now += 1.0
        throttle.update(f"after {clock.now - 100:g} s", ["a"])
    assert [details["text"] for _host, details in events.of("waiting")] == ["after 2 s", "after 12 s", "after 22 s"]
    assert events.of("waiting")[0][1]["hosts"] == ["a"]


def test_text_names_four_hosts_and_the_first_news() -> None:
    text = doing("sending files to")
    assert text(["a"], {}) == "sending files to a"
    assert text(["a", "b", "c", "d", "e"], {"b": "10 of 20 files", "c": ""}) == "sending files to a, b, c, d and 1 more: 10 of 20 files"
