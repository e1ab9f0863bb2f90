# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running job: events as they come, its result, and the ways to end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ._core import AUTO, COPY, STREAM_NAMES, LaunchError, UsageError, check_backend, check_settings, new_job_id, wire
from ._inventory import Inventory, resolve_inventory
from ._result import Event, JobResult
from ._runner import PlaybookRun, private_folder
from ._stdin import Stdin

_BUFFER = 4 * 1024 * 1024
_AFTERMATH = 30.0


class JobFailed(LaunchError):
    """A job did not return 0; `result` tells the rest, and the text does not repeat what was already shown."""

    def __init__(self, result: JobResult) -> None:
        super().__init__(f"{result.message} (exit status {result.returncode}); logs: {result.run_dir}")
        self.result = result


# What comes last, whatever was asked for.
_FINAL = ("job_finished", "job_planned", "deploy_finished", "check_finished")


class Job:
    """A job that was started; see `start_job`. A deploy or a check, which go another way, are one without ranks.

    Iterate over it for its events, from one thread. `wait`, `terminate`, `kill` and `write` may be called from any other.
    """

    def __init__(
        self,
        inventory: Inventory,
        settings: Mapping[str, Any],
        on_event: Callable[[Event], None] | None,
        options: dict[str, Any],
        playbook: str = "launch.yml",
    ) -> None:
        given = {name: value for name, value in settings.items() if value is not None}
        source = resolve_inventory(inventory, given.get("group") or "mlx")
        if source.hostfile and source.hostfile.backend and given.get("backend", AUTO) == AUTO:
            given["backend"] = check_backend(source.hostfile.backend, "hostfile: ")
        checked = check_settings(given, job=playbook == "launch.yml")
        self.job = new_job_id()
        self._on_event = on_event
        self._setup = {
            "settings": given,
            "job": self.job,
            "command": sys.argv,
            "inventory": {"paths": [source.path]} if source.path else {"paths": []},
            "default_cwd": os.getcwd(),
            "default_python": sys.executable,
            "hostfile": source.hostfile.data("list") if source.hostfile else None,
            **options,
        }
        self._buffer = _Buffer()
        if on_event:
            self._buffer.nobody_reads()
        self._state = threading.Condition()
        self._finished: Event | None = None
        self._refused: Event | None = None
        self._handler_error: BaseException | None = None
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()
        self._stdin = Stdin(self._send)
        self._wish: bytes | None = None
        self._done = False
        self._folder = private_folder()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._folder / "s"))
        self._listener.listen(1)
        variables = {"mlx_control": str(self._folder / "s"), "mlx_group": checked.group}
        self._playbook = PlaybookRun(self._folder, playbook, source, variables, self._on_playbook_end)
        self._reader = threading.Thread(target=self._read, name="mlxlaunch-events", daemon=True)
        self._playbook.start()
        self._reader.start()

    # -- what a caller does

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
        return self._buffer.get(timeout)

    def wait(self, timeout: float | None = None) -> JobResult:
        """Wait for the end of the job and return its result.

        Args:
            timeout: seconds; None waits for ever. The job goes on when it passes.

        Raises:
            TimeoutError: the job is not over yet.
            UsageError: the job could not be started: inventory, hostfile or settings are wrong.
            LaunchError: the launch itself broke; its text has what Ansible said.
        """
        self._join(timeout)
        if self._wish and not (self._finished or self._refused):
            wish = wire.Decoder().feed(self._wish)[0].json()
            return JobResult(wish["returncode"], self.job, "interrupted", wish["message"], {}, None, {}, 0.0, None)
        return JobResult.from_event(self._last_event())

    def outcome(self, timeout: float | None = None) -> Event:
        """Wait for the end and return the event that tells it; raises as `wait`."""
        self._join(timeout)
        return self._last_event()

    @property
    def running(self) -> bool:
        """Whether the job is not over yet."""
        return not self._done

    def terminate(self, returncode: int = 143, message: str = "terminated") -> None:
        """End the job: TERM to every rank, KILL after the grace. Returns at once; `wait` for the end.

        Args:
            returncode: what the job's result is to say.
            message: why, for the record.
        """
        self._ask(wire.STOP, returncode, message)

    def kill(self, returncode: int = 137, message: str = "killed") -> None:
        """End the job without grace."""
        self._ask(wire.KILL, returncode, message)

    # -- standard input, for the ranks that the setting `stdin` names

    def write(self, data: bytes, rank: int | None = None) -> bool:
        """Write to the standard input of the ranks that have one, waiting until there is room for all of it on their hosts.

        A rank that reads slowly, or never, does not hold up the others: its host keeps what it has not read, up to 1 GiB.
        What ranks print meanwhile has to go somewhere: a program that lets neither a handler nor another thread take
        events finds those beyond the latest 4 MiB only in the run directory.

        Args:
            data: bytes, which arrive as they are.
            rank: only this one.

        Returns whether somebody may read it; a rank that has ended, or has closed its standard input, is no error.

        Raises:
            UsageError: that rank, or the whole job, has no standard input.
        """
        if self._stdin.must_wait(len(data), rank):
            self._buffer.nobody_reads()
        return self._stdin.write(data, rank)

    def close_stdin(self, rank: int | None = None) -> None:
        """Let the ranks, or one, read the end of their standard input after what was written."""
        self._stdin.close(rank)

    def stdin_room(self) -> int:
        """Wait until something can be written to all ranks at once; return how many bytes, 0 when nobody reads any more."""
        return self._stdin.room()

    @property
    def tty_rank(self) -> int | None:
        """The rank that has a terminal, by the setting `tty`, once the job has started."""
        return self._stdin.tty_rank

    def resize(self, columns: int, lines: int) -> None:
        """Tell the rank that has a terminal how large that is now."""
        if self._stdin.tty_rank is not None:
            self._send(wire.encode_json(wire.SCREEN, [columns, lines], self._stdin.tty_rank))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the job if it still runs, and wait until nothing of it is left."""
        if self.running:
            self.terminate()
        self._buffer.nobody_reads()
        with self._state:
            self._state.wait_for(lambda: self._done)

    # -- what happens underneath

    def _ask(self, kind: int, returncode: int, message: str) -> None:
        frame = wire.encode_json(kind, {"returncode": returncode, "message": message})
        with self._state:
            if self._done:
                return  # the result stands
            connection = self._connection
            if connection is None:
                self._wish = frame
                self._cancel_early()
                return
        self._send(frame)

    def _send(self, frame: bytes) -> None:
        """Send to the worker; that it is gone shows when its events end."""
        connection = self._connection
        if connection:
            with self._sending, contextlib.suppress(OSError):
                connection.sendall(frame)

    def _cancel_early(self) -> None:
        """No worker has come yet: nothing runs on any host, so Ansible can simply be killed."""
        self._playbook.cancel()

    def _read(self) -> None:
        try:
            connection = self._accept()
            if connection:
                self._read_events(connection)
        except Exception as exc:  # noqa: BLE001 - a broken handler or a broken worker: either way the caller must know
            self._handler_error = exc
            self.terminate(message=f"the event handler raised {type(exc).__name__}")
            self._drain()
        finally:
            self._settle()

    def _accept(self) -> socket.socket | None:
        """Wait for the worker to connect; None when Ansible ended without one."""
        connection, _address = self._listener.accept()
        setup = wire.encode_json(wire.SPEC, self._setup)
        first = connection.recv(1, socket.MSG_PEEK)
        if not first:
            connection.close()
            return None
        connection.sendall(setup)  # before anyone else knows this connection
        with self._state:
            self._connection = connection
            wish = self._wish
        if wish:
            self._send(wish)
        return connection

    def _on_playbook_end(self) -> None:
        """Ansible has ended: wake up an `accept` that nobody would answer any more."""
        if self._done:
            shutil.rmtree(self._folder, ignore_errors=True)  # ansible-runner may have written there once more
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.connect(str(self._folder / "s"))

    def _read_events(self, connection: socket.socket) -> None:
        decoder = wire.Decoder()
        output: dict[str, Any] = {}
        while True:
            try:
                data = connection.recv(262144)
            except OSError:
                return
            if not data:
                return
            for frame in decoder.feed(data):
                if frame.kind in STREAM_NAMES:
                    self._deliver(Event.from_json(output, frame.payload))
                elif frame.kind == wire.EVENT:
                    fields = frame.json()
                    if fields["event"] == "rank_output":
                        output = fields
                    else:
                        self._deliver(Event.from_json(fields))
                elif frame.kind == wire.ROOM:
                    self._stdin.on_room(frame.rank, frame.offset)
                elif frame.kind == wire.TAKERS:
                    self._stdin.on_takers(**frame.json())

    def _deliver(self, event: Event) -> None:
        if event.event in _FINAL:
            self._finished = event
        elif event.event == "job_refused":
            self._refused = event
            return
        if self._on_event:
            self._on_event(event)
        self._buffer.put(event)

    def _drain(self) -> None:
        """Take what is still sent, so that the worker can come to its end."""
        with contextlib.suppress(OSError):
            while self._connection and self._connection.recv(262144):
                pass

    def _settle(self) -> None:
        self._stdin.on_end()
        ended = self._playbook.wait_for_processes if self._finished else self._playbook.join
        if not ended(_AFTERMATH):
            self._playbook.cancel()
            self._playbook.join(_AFTERMATH)
        if self._connection:
            self._connection.close()
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        with self._state:
            self._done = True
            self._state.notify_all()
        self._buffer.end()

    def _join(self, timeout: float | None) -> None:
        self._buffer.nobody_reads()
        with self._state:
            if not self._state.wait_for(lambda: self._done, timeout):
                raise TimeoutError(f"job {self.job} is still running after {timeout:g} s")
        if self._handler_error:
            raise self._handler_error

    def _last_event(self) -> Event:
        if self._finished:
            return self._finished
        if self._refused:
            told = self._refused.details
            raise (UsageError if told["returncode"] == UsageError.returncode else LaunchError)(told["message"])
        if self._wish:
            wish = wire.Decoder().feed(self._wish)[0].json()
            error = LaunchError(wish["message"])
            error.returncode = wish["returncode"]
            raise error
        raise LaunchError(self._playbook.complaint() or "Ansible ended without a word")


class _Buffer:
    """Events on their way to whoever iterates. Full, it makes the reader wait; with nobody there, it lets go."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._size = 0
        self._read_at = 0.0
        self._discarding = False
        self._reading = False
        self._ended = False

    def put(self, event: Event) -> None:
        with self._changed:
            while self._size > _BUFFER and not self._discard():
                self._changed.wait()
            self._events.append(event)
            self._size += len(event.data) + 200
            self._changed.notify_all()

    def get(self, timeout: float | None) -> Event | None:
        with self._changed:
            self._reading = True
            if not self._changed.wait_for(lambda: self._events or self._ended, timeout):
                raise TimeoutError("no event within the time")
            if not self._events:
                return None
            event = self._events.popleft()
            self._size -= len(event.data) + 200
            self._changed.notify_all()
            return event

    def nobody_reads(self) -> None:
        """Unless somebody iterates, events are not worth keeping: a handler has them, or the end is all that is wanted."""
        with self._changed:
            self._discarding = True
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _discard(self) -> bool:
        """Make room if that is allowed."""
        if not self._discarding or self._reading:
            return False
        self._events.clear()
        self._size = 0
        return True


