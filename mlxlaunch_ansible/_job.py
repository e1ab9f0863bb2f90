# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running job: events as they come, its result, and the ways to end it."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from ._core import LaunchError, wire
from ._result import Event, JobResult
from ._session import Cancellation, Session


class JobFailed(LaunchError):
    """A job did not return 0; `result` has the details, and the text repeats nothing that was already shown."""

    def __init__(self, result: JobResult) -> None:
        super().__init__(f"{result.message} (exit status {result.returncode}); logs: {result.run_dir}")
        self.result = result


class Running:
    """A job, deploy or check that was started: its events, and the ways to end it.

    Iterate over it for its events, from one thread. All other methods may be called from any thread.

    Args:
        session: the session, started.

    Attributes:
        job: the id.
    """

    def __init__(self, session: Session) -> None:
        self.job = session.request.job
        self._session = session

    def __iter__(self) -> Iterator[Event]:
        """Yield events until the job is over. A slow consumer slows down nothing but its own view."""
        while True:
            event = self.next_event()
            if event is None:
                return
            yield event

    def next_event(self, timeout: float | None = None) -> Event | None:
        """Return the next event, waiting up to `timeout` seconds (None: for ever); None at the end of the job.

        Raises:
            TimeoutError: none came in time.
        """
        return self._session.buffer.get(timeout)

    def outcome(self, timeout: float | None = None) -> Event:
        """Wait for the end and return the last event, which has the result; raises as `wait`."""
        self._session.wait(timeout)
        return self._session.last_event()

    @property
    def running(self) -> bool:
        """Whether the job is not over yet."""
        return not self._session.over

    def terminate(self, returncode: int = 143, message: str = "terminated") -> None:
        """End the job: TERM to every rank, KILL after the grace. Returns at once; `wait` for the end.

        Args:
            returncode: the job's exit status.
            message: why, for the record.
        """
        self._session.cancel(Cancellation(wire.STOP, returncode, message))

    def kill(self, returncode: int = 137, message: str = "killed") -> None:
        """End the job without grace."""
        self._session.cancel(Cancellation(wire.KILL, returncode, message))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the job if it still runs, and wait until nothing of it is left."""
        if self.running:
            self.terminate()
        self._session.wait_until_over()


class Job(Running):
    """A job that was started; see `start_job`.

    Iterate over it for its events, from one thread. `wait`, `terminate`, `kill` and `write` may be called from any
    other.
    """

    def wait(self, timeout: float | None = None) -> JobResult:
        """Wait for the end of the job and return its result.

        Args:
            timeout: seconds; None waits for ever. The job goes on when it passes.

        Raises:
            TimeoutError: the job is not over yet.
            UsageError: the job could not be started: inventory, hostfile or settings are wrong.
            LaunchError: the launch itself broke; its text has Ansible's reason.
        """
        self._session.wait(timeout)
        early = self._session.cancelled_early
        if early:
            return JobResult(early.returncode, self.job, "interrupted", early.message, {}, None, {}, 0.0, None)
        return JobResult.from_event(self._session.last_event())

    # -- standard input, for the ranks that the setting `stdin` names

    def write(self, data: bytes, rank: int | None = None) -> bool:
        """Write to the standard input of the ranks that have one, waiting until their hosts have room for all of it.

        A rank that reads slowly, or never, does not hold up the others: its host keeps up to 1 GiB for it.
        Meanwhile a program has to take events, in a handler or another thread. Else those beyond the latest 4 MiB are
        only in the run directory.

        Args:
            data: bytes, which arrive as they are.
            rank: only this one.

        Returns whether a rank may read it. That a rank has ended, or has closed its standard input, is no error.

        Raises:
            UsageError: that rank, or the whole job, has no standard input.
        """
        if self._session.stdin.must_wait(len(data), rank):
            self._session.buffer.allow_drop()
        return self._session.stdin.write(data, rank)

    def close_stdin(self, rank: int | None = None) -> None:
        """Let the ranks, or one, read the end of their standard input after all that was written."""
        self._session.stdin.close(rank)

    def stdin_room(self) -> int:
        """Wait until all ranks can be written to at once; return the number of bytes, 0 when no rank reads any more."""
        return self._session.stdin.room()

    @property
    def tty_rank(self) -> int | None:
        """The rank that has a terminal, by the setting `tty`, once the job has started."""
        return self._session.stdin.tty_rank

    def resize(self, columns: int, lines: int) -> None:
        """Set the size of the terminal that a rank has."""
        if self.tty_rank is not None:
            self._session.send(wire.encode_json(wire.SCREEN, [columns, lines], self.tty_rank))
