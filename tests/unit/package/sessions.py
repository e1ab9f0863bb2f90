"""Sessions without Ansible: a playbook that is none, and a worker that a test speaks for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.version import greeting
from mlxlaunch_ansible import Event, LaunchError
from mlxlaunch_ansible._request import JobRequest, Surroundings
from mlxlaunch_ansible._session import Session

PATIENCE = 60.0
HERE = Surroundings("/here", "/env/bin/python")
FINISHED = {"returncode": 0, "cause": "finished", "message": "all ranks returned 0", "ranks": [], "first_failure": None}
FINISHED |= {"problems": {}, "duration": 1.0, "run_dir": "/runs/j1"}


def request(**settings: Any) -> JobRequest:
    """A request for a job of one rank."""
    return JobRequest.of(["127.0.0.1"], {"script": __file__, **settings}, HERE, new_id=lambda: "j1")


class Requested(Exception):
    """The request of a session that would have been started."""

    def __init__(self, request: JobRequest) -> None:
        self.request = request
        self.settings: dict[str, Any] = request.setup["settings"]


def start_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a session is not started: what would start one raises `Requested`."""

    def start(session: Session) -> None:
        raise Requested(session.request)

    monkeypatch.setattr(Session, "start", start)


def requested(call: Callable[..., object], *arguments: Any, **options: Any) -> Requested:
    """Return what a call would have started."""
    with pytest.raises(Requested) as caught:
        call(*arguments, **options)
    return caught.value


class FakePlaybook:
    """Ansible, as far as a session sees it: it ends when it is cancelled, or when the test ends it."""

    def __init__(self, name: str, _source: Any, on_end: Callable[[], None]) -> None:
        self.name = name
        self.calls: list[str] = []
        self.reason = ""
        self.variables: dict[str, Any] = {}
        self.folder = Path()
        self._on_end = on_end
        self._ended = threading.Event()

    def start(self, folder: Path, variables: dict[str, Any]) -> None:
        self.folder, self.variables = folder, variables
        self.calls.append("start")

    def wait_until_started(self, timeout: float) -> None:
        """It has always begun."""

    def end(self, reason: str = "") -> None:
        """End without the help of a session."""
        self.reason = reason
        self._ended.set()
        self._on_end()

    def cancel(self) -> None:
        self.calls.append("cancel")
        if not self._ended.is_set():
            self.end()

    def join(self, timeout: float | None = None) -> bool:
        return self._ended.wait(timeout)

    def wait_for_processes(self, timeout: float) -> bool:
        return self._ended.wait(timeout)

    def explained(self, text: str) -> str:
        text = text.replace("/private/hosts", "(given as data)")
        return f"{text}; {self.reason}" if self.reason else text

    def failure(self) -> LaunchError:
        return LaunchError(self.reason or "Ansible ended without a word")


class FakeWorker:
    """The worker's end of a session's socket."""

    def __init__(self, path: str) -> None:
        self._decoder = wire.Decoder()
        self._frames: list[wire.Frame] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(path)
        self._socket.sendall(wire.encode_json(wire.PING, greeting()))
        self.setup = self.receive().json()

    def receive(self) -> wire.Frame:
        """Return the next frame from the session."""
        while not self._frames:
            data = self._socket.recv(65536)
            assert data, "the session has closed the connection"
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def event(self, event: str, **fields: Any) -> None:
        """Report an event."""
        self.send(wire.encode_json(wire.EVENT, {"event": event, "job": "j1", "time": 0.0, "host": None, "rank": None, **fields}))

    def output(self, data: bytes, rank: int = 0) -> None:
        """Report a rank's output."""
        self.event("rank_output", rank=rank, host="127.0.0.1", stream="stdout", offset=0, length=len(data))
        self.send(wire.encode(wire.STDOUT, data, rank))

    def close(self) -> None:
        self._socket.close()


class Stage:
    """A session, started, and the two it works with."""

    def __init__(self, session: Session, playbook: FakePlaybook) -> None:
        self.session = session
        self.playbook = playbook
        self.workers: list[FakeWorker] = []

    def worker(self) -> FakeWorker:
        """Let the worker connect."""
        worker = FakeWorker(self.playbook.variables["mlx_control"])
        self.workers.append(worker)
        return worker

    def finish(self, worker: FakeWorker, event: str = "job_finished", **fields: Any) -> None:
        """Let the job end by itself."""
        worker.event(event, **{**FINISHED, **fields})
        worker.close()
        self.playbook.end()


@contextmanager
def staged(job: JobRequest | None = None, on_event: Callable[[Event], None] | None = None) -> Iterator[Stage]:
    """Give a session that has been started; nothing of it is left afterwards."""
    made: list[FakePlaybook] = []

    def playbook(name: str, source: Any, on_end: Callable[[], None]) -> FakePlaybook:
        made.append(FakePlaybook(name, source, on_end))
        return made[0]

    session = Session(job or request(), on_event, playbook=playbook)
    assert made[0].calls == []
    stage = Stage(session.start(), made[0])
    try:
        yield stage
    finally:
        for worker in stage.workers:
            worker.close()
        stage.playbook.cancel()
        assert session.wait_until_over(PATIENCE)
        assert not made[0].folder.exists()