def start_job(  # noqa: PLR0913 - every setting has its name here, and only three of them are positional
    inventory: Inventory,
    script: str | os.PathLike[str] = "",
    *,
    args: Sequence[str] = (),
    command: Sequence[str] = (),
    group: str | None = None,
    backend: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    python: str | os.PathLike[str] | None = None,
    starting_port: int | str | None = None,
    connections_per_ip: int | None = None,
    mpirun: str | os.PathLike[str] | None = None,
    mpi_args: Sequence[str] | None = None,
    mpi_agent: str | None = None,
    nccl_port: int | None = None,
    verbose: bool | None = None,
    stdin: str | int | None = None,
    tty: bool | None = None,
    grace: float | None = None,
    lease: float | None = None,
    connect_timeout: float | None = None,
    timeout: float | None = None,
    log_dir: str | os.PathLike[str] | None = None,
    sync: bool | None = None,
    project_dir: str | os.PathLike[str] | None = None,
    exclude: Sequence[str] | None = None,
    environment: str | os.PathLike[str] | None = None,
    wheelhouse: str | os.PathLike[str] | None = None,
    index_url: str | None = None,
    root: str | os.PathLike[str] | None = None,
    keep: int | None = None,
    on_event: Callable[[Event], None] | None = None,
    terminal: tuple[int, int] | None = None,
    dry_run: bool = False,
) -> Job:
    """Start a job and return at once.

        with start_job(["127.0.0.1", "127.0.0.1"], "/opt/train.py") as job:
            for event in job:
                if event.event == "rank_output":
                    print(event.rank, event.data)
            print(job.wait().returncode)

    Args:
        inventory: path of an Ansible inventory or MLX hostfile, either of them as a mapping or list, or a list of
            host names or addresses with one rank each (127.0.0.1 is this machine, without ssh).
        script: run by Python on every rank. One that is here is brought to the hosts first; any other is a path on the hosts.
        args: its arguments.
        command: any command instead of Python and a script.
        group: inventory group, `mlx`.
        backend: `ring`, `mpi`, `nccl`, `jaccl` or `jaccl-ring`; default what a hostfile says, else as mlx.launch decides.
        env: variables for the ranks, over those of the inventory.
        cwd: working directory on the hosts.
        python: interpreter on the hosts; default the path of the one that runs this.
        starting_port: first port of the ring, or the one of jaccl's rank 0, 32323; `auto` for a range that is free on every host.
        connections_per_ip: connections between neighbours per address, 1.
        mpirun: its path on the hosts; else beside the Python, Homebrew's or the system's.
        mpi_args: arguments for it, each split as a shell splits words.
        mpi_agent: how it reaches the other hosts: `channel`, through this side, or `ssh`.
        nccl_port: port of nccl's rank 0, 12345.
        verbose: let the ring, or NCCL, tell what it connects to.
        stdin: which ranks read what `Job.write` writes: `all`, `none` (the default), or the number of one.
        tty: give that one a terminal of the size `terminal`; its stderr then comes with its stdout.
        grace: seconds between TERM and KILL, 10.
        lease: seconds of silence after which a host is given up, 30.
        connect_timeout: seconds a host may take until it is ready, 30.
        timeout: seconds the ranks may run, no limit.
        log_dir: directory that gets a run directory per job.
        sync: False leaves the hosts as they are; `script` is then a path on them.
        project_dir: directory that goes to the hosts with the script in it; without it the script goes alone.
        exclude: patterns, as in .gitignore, of what else stays here.
        environment: lock file with hashes from which hosts make a Python environment, or `copy` for the one that runs this.
        wheelhouse: directory that is filled with the lock's wheels and sent, for hosts that reach no index.
        index_url: package index.
        root: directory on the hosts for all that is deployed.
        keep: earlier environments and project versions that stay there, 2.
        on_event: called for every event, in a thread of the job; what it raises ends the job and comes out of `wait`.
        terminal: (columns, lines) for COLUMNS and LINES of the ranks.
        dry_run: ask no host and run nothing; the job_planned event has what would be done, as `plan_job` returns it.

    Raises:
        UsageError: what can be told to be wrong before anything is started.
    """
    settings = {
        "script": absolute_script(os.fspath(script)),
        "args": list(args),
        "command": list(command),
        "group": group,
        "backend": backend,
        "env": dict(env) if env else None,
        "cwd": _path(cwd),
        "python": _path(python),
        "starting_port": starting_port,
        "connections_per_ip": connections_per_ip,
        "mpirun": _path(mpirun),
        "mpi_args": list(mpi_args) if mpi_args is not None else None,
        "mpi_agent": mpi_agent,
        "nccl_port": nccl_port,
        "verbose": verbose,
        "stdin": stdin,
        "tty": tty,
        "grace": grace,
        "lease": lease,
        "connect_timeout": connect_timeout,
        "timeout": timeout,
        "log_dir": os.path.abspath(log_dir) if log_dir else None,
        "sync": sync,
        "project_dir": os.path.abspath(project_dir) if project_dir else None,
        "exclude": list(exclude) if exclude is not None else None,
        "environment": environment if environment in (None, "", COPY) else os.path.abspath(environment),
        "wheelhouse": os.path.abspath(wheelhouse) if wheelhouse else None,
        "index_url": index_url,
        "root": _path(root),
        "keep": keep,
    }
    return Job(inventory, settings, on_event, {"terminal": terminal, "dry_run": dry_run})


def run_job(
    inventory: Inventory,
    script: str | os.PathLike[str] = "",
    *,
    check: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **settings: Any,
) -> JobResult:
    """Run a job to its end and return its result.

        result = run_job("inventory/hosts.yml", "/opt/train.py", args=["--lr", "1e-3"], check=True)
        print(result.ranks[0].stdout.read_text())

    Args:
        inventory, script, on_event: as for `start_job`.
        check: raise JobFailed unless every rank returned 0, as `subprocess.run` does.
        **settings: all other arguments of `start_job`.

    Raises:
        UsageError: inventory, hostfile or settings are wrong; nothing was started.
        JobFailed: with `check`.
        LaunchError: the launch itself broke.
    """
    with start_job(inventory, script, on_event=on_event, **settings) as job:
        result = job.wait()
    if check and result.returncode:
        raise JobFailed(result)
    return result


def absolute_script(script: str) -> str:
    """Return a script's path as the hosts are to find it: a relative one as seen from the current directory here."""
    return os.path.abspath(script) if script else ""


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return os.fspath(path) if path is not None else None
