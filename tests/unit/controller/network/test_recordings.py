"""Recordings written by hand after public reports, and what becomes of them; the identifiers are invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import network

RECORDINGS = Path(__file__).parents[3] / "recordings" / "network"


def looked(name: str, **options: Any) -> dict[str, Any]:
    found = network(replay=RECORDINGS / name, **options).network
    assert found is not None
    return dict(found)


def cables(found: dict[str, Any]) -> list[tuple[str, str, float]]:
    return [(*(f"{end['host']} {end['interface']}" for end in cable["ends"]), cable["speed"]) for cable in found["cables"]]


def kinds(found: dict[str, Any]) -> set[str]:
    return {finding["kind"] for finding in found["findings"]}


@pytest.mark.parametrize(
    ("name", "backend", "expected", "findings"),
    [
        ("laptop-and-studio", "ring", [("laptop en1", "studio en3", 80)], {"rdma_disabled"}),
        (
            "direct-and-through-an-enclosure",
            "jaccl",
            [("studio en6", "laptop en3", 40), ("studio en7", "laptop en2", 80)],
            {"rdma_speed", "unused", "studio_port"},
        ),
        ("second-port-is-en6", "jaccl", [("left en6", "right en6", 80)], {"bridged", "wifi"}),
        ("thunderbolt-4", "ring", [("one en2", "two en1", 40)], {"rdma_speed", "rdma_system", "bridged", "dhcp"}),
    ],
)
def test_recording_gives_its_plan(name: str, backend: str, expected: list[Any], findings: set[str]) -> None:
    found = looked(name, over="thunderbolt")
    assert (found["message"], found["plan"]["backend"]) == (found["message"], backend)
    assert cables(found) == expected
    assert findings <= kinds(found)


def test_enclosure_between_is_named() -> None:
    found = looked("direct-and-through-an-enclosure")
    assert [cable["through"] for cable in found["cables"]] == [["ThunderBay Flex 8"], []]
    assert [cable["rdma"] for cable in found["cables"]] == [False, True]


def test_hosts_without_cables_meet_over_ethernet() -> None:
    found = looked("nothing-to-connect", ignore_unreachable=True)
    assert (found["returncode"], found["plan"]["over"]) == (0, "ethernet")
    assert [rank["ips"] for rank in found["plan"]["ranks"]] == [["198.51.100.31"], ["198.51.100.32"], ["198.51.100.33"]]
    assert looked("nothing-to-connect")["returncode"] == 3


@pytest.mark.parametrize("name", sorted(path.name for path in RECORDINGS.iterdir()))
def test_every_recording_is_shown_within_80_columns(name: str) -> None:
    assert max(len(line) for line in network(replay=RECORDINGS / name).text.splitlines()) <= 80
