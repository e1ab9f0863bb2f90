"""The screen: patience with Ansible, and a job's output and events."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.terminal_sink import TerminalSink
from mlxlaunch_ansible import Event, Job, LaunchError
from mlxlaunch_ansible.commands.terminal import screen
from mlxlaunch_ansible.commands.terminal.screen import PATIENCE, WAITING, JobScreen, events_with_patience
from tests.support.waiting import wait_until
from tests.unit.package.sessions import Stage, staged


def event(name: str) -> Event:
    return Event(name, "j1", 0.0, None, None)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class ScriptedJob:
    """A job whose events come after so many seconds of a clock; None is its end."""

    def __init__(self, clock: Clock, *script: tuple[float, Event | None]) -> None:
        self._clock = clock
        self._script = [(clock.now + at, event) for at, event in script]

    def next_event(self, timeout: float | None) -> Event | None:
        at, event = self._script[0]
        if timeout is not None and self._clock.now + timeout < at:
            self._clock.now += timeout
            raise TimeoutError
        self._clock.now = max(self._clock.now, at)
        self._script.pop(0)
        return event


class Sink:
    """The part of a terminal that has deadlines: `tick` is due every half second while a line is open."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ticks: list[float] = []

    def deadline(self) -> float | None:
        return self._clock.now + 0.5 if len(self.ticks) < 2 else None

    def tick(self, now: float) -> None:
        self.ticks.append(now)


def heard(*script: tuple[float, Event | None], sink: bool = False) -> tuple[list[str], list[str], list[float]]:
    """Return names of events, the lines for a person, and when the sink had a tick."""
    clock, said = Clock(), list[str]()
    terminal: Any = Sink(clock) if sink else None
    job: Any = ScriptedJob(clock, *script)
    events = [event.event for event in events_with_patience(job, said.append, terminal, clock)]
    return events, said, terminal.ticks if terminal else []


@pytest.mark.parametrize(
    ("first", "lines"),
    [(PATIENCE - 0.1, []), (PATIENCE + 0.1, [WAITING]), (1000.0, [WAITING])],
)
@pytest.mark.parametrize("sink", [False, True])
def test_first_event_that_takes_long_is_explained_once(first: float, lines: list[str], sink: bool) -> None:
    events, said, _ticks = heard((first, event("a")), (first + 1000, event("b")), (first + 2000, None), sink=sink)
    assert (events, said) == (["a", "b"], lines)


def test_job_that_ends_without_events_yields_none() -> None:
    assert heard((0.0, None))[:2] == ([], [])


def test_sink_has_its_ticks_when_they_are_due() -> None:
    assert heard((0.0, event("a")), (10.0, None), sink=True)[2] == [100.5, 101.0]


# -- a job


class NoKeyboard:
    raw = False
    released = 0

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as stage:
        yield stage


def shown(stage: Stage, keyboard: NoKeyboard, *, prefix: bool = False, by_setting: bool = False) -> int:
    worker = stage.worker()
    worker.event("job_started", world_size=1, hosts=["mac-1"], prefix=by_setting, verbose=by_setting)
    worker.event("rank_started", rank=0, host="mac-1", pid=7)
    worker.output(b"loss 1\n")
    worker.event("job_stopping", cause="rank_failed", text="rank 0 on mac-1 exited with code 7")
    stage.finish(worker, returncode=7, message="rank 0 exited with code 7")
    return JobScreen(Job(stage.session), keyboard, prefix=prefix, verbose=False).show()  # type: ignore[arg-type]


@pytest.mark.parametrize(("prefix", "line"), [(False, "loss 1\n"), (True, "[0 mac-1] loss 1\n")])
def test_output_is_shown_and_the_status_returned(stage: Stage, prefix: bool, line: str, capfd: pytest.CaptureFixture[str]) -> None:
    keyboard = NoKeyboard()
    assert shown(stage, keyboard, prefix=prefix) == 7
    said = capfd.readouterr()
    assert said.out == line
    assert "mlxlaunch: rank 0 on mac-1 exited with code 7; ending the other ranks\n" in said.err
    assert keyboard.released


