# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen of a command: events and output on this process's standard output and error."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ..._core import BACKLOG, Describer, LaunchError, TerminalSink, escape, make_prefix, wants_colour
from ..._job import Job, Running
from ..._result import Event
from .keyboard import Keyboard

PATIENCE = 2.0  # seconds without any event after which a person is told the reason
WAITING = "mlxlaunch: waiting for Ansible to read the inventory"


def say(text: str) -> None:
    """Print a line for a person on standard error, if that takes it; a host may have written a part of it."""
    say_described(escape(text))


def say_described(text: str) -> None:
    """Print the text of a Describer, which may have colours, as `say` does."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def print_for_programs(text: str) -> None:
    """Print on standard output, whose reader may have gone: `mlxlaunch check | head -1`.

    A path that is not UTF-8 is printed as it is for a program, and written out on a terminal.

    Args:
        text: without control characters, see `escape`.

    Raises:
        LaunchError: it cannot be written.
    """
    out = sys.stdout
    try:
        data = f"{text}\n".encode(out.encoding, "backslashreplace" if out.isatty() else "surrogateescape")
        out.flush()
        out.buffer.write(data)
        out.buffer.flush()
    except UnicodeEncodeError as exc:
        what = f"its encoding {exc.encoding} has no {exc.object[exc.start]!a}; set LC_ALL to a locale with UTF-8, or PYTHONUTF8=1"
        raise LaunchError(f"standard output cannot be written: {what}") from None
    except OSError as exc:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is left in the buffer
        if not isinstance(exc, BrokenPipeError):
            raise LaunchError(f"standard output cannot be written: {exc.strerror}") from None


def events_with_patience(
    job: Running, say: Callable[[str], None], sink: TerminalSink | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Event]:
    """Yield a job's events; when the first one takes long, say once that Ansible reads the inventory.

    Args:
        job: the job, deploy or check.
        say: prints a line.
        sink: the terminal, which wants its `tick` at its deadlines.
        clock: seconds.
    """
    patience: float | None = clock() + PATIENCE
    while True:
        deadline = sink.deadline() if sink and patience is None else patience
        try:
            event = job.next_event(None if deadline is None else max(0.0, deadline - clock()))
        except TimeoutError:
            if patience is not None:
                say(WAITING)
                patience = None
            elif sink:
                sink.tick(clock())
            continue
        if event is None:
            return
        patience = None
        yield event


def show_progress(work: Running, final: str, *, verbose: bool) -> None:
    """Show the events of a piece of work on standard error until its end, but the final one, which has its result."""
    describe = Describer(wants_colour(2), verbose)
    for event in events_with_patience(work, say):
        if event.event != final and (text := describe(event)):
            say_described(text)


class JobScreen:
    """Show a job: ranks' output as it comes, events as a person wants them.

    Args:
        job: the job.
        keyboard: hands standard input to it, and knows whether the terminal is raw.
        prefix: put rank and host before each line of output, whatever the job's settings say.
        verbose: show also the events of a job that goes well, in the same way.

    Attributes:
        stopping: whether the job is being ended.
    """

    def __init__(self, job: Job, keyboard: Keyboard, *, prefix: bool, verbose: bool) -> None:
        self._job = job
        self._keyboard = keyboard
        self.stopping = False
        self._gone = False
        self._hosts: dict[int, str] = {}
        self._taken = threading.Event()
        self._describer = Describer(wants_colour(2), verbose)
        self._sink = TerminalSink((1, 2), self._describe, None, self._on_taken)
        self._show_more(prefix, verbose)

    def show(self) -> int:
        """Show everything until the end; return the exit status."""
        for event in events_with_patience(self._job, say, self._sink):
            self._show(event)
        self._sink.close()
        result = self._job.wait()
        if result.run_dir is None:
            say(f"mlxlaunch: {result.message}; nothing was started")
        for unfit in self._sink.unfit():
            say(f"mlxlaunch: warning: {unfit}; the output is in {result.run_dir}")
        return result.returncode

    def _show(self, event: Event) -> None:
        if event.event == "job_started":
            self._show_more(bool(event.details.get("prefix")), bool(event.details.get("verbose")))
        if event.event == "rank_started" and event.rank is not None and event.host:
            self._hosts[event.rank] = event.host
        self.stopping = self.stopping or event.event == "job_stopping"
        if self.stopping or (event.event == "rank_exited" and event.rank == self._job.tty_rank):
            self._keyboard.release()
        self._sink.break_lines_by(b"\r\n" if self._keyboard.raw else b"\n")
        if event.event == "rank_output":
            self._sink.output(event, self._data(event))
        else:
            self._sink.event(event)
        self._wait_for_reader()

    def _show_more(self, prefix: bool, verbose: bool) -> None:
        """Show what a flag wants, or a setting of the job, which may be a variable of its inventory."""
        if verbose:
            self._describer = replace(self._describer, verbose=True)
        if prefix:
            self._sink.prefix_by(self._prefix(make_prefix(self._hosts, wants_colour(1))))

    def _prefix(self, of: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        """Return the function for the bytes before a line of (rank, stream): none on a rank's own terminal."""
        return lambda source: b"" if source[0] == self._job.tty_rank else of(source)

    def _describe(self, event: Event) -> str | None:
        """Return the text for an event; on a raw terminal, a newline does not return to the left."""
        text = self._describer(event)
        return text.replace("\n", "\r\n") + "\r" if text and self._keyboard.raw else text

    def _data(self, event: Event) -> bytes:
        return event.data.replace(b"\n", b"\r\n") if self._keyboard.raw and event.rank != self._job.tty_rank else event.data

    def _wait_for_reader(self) -> None:
        """Take no further events while the reader of our output, a terminal or a pipe, is behind."""
        while self._sink.backlog > BACKLOG and not self._sink.broken:
            self._taken.wait(1.0)
            self._taken.clear()

    def _on_taken(self) -> None:
        """Note that the reader has taken bytes, or has gone, which ends the job; called from a writer's thread.

        A job may have no further event for hours after the line that nobody took: only the writer knows in time.
        """
        self._taken.set()
        if self._sink.broken and not self._gone and self._job.running:
            self._gone = True  # once: a worker that has no use for it any more does not read it
            self._job.terminate(128 + signal.SIGPIPE, "nobody reads the output any more")
