"""Where output and events go: a terminal, a record on disk, Ansible's display."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils import _sinks
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._sinks import (
    DisplaySink,
    RunDir,
    TerminalSink,
    Writer,
    default_log_dir,
    log_path,
)


class Woken:
    """Counts the calls of `wake`, and waits for one."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self) -> None:
        self.event.set()

    def wait(self) -> None:
        assert self.event.wait(10)
        self.event.clear()


class Pipe:
    """A pipe whose reading end may go away."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self._open = {self.read, self.write}

    def close(self, *fds: int) -> None:
        for fd in self._open & set(fds or (self.read, self.write)):
            os.close(fd)
            self._open.remove(fd)

    def content(self) -> bytes:
        """Return all that was written; nobody writes any more."""
        self.close(self.write)
        with os.fdopen(self.read, "rb") as stream:
            self._open.clear()
            return stream.read()


class Clock:
    """Time that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the sinks a clock."""
    made = Clock()
    monkeypatch.setattr(_sinks, "time", made)
    return made


@pytest.fixture
def pipes() -> Iterator[tuple[Pipe, Pipe]]:
    both = (Pipe(), Pipe())
    yield both
    for pipe in both:
        pipe.close()


def output(rank: int = 0, stream: str = "stdout", offset: int = 0) -> dict[str, Any]:
    return {"event": "rank_output", "host": "a", "rank": rank, "stream": stream, "offset": offset}


def event(name: str, **details: Any) -> dict[str, Any]:
    return {"event": name, "job": "j1", "host": None, "rank": None, **details}


def say(happened: dict[str, Any]) -> str | None:
    """Describe as a Describer would: some events have no words."""
    return happened.get("text")


def waits_for(reader: threading.Event) -> Callable[[bytes], None]:
    """Return a way to write that takes as long as the reader."""

    def write(_data: bytes) -> None:
        reader.wait()

    return write


# -- the writer


def test_writer_writes_all_in_order_before_it_closes() -> None:
    written: list[bytes] = []
    writer = Writer(written.append, Woken())
    for number in range(100):
        writer.put(b"%d," % number)
    writer.put(b"")
    writer.close()
    assert b"".join(written) == b"".join(b"%d," % number for number in range(100))
    assert (writer.size, writer.broken) == (0, False)


def test_writer_counts_what_its_reader_has_not_taken() -> None:
    may_write, woken = threading.Event(), Woken()
    writer = Writer(waits_for(may_write), woken)
    writer.put(b"12345")
    assert writer.size == 5
    may_write.set()
    woken.wait()
    assert writer.size == 0
    writer.close()


def test_writer_tells_for_how_long_its_reader_has_been_behind(clock: Clock) -> None:
    may_write, woken = threading.Event(), Woken()
    writer = Writer(waits_for(may_write), woken)
    clock.now += 1
    assert writer.behind() == 0
    writer.put(b"1")
    clock.now += 2
    assert writer.behind() == 2
    writer.put(b"2")
    clock.now += 3
    may_write.set()
    while writer.size:
        woken.wait()
    clock.now += 4
    assert [writer.behind(), writer.behind()] == [3, 0]
    writer.close()


def test_writer_whose_reader_is_gone_is_broken_and_keeps_nothing() -> None:
    def fail(_data: bytes) -> None:
        raise BrokenPipeError

    woken = Woken()
    writer = Writer(fail, woken)
    writer.put(b"lost")
    woken.wait()
    writer.put(b"lost as well")
    assert (writer.broken, writer.size) == (True, 0)
    writer.close()


def test_writer_closes_in_bounded_time_though_its_reader_takes_nothing() -> None:
    reader = threading.Event()
    writer = Writer(waits_for(reader), Woken())
    writer.put(b"x")
    writer.close(patience=0.01)
    assert writer.size == 1
    reader.set()
    writer.close()
    assert writer.size == 0


# -- the terminal


def terminal(*fds: int, prefix: Callable[[Any], bytes] | None = None, wake: Callable[[], None] = Woken()) -> TerminalSink:  # noqa: B008
    return TerminalSink((fds[0], fds[1]), say, prefix, wake)


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


def test_line_on_stderr_does_not_break_one_on_stdout_that_goes_elsewhere(pipes: tuple[Pipe, Pipe]) -> None:
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
    sink.event(event("nothing to say"))
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
def stalled(pipes: tuple[Pipe, Pipe], clock: Clock) -> Iterator[tuple[TerminalSink, Callable[[], None]]]:
    """Give a terminal whose reader has stopped reading in the middle of rank 0's line, while a line of rank 1 waits.

    With it comes a function: the reader goes on until it has everything.
    """
    out, err = pipes
    woken = Woken()
    sink = terminal(out.write, err.write, wake=woken)

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
    for _look in range(20):
        due = sink.deadline()
        assert due is not None
        assert due > clock.now, "a loop would run without a pause"
        clock.now = due
        sink.tick(clock.now)
    go_on()
    sink.output(output(1), b"and other\n")
    sink.output(output(0), b"line\n")
    sink.close()
    assert pipes[0].content() == b"line\nother\nand other\n"


def test_line_is_broken_when_the_reader_has_caught_up_and_nothing_has_come(
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


def test_what_waits_for_a_line_counts_only_while_the_reader_is_behind(stalled: tuple[TerminalSink, Callable[[], None]]) -> None:
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


def test_terminal_that_does_not_block_is_not_broken_when_it_is_full(pipes: tuple[Pipe, Pipe]) -> None:
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


# -- the record


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[RunDir]:
    made = RunDir(tmp_path / "runs" / "j1")
    yield made
    made.close()


def events(run_dir: RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir.path / "events.jsonl").read_text().splitlines()]


def test_record_has_events_and_a_log_per_stream(run_dir: RunDir) -> None:
    run_dir.event(event("rank_started", rank=0))
    run_dir.output(output(0, "stdout", 0), b"out\xff\n")
    run_dir.output(output(0, "stderr", 0), b"err\n")
    run_dir.output(output(0, "stdout", 5), b"more")
    assert (run_dir.log(0, "stdout").read_bytes(), run_dir.log(0, "stderr").read_bytes()) == (b"out\xff\nmore", b"err\n")
    assert [line["event"] for line in events(run_dir)] == ["rank_started", "rank_output", "rank_output", "rank_output"]
    assert events(run_dir)[3]["offset"] == 5


def test_rank_that_printed_nothing_has_empty_logs(run_dir: RunDir) -> None:
    run_dir.event(event("rank_started", rank=3))
    assert [run_dir.log(3, stream).read_bytes() for stream in ("stdout", "stderr")] == [b"", b""]


def test_record_is_for_its_user_only(run_dir: RunDir) -> None:
    run_dir.event(event("rank_started", rank=0))
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (run_dir.path, *run_dir.path.rglob("*"))}
    assert set(modes.values()) == {0o700, 0o600}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items())


def test_record_of_another_job_is_not_written_over(run_dir: RunDir) -> None:
    with pytest.raises(FileExistsError):
        RunDir(run_dir.path)


def test_record_that_cannot_be_written_does_not_end_the_job(run_dir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir.event(event("rank_started", rank=0))

    def full(_fd: int, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_sinks, "_write_all", full)
    run_dir.output(output(), b"lost")
    assert run_dir.failed
    assert run_dir.failed.errno == errno.ENOSPC
    assert (run_dir.broken, run_dir.backlog, run_dir.deadline()) == (False, 0, None)
    run_dir.tick(0)


def test_log_that_cannot_be_made_does_not_end_the_job(run_dir: RunDir) -> None:
    (run_dir.path / "0").write_text("in the way")
    run_dir.event(event("rank_started", rank=0))
    assert run_dir.failed


def test_event_with_a_name_that_is_no_utf8_is_recorded(run_dir: RunDir) -> None:
    run_dir.event(event("host_ready", host="a", cwd="/data/\udcff"))
    assert events(run_dir)[0]["event"] == "host_ready"


def test_message_with_a_name_that_is_no_utf8_is_shown(pipes: tuple[Pipe, Pipe]) -> None:
    out, err = pipes
    sink = terminal(out.write, err.write)
    try:
        sink.event(event("warning", text="/data/\udcff is not there"))
    finally:
        sink.close()
    assert b"is not there" in err.content()


def test_output_of_a_rank_whose_start_was_not_told_is_recorded(run_dir: RunDir) -> None:
    run_dir.output(output(0), b"from a recovery")
    assert run_dir.log(0, "stdout").read_bytes() == b"from a recovery"


def test_log_path_is_told_without_a_record() -> None:
    assert log_path(Path("/runs/j1"), 3, "stderr") == Path("/runs/j1/3/stderr.log")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/state"}, Path("/state/mlxlaunch/runs")),
        ({}, Path.home() / ".local/state/mlxlaunch/runs"),
        ({"XDG_STATE_HOME": ""}, Path.home() / ".local/state/mlxlaunch/runs"),
    ],
)
def test_record_is_in_the_users_state_directory(environ: dict[str, str], expected: Path) -> None:
    assert default_log_dir(environ) == expected


# -- Ansible's display


def test_display_gets_text_with_split_characters_put_together() -> None:
    shown: list[str] = []
    sink = DisplaySink(lambda text, newline: shown.append(text), say, None)
    sink.output(output(), b"\xe6\x97")
    sink.output(output(), b"\xa5\n\xff\n")
    sink.event(event("warning", text="careful"))
    sink.output(output(), b"half \xe6")
    sink.close()
    assert "".join(shown) == "日\n\ufffd\ncareful\nhalf \ufffd"


def test_display_breaks_a_line_when_another_has_waited() -> None:
    shown: list[str] = []
    sink = DisplaySink(lambda text, newline: shown.append(text), say, None)
    sink.output(output(0), b"1")
    sink.output(output(1), b"x\n")
    due = sink.deadline()
    assert due is not None
    sink.tick(due)
    assert shown == ["1", "\nx\n"]


def test_display_that_takes_its_time_breaks_no_line(clock: Clock) -> None:
    shown: list[str] = []

    def show(text: str, newline: bool) -> None:
        shown.append(text)
        clock.now += 60

    sink = DisplaySink(show, say, None)
    sink.output(output(0), b"x\none ")
    sink.output(output(1), b"other\n")
    sink.output(output(0), b"and the same ")
    sink.output(output(2), b"another\n")
    sink.output(output(0), b"line\n")
    sink.close()
    assert "".join(shown) == "x\none and the same line\nother\nanother\n"


def test_display_that_ends_every_piece_with_a_newline_gets_whole_lines_only() -> None:
    shown: list[str] = []
    sink = DisplaySink(lambda text, newline: shown.append(text), lambda _event: None, None, whole_lines=True)
    for piece in (b"up", b" ", b"3", b"\nand", b" on"):
        sink.output(output(), piece)
    assert shown == ["up 3\n"]
    sink.close()
    assert shown == ["up 3\n", "and on"]
