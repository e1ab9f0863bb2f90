"""The launching process's own terminal, or the files in its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.terminal_sink import TerminalSink
from tests.unit.readers import Clock, Pipe, Woken, event, look_often, output, text_of


@pytest.fixture
def pipes() -> Iterator[tuple[Pipe, Pipe]]:
    both = (Pipe(), Pipe())
    yield both
    for pipe in both:
        pipe.close()


def terminal(*fds: int, **options: Any) -> TerminalSink:
    return TerminalSink((fds[0], fds[1]), text_of, options.pop("prefix", None), options.pop("wake", Woken()), **options)


def test_stdout_and_stderr_stay_apart_and_bytes_stay_bytes(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    sink = terminal(out.write, err.write)
    sink.output(output(stream="stdout"), b"\xff\x00\r\n")
    sink.output(output(stream="stderr"), b"oops")
    sink.close()
    assert (out.content(), err.content()) == (b"\xff\x00\r\n", b"oops")


def test_lines_do_not_mix_when_both_go_to_one_place(pipes: tuple[Pipe, Pipe]) -> None:
    pipe, _unused = pipes
    sink = terminal(pipe.write, pipe.write)
    sink.output(output(0), b"one ")
    sink.output(output(1, "stderr"), b"other\n")
    sink.output(output(0), b"line\n")
    sink.close()
    assert sorted(pipe.content().splitlines()) == [b"one line", b"other"]


def test_stderr_breaks_no_line_of_a_stdout_that_goes_elsewhere(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    sink = terminal(out.write, err.write)
    sink.output(output(0), b"one ")
    sink.output(output(1, "stderr"), b"other\n")
    assert sink.deadline() is None
    sink.close()
    assert (out.content(), err.content()) == (b"one ", b"other\n")


def test_messages_go_to_stderr_in_lines_of_their_own(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    sink = terminal(out.write, err.write)
    sink.output(output(0, "stderr"), b"10%")
    sink.event(event("warning", text="careful"))
    sink.event(event("rank_exited"))
    sink.close()
    assert (out.content(), err.content()) == (b"", b"10%\ncareful\n")


def test_waiting_line_is_written_when_its_time_has_come(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    woken = Woken()
    sink = terminal(out.write, err.write, wake=woken)
    sink.output(output(0), b"1")
    woken.wait()  # its time begins when the reader has taken what is before it
    sink.output(output(1), b"x\n")
    due = sink.deadline()
    assert due is not None
    sink.tick(due)
    assert sink.deadline() is None
    sink.close()
    assert out.content() == b"1\nx\n"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stalled(pipes: tuple[Pipe, Pipe], clock: Clock) -> Iterator[tuple[TerminalSink, Callable[[], None]]]:
    """Give a terminal whose reader has stopped reading in the middle of rank 0's line, while a line of rank 1 waits.

    With it comes a function: the reader goes on until it has everything.
    """
    out, err = pipes
    woken = Woken()
    sink = terminal(out.write, err.write, wake=woken, clock=clock)

    def go_on() -> None:
        left = sum(writer.size for writer, _merger in sink._places)
        while left:
            left -= len(os.read(out.read, left))
        while sink.backlog:
            woken.wait()

    sink.output(output(0), b"x" * 1_000_000 + b"\none ")
    sink.output(output(1), b"other\n")
    yield sink, go_on
    if sink.backlog:
        go_on()
    sink.close()


def test_no_line_is_broken_while_the_reader_takes_nothing(
    stalled: tuple[TerminalSink, Callable[[], None]], pipes: tuple[Pipe, Pipe], clock: Clock
) -> None:
    sink, go_on = stalled
    look_often(sink, clock)
    go_on()
    sink.output(output(1), b"and other\n")
    sink.output(output(0), b"line\n")
    sink.close()
    assert pipes[0].content() == b"line\nother\nand other\n"


def test_line_is_broken_when_the_reader_has_caught_up(
    stalled: tuple[TerminalSink, Callable[[], None]], pipes: tuple[Pipe, Pipe], clock: Clock
) -> None:
    sink, go_on = stalled
    clock.now += 60
    go_on()
    due = sink.deadline()
    assert due is not None
    assert clock.now < due < clock.now + 1
    sink.tick(due)
    sink.close()
    assert pipes[0].content() == b"\nother\n"


def test_waiting_lines_count_only_while_the_reader_is_behind(stalled: tuple[TerminalSink, Callable[[], None]]) -> None:
    """Not after that: it waits for the rest of the line, which has to be let in."""
    sink, go_on = stalled
    assert sink.backlog == 1_000_005 + 6
    sink.output(output(1), bytes(5_000))
    assert sink.backlog == 1_000_005 + 5_006
    go_on()
    assert sink.backlog == 0


def test_prefix_goes_before_each_line_of_a_rank(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    sink = terminal(out.write, err.write, prefix=lambda source: b"[%d] " % source[0])
    sink.output(output(1), b"a\nb\n")
    sink.close()
    assert (out.content(), err.content()) == (b"[1] a\n[1] b\n", b"")


def test_terminal_whose_reader_is_gone_is_broken(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    woken = Woken()
    sink = terminal(out.write, err.write, wake=woken)
    assert not sink.broken
    out.close(out.read)
    sink.output(output(), b"nobody reads this")
    woken.wait()
    assert (sink.broken, sink.backlog) == (True, 0)
    sink.close()


def test_slow_terminal_shows_as_backlog(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    sink = terminal(out.write, err.write)
    sink.output(output(), bytes(1_000_000))
    assert sink.backlog == 1_000_000
    read = 0
    while read < 1_000_000:
        read += len(os.read(out.read, 65536))
    sink.close()
    assert sink.backlog == 0


def test_full_nonblocking_terminal_is_not_broken(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    os.set_blocking(out.write, False)
    sink = terminal(out.write, err.write)
    sink.output(output(), bytes(1_000_000))
    read = 0
    while read < 1_000_000:
        read += len(os.read(out.read, 65536))
    # Its thread must be at its end: it would go on writing to whatever gets the pipe's number next.
    sink.close()
    assert (sink.broken, sink.backlog) == (False, 0)


def test_message_with_a_name_that_is_no_utf8_is_shown(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    sink = terminal(out.write, err.write)
    try:
        sink.event(event("warning", text="/data/\udcff is not there"))
    finally:
        sink.close()
    assert b"is not there" in err.content()


def test_place_that_takes_nothing_is_named_with_the_reason(pipes: tuple[Pipe, Pipe]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    sink = terminal(full, pipes[1].write)
    sink.output(output(0, "stdout"), b"lost\n")
    sink.close()
    os.close(full)
    assert (sink.unfit(), sink.broken) == (["standard output could not be written: No space left on device"], False)
