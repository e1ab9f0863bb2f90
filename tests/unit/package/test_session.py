"""A session: from a request, by one playbook and its worker, to the job's last event."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from mlxlaunch_ansible import Event, LaunchError, UsageError, _session
from mlxlaunch_ansible._session import Cancellation, Session
from tests.unit.package.sessions import FINISHED, PATIENCE, FakePlaybook, request, staged

STOP = Cancellation(wire.STOP, 143, "terminated")
KILL = Cancellation(wire.KILL, 137, "killed")


def events_of(session: Session) -> list[Event]:
    events = []
    while event := session.buffer.get(PATIENCE):
        events.append(event)
    return events


def test_constructor_starts_nothing() -> None:
    before = threading.active_count()
    session = Session(request(), playbook=FakePlaybook)
    assert threading.active_count() == before
    assert not session.over


def test_second_start_names_state_and_event() -> None:
    with staged() as stage, pytest.raises(RuntimeError, match=r"'start' .* waiting for its worker"):
        stage.session.start()


def test_playbook_gets_socket_and_group() -> None:
    with staged(request(group="macs")) as stage:
        assert stage.playbook.name == "launch.yml"
        assert stage.playbook.variables == {"mlx_control": str(stage.playbook.folder / "s"), "mlx_group": "macs"}


def test_child_of_a_fork_that_ends_leaves_the_directory() -> None:
    with staged() as stage:
        child = os.fork()
        if child == 0:
            _session._remove_folders()  # as at its exit
            os._exit(0)
        os.waitpid(child, 0)
        assert stage.playbook.folder.is_dir()
        stage.finish(stage.worker())


def test_worker_gets_the_setup_of_the_request() -> None:
    with staged() as stage:
        worker = stage.worker()
        assert worker.setup["settings"] == {"script": request().setup["settings"]["script"]}
        assert worker.setup["job"] == "j1"


def test_events_come_in_order_with_their_bytes() -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.event("job_started")
        worker.output(b"\x00\xff")
        worker.output(b"more", rank=1)
        stage.finish(worker)
        events = events_of(stage.session)
    assert [(event.event, event.rank, event.data) for event in events] == [
        ("job_started", None, b""),
        ("rank_output", 0, b"\x00\xff"),
        ("rank_output", 1, b"more"),
        ("job_finished", None, b""),
    ]
    assert stage.session.last_event() == events[-1]
    assert stage.session.over


@pytest.mark.parametrize(("returncode", "kind"), [(2, UsageError), (3, LaunchError)])
def test_refusal_is_an_error_and_no_event(returncode: int, kind: type[LaunchError]) -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.event("job_refused", returncode=returncode, message="inventory /private/hosts: group 'mlx' has no hosts")
        worker.close()
        stage.playbook.end("the inventory is a list")
        assert events_of(stage.session) == []
        stage.session.wait(PATIENCE)
        with pytest.raises(LaunchError, match=r"^inventory \(given as data\): group 'mlx' has no hosts; the inventory is a list") as caught:
            stage.session.last_event()
        assert type(caught.value) is kind


@pytest.mark.parametrize(("reason", "text"), [("no such host", "no such host"), ("", "Ansible ended without a word")])
def test_ansible_without_worker_is_an_error_with_its_reason(reason: str, text: str) -> None:
    with staged() as stage:
        stage.playbook.end(reason)
        stage.session.wait(PATIENCE)
        with pytest.raises(LaunchError, match=text):
            stage.session.last_event()


def test_worker_that_dies_is_an_error_with_ansible_s_reason() -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.event("job_started")
        worker.close()
        stage.playbook.end("a worker was killed")
        stage.session.wait(PATIENCE)
        with pytest.raises(LaunchError, match="a worker was killed"):
            stage.session.last_event()


def test_cancel_before_the_worker_comes_kills_ansible() -> None:
    with staged() as stage:
        stage.session.cancel(STOP)
        stage.session.wait(PATIENCE)
        assert stage.playbook.calls == ["start", "cancel"]
        assert stage.session.cancelled_early == STOP
        with pytest.raises(LaunchError, match="terminated") as caught:
            stage.session.last_event()
        assert caught.value.returncode == 143


@pytest.mark.parametrize("cancellation", [STOP, KILL], ids=["stop", "kill"])
def test_cancel_asks_the_worker(cancellation: Cancellation) -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.event("job_started")
        assert stage.session.buffer.get(PATIENCE)
        stage.session.cancel(cancellation)
        frame = worker.receive()
        assert (frame.kind, frame.json()) == (cancellation.kind, {"returncode": cancellation.returncode, "message": cancellation.message})
        assert stage.playbook.calls == ["start"]
        stage.finish(worker, returncode=143)
        stage.session.wait(PATIENCE)
        assert stage.session.cancelled_early is None
        assert stage.session.last_event().details["returncode"] == 143


def test_cancel_after_the_end_changes_nothing() -> None:
    with staged() as stage:
        stage.finish(stage.worker())
        stage.session.wait(PATIENCE)
        stage.session.cancel(KILL)
        assert stage.playbook.calls == ["start"]
        assert stage.session.last_event().event == "job_finished"


def test_handler_gets_every_event_in_another_thread() -> None:
    seen: list[tuple[str, str]] = []
    with staged(on_event=lambda event: seen.append((event.event, threading.current_thread().name))) as stage:
        worker = stage.worker()
        worker.output(b"x")
        stage.finish(worker)
        stage.session.wait(PATIENCE)
    assert seen == [("rank_output", "mlxlaunch-events"), ("job_finished", "mlxlaunch-events")]


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_handler_that_raises_ends_the_job_and_is_raised(error: type[BaseException]) -> None:
    def choke(_event: Event) -> None:
        raise error("from the handler")

    with staged(on_event=choke) as stage:
        worker = stage.worker()
        worker.output(b"x")
        frame = worker.receive()
        assert (frame.kind, frame.json()["message"]) == (wire.STOP, f"the event handler raised {error.__name__}")
        worker.output(b"y" * 1_000_000)  # still taken, so that the worker comes to its end
        stage.finish(worker)
        with pytest.raises(error, match="from the handler"):
            stage.session.wait(PATIENCE)


def test_frame_of_another_protocol_names_its_kind() -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.send(wire.encode(wire.GO))
        assert worker.receive().kind == wire.STOP
        worker.close()
        stage.playbook.end()
        with pytest.raises(wire.WireError, match=f"job j1 sent a frame of kind {wire.GO}"):
            stage.session.wait(PATIENCE)


def test_events_that_only_a_waiter_gets_hold_up_no_worker() -> None:
    piece = b"z" * (1 << 20)
    sent: list[int] = []

    def flood(worker: Any) -> None:
        for number in range(12):
            worker.output(piece)
            sent.append(number)
        worker.event("job_finished", **FINISHED)

    with staged() as stage:
        worker = stage.worker()
        thread = threading.Thread(target=flood, args=(worker,), daemon=True)
        thread.start()
        with pytest.raises(TimeoutError, match="job j1 is still running after 0.2 s"):
            # Nobody takes events: from here on they may be dropped.
            stage.session.wait(0.2)
        thread.join(PATIENCE)
        assert sent == list(range(12))
        worker.close()
        stage.playbook.end()
        stage.session.wait(PATIENCE)
        assert stage.session.last_event().event == "job_finished"


def test_stdin_goes_to_the_worker_as_far_as_there_is_room() -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.send(wire.encode_json(wire.READERS, {"ranks": [0], "tty": False}) + wire.encode(wire.CREDIT, b"", 0, 4))
        assert stage.session.stdin.room() == 4
        assert stage.session.stdin.write(b"four", None)
        frame = worker.receive()
        assert (frame.kind, frame.rank, frame.payload) == (wire.STDIN, 0, b"four")
        stage.finish(worker)
        stage.session.wait(PATIENCE)
        assert stage.session.stdin.room() == 0


async def sleepy(_event: Event) -> None:
    """Take an event, if anybody awaits it."""


class Sleepy:
    async def __call__(self, _event: Event) -> None:
        """Take an event, if anybody awaits it."""


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (3, "on_event: want a function that takes an event, not 3"),
        (sleepy, "not async"),
        (partial(sleepy), "not async"),
        (Sleepy(), "not async"),
    ],
)
def test_handler_that_cannot_be_one_is_refused_at_once(handler: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Session(request(), handler, playbook=FakePlaybook)
