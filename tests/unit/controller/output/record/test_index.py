"""The places of output, as lines that cost less than the output."""

from __future__ import annotations

import json

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.record.index import OutputIndex, line_of
from tests.unit.readers import event, output


def spans(lines: bytes) -> list[tuple[int, str, int, int]]:
    found = map(json.loads, lines.splitlines())
    return [(line["rank"], line["stream"], line["offset"], line["length"]) for line in found]


def test_output_of_a_stream_becomes_one_line() -> None:
    index = OutputIndex()
    for at in range(0, 30, 3):
        index.add(output(0, "stdout", at), at, 3, 0.0)
        index.add(output(1, "stderr", 2 * at), 2 * at, 6, 0.0)
    assert spans(index.lines()) == [(0, "stdout", 0, 30), (1, "stderr", 0, 60)]
    assert (index.lines(), index.deadline()) == (b"", None)


def test_lines_of_a_stream_follow_one_another() -> None:
    index = OutputIndex()
    index.add(output(0), 0, 5, 0.0)
    first = index.lines()
    index.add(output(0), 5, 2, 1.0)
    assert spans(first + index.lines()) == [(0, "stdout", 0, 5), (0, "stdout", 5, 2)]


def test_lines_cost_less_than_tokens() -> None:
    """Half an hour of ten tokens a second on each of eight ranks."""
    index, cost, size = OutputIndex(), 0, 0
    for tenth in range(18_000):
        for rank in range(8):
            index.add(output(rank), size, 4, tenth / 10)
        size += 4
        due = index.deadline()
        if due is not None and tenth / 10 >= due:
            cost += len(index.lines())
    assert 0 < cost < 8 * size / 4


def test_line_is_due_soon_for_much_and_later_for_little() -> None:
    index = OutputIndex()
    index.add(output(0), 0, 1, 100.0)
    assert index.deadline() == 160.0
    index.add(output(0), 1, 5000, 100.5)
    assert index.deadline() == 101.0


def test_name_that_is_no_utf8_stays_json() -> None:
    assert json.loads(line_of(event("host_ready", cwd="/data/\udcff")))["cwd"] == "/data/\udcff"
