"""Lines of different ranks never mix, and nobody waits for a newline for long."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.line_merger import LineMerger

HOLD = 0.25
Step = tuple[float, str, bytes]


def prefix(source: Hashable) -> bytes:
    return f"[{source}] ".encode()


def merge(steps: list[Step], merger: LineMerger | None = None) -> list[bytes]:
    """Feed (time, source, bytes) and return what comes out at each step."""
    merger = merger or LineMerger(hold=HOLD)
    return [merger.feed(source, data, now) for now, source, data in steps]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([(0, "a", b"one\n")], [b"one\n"], id="a line"),
        pytest.param([(0, "a", b"1"), (0.1, "a", b"2"), (9, "a", b"3")], [b"1", b"2", b"3"], id="partial line passes at once"),
        pytest.param([(0, "a", b"10%\r"), (1, "a", b"20%\r"), (2, "a", b"100%\r\n")], [b"10%\r", b"20%\r", b"100%\r\n"], id="progress bar"),
        pytest.param([(0, "a", b"1"), (0.1, "b", b"x\n"), (0.2, "a", b"2\n")], [b"1", b"", b"2\nx\n"], id="others wait for the newline"),
        pytest.param([(0, "a", b"1"), (0.1, "b", b"x"), (0.2, "a", b"2\n3")], [b"1", b"", b"2\nx"], id="who waited in mid-line comes next"),
        pytest.param([(0, "a", b"1"), (0.1, "b", b"x\n"), (0.2, "a", b"2")], [b"1", b"", b"2"], id="owner goes on while others wait"),
        pytest.param([(0, "a", b"1"), (0, "b", b"x"), (0.3, "b", b"y\n")], [b"1", b"", b"\nxy\n"], id="line is broken after the hold"),
        pytest.param(
            [(0, "a", b"1"), (0, "b", b"x"), (0.3, "b", b"\n"), (0.4, "a", b"\n"), (0.5, "a", b"\n")],
            [b"1", b"", b"\nx\n", b"", b"\n"],
            id="newline after the break ends nothing",
        ),
        pytest.param(
            [(0, "a", b"1"), (0, "b", b"x"), (0.3, "c", b""), (0.4, "a", b"\n2\n"), (0.4, "b", b"\n")],
            [b"1", b"", b"\nx", b"", b"\n2\n"],
            id="newline after the break that waits itself",
        ),
        pytest.param([(0, "a", b"1"), (0, "b", b"x\n"), (9, "a", b"2\n")], [b"1", b"", b"2\nx\n"], id="newline that comes late but comes"),
        pytest.param([(0, "a", b"1"), (0, "b", b"x\n"), (9, "a", b"2")], [b"1", b"", b"2\nx\n"], id="more of a line, but no newline"),
        pytest.param(
            [(0, "a", b"1"), (0, "b", b"x\n"), (0, "c", b"y\n"), (0.1, "b", b"z\n"), (0.1, "a", b"\n")],
            [b"1", b"", b"", b"", b"\nx\nz\ny\n"],
            id="who waits keeps its order",
        ),
        pytest.param([(0, "a", b"a\nb"), (0, "b", b"x\n"), (0.1, "a", b"\n\n")], [b"a\nb", b"", b"\n\nx\n"], id="empty lines"),
        pytest.param([(0, "a", b""), (0, "b", b"x\n")], [b"", b"x\n"], id="nothing owns no line"),
        pytest.param(
            [(0, "a", b"\xe6\x97"), (0.1, "b", b"x\n"), (0.2, "a", b"\xa5\n")], [b"\xe6\x97", b"", b"\xa5\nx\n"], id="character cut in two"
        ),
    ],
)
def test_output_is_ordered_line_by_line(steps: list[Step], expected: list[bytes]) -> None:
    assert merge(steps) == expected


def test_waiting_line_breaks_in_when_its_hold_is_over() -> None:
    merger = LineMerger(hold=HOLD)
    merge([(0, "a", b"1"), (1.0, "b", b"x\n")], merger)
    assert merger.deadline() == 1.25
    assert merger.tick(1.24) == b""
    assert merger.tick(1.25) == b"\nx\n"
    assert merger.deadline() is None


def test_time_in_which_nobody_could_read_does_not_count() -> None:
    merger = LineMerger(hold=HOLD)
    merge([(0, "a", b"1"), (0, "b", b"x\n")], merger)
    merger.postpone(60)
    assert merger.deadline() == 60 + HOLD
    assert merger.feed("b", b"y\n", 60.1) == b""
    assert merger.feed("a", b"2\n", 60.2) == b"2\nx\ny\n"


def test_bytes_that_wait_are_counted() -> None:
    merger = LineMerger(hold=HOLD)
    merge([(0, "a", b"1"), (0, "b", b"xyz\n"), (0, "c", b"xy")], merger)
    assert merger.waiting == 6
    merger.finish()
    assert merger.waiting == 0


def test_nothing_is_due_when_nobody_waits() -> None:
    merger = LineMerger()
    merge([(0, "a", b"1")], merger)
    assert merger.deadline() is None
    assert merger.tick(100) == b""


def test_end_brings_all_that_waited() -> None:
    merger = LineMerger(hold=HOLD)
    merge([(0, "a", b"1"), (0, "b", b"x"), (0, "c", b"y\nz")], merger)
    assert merger.finish() == b"\ny\nx\nz"
    assert merger.finish() == b""


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([(0, "a", b"1\n2\n")], b"[a] 1\n[a] 2\n", id="each line"),
        pytest.param([(0, "a", b"1"), (0, "a", b"2\n"), (0, "a", b"3")], b"[a] 12\n[a] 3", id="once per line, however it is cut"),
        pytest.param([(0, "a", b"1"), (0, "a", b"\n"), (0, "a", b"\n")], b"[a] 1\n[a] \n", id="newline alone"),
        pytest.param([(0, "a", b"1"), (0, "b", b"x\n"), (0, "a", b"2\n")], b"[a] 12\n[b] x\n", id="two ranks"),
        pytest.param(
            [(0, "a", b"1"), (0, "b", b"x"), (1, "b", b"y\n"), (1, "a", b"2\n")], b"[a] 1\n[b] xy\n[a] 2\n", id="again after a break"
        ),
        pytest.param([(0, "a", b"10%\r20%\r\n")], b"[a] 10%\r20%\r\n", id="carriage returns"),
    ],
)
def test_prefix_stands_before_each_line(steps: list[Step], expected: bytes) -> None:
    assert b"".join(merge(steps, LineMerger(prefix, HOLD))) == expected


# -- whatever comes


@st.composite
def traffic(draw: st.DrawFn) -> list[Step]:
    """Bytes of three sources at growing times; each source has an alphabet of its own, so that its bytes can be told."""
    steps: list[Step] = []
    now = 0.0
    for source in draw(st.lists(st.sampled_from("abc"), max_size=25)):
        now += draw(st.sampled_from([0.0, 0.01, 0.1, 0.2, 0.5]))
        text = draw(st.text(alphabet=f"{source}{source.upper()}\n\r", max_size=8))
        steps.append((now, source, text.encode()))
    return steps


def run(steps: list[Step], merger: LineMerger, *, tick_always: bool) -> bytes:
    """Feed all; call tick as the gang does, when it is due, or only now and then."""
    out = b""
    for now, source, data in steps:
        due = merger.deadline()
        if tick_always and due is not None and due <= now:
            out += merger.tick(now)
        out += merger.feed(source, data, now)
    return out + merger.finish()


def letters(data: bytes, source: str) -> bytes:
    return bytes(byte for byte in data if chr(byte) in (source, source.upper()))


@given(traffic(), st.booleans())
def test_nothing_is_lost_and_nothing_invented_but_newlines(steps: list[Step], tick_always: bool) -> None:
    out = run(steps, LineMerger(hold=HOLD), tick_always=tick_always)
    for source in "abc":
        assert letters(out, source) == b"".join(letters(data, source) for _now, feeder, data in steps if feeder == source)
    given_bytes = b"".join(data for _now, _source, data in steps)
    assert out.count(b"\r") == given_bytes.count(b"\r")
    assert out.count(b"\n") >= given_bytes.count(b"\n")
    assert sorted(out.replace(b"\n", b"")) == sorted(given_bytes.replace(b"\n", b""))


@given(traffic(), st.booleans())
def test_no_line_has_bytes_of_two_sources(steps: list[Step], tick_always: bool) -> None:
    for line in run(steps, LineMerger(hold=HOLD), tick_always=tick_always).split(b"\n"):
        assert len({chr(byte).lower() for byte in line if byte != ord("\r")}) <= 1


@given(traffic())
def test_no_newline_is_invented_when_all_lines_end_in_time(steps: list[Step]) -> None:
    at_once = [(0.0, source, data) for _now, source, data in steps] + [(0.0, source, b"\n") for source in "abc"]
    out = run(at_once, LineMerger(hold=HOLD), tick_always=True)
    for source in "abc":
        lines = b"".join(data for _now, feeder, data in at_once if feeder == source).split(b"\n")
        assert [line for line in out.split(b"\n") if letters(line, source)] == [line for line in lines if letters(line, source)]
    assert out.count(b"\n") == sum(data.count(b"\n") for _now, _source, data in at_once)


@given(traffic(), st.booleans())
def test_each_line_has_the_prefix_of_its_source_once(steps: list[Step], tick_always: bool) -> None:
    out = run(steps, LineMerger(prefix, HOLD), tick_always=tick_always)
    for line in out.split(b"\n")[:-1]:
        assert line[:4] in (b"[a] ", b"[b] ", b"[c] ")
        assert letters(line[4:], chr(line[1])) == line[4:].replace(b"\r", b"")
        assert b"[" not in line[4:]


@given(traffic())
def test_one_source_passes_unchanged_and_at_once(steps: list[Step]) -> None:
    alone = [(now, "a", data) for now, _source, data in steps]
    assert merge(alone) == [data for _now, _source, data in alone]


@given(traffic())
def test_waiting_lines_have_a_deadline_within_the_hold(steps: list[Step]) -> None:
    merger = LineMerger(hold=HOLD)
    for now, source, data in steps:
        merger.tick(now)
        merger.feed(source, data, now)
        due = merger.deadline()
        assert due is None or now < due <= now + HOLD


def test_who_prints_nothing_breaks_no_line() -> None:
    merger = LineMerger(hold=HOLD)
    assert merge([(0, "a", b"1"), (0, "b", b""), (1, "b", b""), (2, "a", b"2\n")], merger) == [b"1", b"", b"", b"2\n"]


def test_open_line_is_broken_as_the_terminal_wants_it() -> None:
    merger = LineMerger(hold=1.0)
    merger.newline = b"\r\n"
    assert merger.feed("a", b"one", 0.0) + merger.feed("b", b"two\n", 0.5) == b"one"
    assert merger.tick(2.0) == b"\r\ntwo\n"
    assert merger.feed("a", b"\r\nthree\r\n", 2.1) == b"three\r\n"