def test_settings_of_the_job_count_without_a_flag(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """They may be variables of the inventory."""
    assert shown(stage, NoKeyboard(), by_setting=True) == 7
    said = capfd.readouterr()
    assert said.out == "[0 mac-1] loss 1\n"
    assert "mlxlaunch: rank 0 runs on mac-1, process 7\n" in said.err


def test_raw_terminal_gets_whole_line_ends(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    keyboard = NoKeyboard()
    keyboard.raw = True
    assert shown(stage, keyboard) == 7
    said = capfd.readouterr()
    assert said.out == "loss 1\r\n"
    assert "ending the other ranks\r\n" in said.err


def test_job_that_never_began_says_so(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    job = Job(stage.session)
    job.terminate(130, "interrupted by SIGINT")
    assert JobScreen(job, NoKeyboard(), prefix=False, verbose=False).show() == 130  # type: ignore[arg-type]
    assert capfd.readouterr().err == "mlxlaunch: interrupted by SIGINT; nothing was started\n"


def test_reader_that_goes_when_no_event_comes_any_more_ends_the_job(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank may say nothing for hours after the line that nobody took."""
    reader, output = os.pipe()
    os.set_blocking(output, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(output, bytes(4096))
    monkeypatch.setattr(screen, "TerminalSink", lambda _fds, *rest: TerminalSink((output, 2), *rest))
    worker = stage.worker()
    worker.event("job_started", world_size=1, hosts=["mac-1"])
    worker.output(b"loss 1\n")
    shown = JobScreen(Job(stage.session), NoKeyboard(), prefix=False, verbose=False)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as pool:
        status = pool.submit(shown.show)
        wait_until(lambda: shown._sink.backlog > 0, "the line waits for its reader")
        os.close(reader)
        try:
            frame = worker.receive()
        finally:
            stage.finish(worker, returncode=141)
        assert (frame.kind, frame.json()["returncode"]) == (wire.STOP, 141)
        assert status.result(20) == 141
    os.close(output)


def test_reader_that_has_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced: list[int] = []

    class Gone(io.BytesIO):
        def write(self, _data: Any) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Gone()))
    monkeypatch.setattr(screen.os, "dup2", lambda _new, fd: replaced.append(fd))
    screen.print_for_programs("{}")
    assert replaced == [1]


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "encoding", "errors", "printed"),
    [
        (io.BytesIO, "utf-8", "strict", b"/caf\xe9/\xc3\xa9\n"),
        (io.BytesIO, "utf-8", "surrogateescape", b"/caf\xe9/\xc3\xa9\n"),
        (Terminal, "utf-8", "strict", b"/caf\\udce9/\xc3\xa9\n"),
        (Terminal, "utf-8", "surrogateescape", b"/caf\\udce9/\xc3\xa9\n"),
        (Terminal, "ascii", "strict", b"/caf\\udce9/\\xe9\n"),
    ],
)
def test_path_that_is_no_utf8_is_printed(
    out: type[io.BytesIO], encoding: str, errors: str, printed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program gets its bytes. A terminal might act on them."""
    place = out()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(place, encoding, errors))
    screen.print_for_programs("/caf\udce9/é")
    assert place.getvalue() == printed


def test_line_with_a_text_of_a_host_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    screen.say("mlxlaunch: a: \x1b]52;c;x\x07 \udc9b2J")
    assert capsys.readouterr().err == "mlxlaunch: a: \\x1b]52;c;x\\x07 \\udc9b2J\n"


def test_text_that_a_program_cannot_be_given_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    with pytest.raises(LaunchError, match=r"^standard output cannot be written: its encoding ascii has no '\\xe9'; set LC_ALL to a locale"):
        screen.print_for_programs("é")
