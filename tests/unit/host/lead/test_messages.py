"""Messages of hosts that lie or are broken: each costs its host, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.gang import _FRAMES, Gang
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.messages import message_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.policy import Policy
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from tests.unit.gangs import World, exited, frame, ready, requested, specs_of
from tests.unit.host.lead import test_mpirun
from tests.unit.jobs import job

#: By kind, a message as hosts of ours send it.
GOOD: dict[int, dict[str, Any]] = {
    wire.READY: {"cwd": "/", "hostname": "a", "pid": 7, "environment": {"MLX_X": "1"}, "shifts": [0, -40], "uid": 0, "mpirun": {}},
    wire.REFUSED: {"problems": ["no script"]},
    wire.STARTED: {"pid": 12},
    wire.EXITED: {"code": 0, "signal": 9, "at": 1.5, "stopped": False, "error": "", "signal_name": None},
    wire.WARNING: {"text": "disk full"},
    wire.DONE: {"remaining": {"12": "python"}, "known": True},
    wire.WANTED: {"id": 3, "host": "b", "words": ["orted"]},
    wire.SAID: {"name": "mpirun", "text": "x"},
    wire.EXITED_SERVICE: {"name": "mpirun", "code": 1, "signal": 0, "error": ""},
}
WRONG = [None, True, -1, 2**70, 1.5, float("nan"), "", "x", [], [1], [None], {}, {"x": 1}, {"x": None}, [[]]]


def control(kind: int, message: Any) -> wire.Frame:
    return wire.Frame(kind, json.dumps(message).encode())


@pytest.mark.parametrize("kind", GOOD)
def test_message_as_hosts_send_it_is_taken_as_it_is(kind: int) -> None:
    assert GOOD[kind].items() <= message_of("a", control(kind, GOOD[kind])).items()


def test_every_control_frame_has_a_table_of_its_fields() -> None:
    assert set(GOOD) == set(_FRAMES) - {wire.STDOUT, wire.STDERR, wire.PONG, wire.CREDIT}


def answer(kind: int, message: Any) -> dict[str, Any] | str:
    """Return the message that is taken, or the text of its refusal."""
    try:
        return message_of("a", control(kind, message))
    except wire.WireError as exc:
        return str(exc)


def family(value: Any) -> type:
    return float if type(value) in (int, float) else type(value)


@pytest.mark.parametrize(
    ("kind", "name", "value", "path"),
    [
        (wire.READY, "cwd", "{}", True),
        (wire.READY, "values", {"MLX_X": "{}"}, True),
        (wire.READY, "mpirun", {"{}/mpirun": {"error": "no {}/mpirun"}}, True),
        (wire.REFUSED, "problems", ["script {} is not there"], True),
        (wire.EXITED, "error", "{} cannot be run", True),
        (wire.WARNING, "text", "{} is full", True),
        (wire.WANTED, "words", ["{}/orted"], True),
        (wire.READY, "hostname", "{}", False),
        (wire.READY, "environment", {"MLX_X": "{}"}, False),
        (wire.SAID, "text", "{}", False),
        (wire.DONE, "remaining", {"12": "{}"}, False),
    ],
)
def test_only_a_path_may_have_bytes_that_are_no_utf8(kind: int, name: str, value: Any, path: bool) -> None:
    odd = json.loads(json.dumps(value).replace("{}", r"/caf\udce9"))
    assert isinstance(answer(kind, {**GOOD[kind], name: odd}), str) != path


@pytest.mark.parametrize("kind", GOOD)
def test_field_of_another_type_is_refused_by_its_name(kind: int) -> None:
    for name, value in GOOD[kind].items():
        for wrong in WRONG:
            found = answer(kind, {**GOOD[kind], name: wrong})
            if family(wrong) != family(value) and not (name == "signal_name" and isinstance(wrong, str)):
                assert f": {name}" in found, repr(wrong)


@pytest.mark.parametrize("kind", GOOD)
def test_number_out_of_range_is_refused(kind: int) -> None:
    for name, value in GOOD[kind].items():
        if family(value) is float:
            assert isinstance(answer(kind, {**GOOD[kind], name: 2**70}), str), name
            assert isinstance(answer(kind, {**GOOD[kind], name: float("nan")}), str), name


@pytest.mark.parametrize("address", ["999.1.1.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "\uff11\uff10.0.0.1", "10.0.0.1 ", "::1"])
def test_address_that_no_host_has_is_refused(address: str) -> None:
    found = answer(wire.READY, {**GOOD[wire.READY], "address": address})
    assert found == "a sent what is not our protocol (ready: address)"


@pytest.mark.parametrize("message", [None, 1, "x", [], [{}]])
@pytest.mark.parametrize("kind", GOOD)
def test_message_that_is_no_mapping_is_refused(kind: int, message: Any) -> None:
    with pytest.raises(wire.WireError, match=r"^a sent what is not our protocol \([a-z ]+\)$"):
        message_of("a", control(kind, message))


def test_fields_that_nobody_knows_are_left_out() -> None:
    """They would be arguments of an event: `host` and `event` are names that it has already."""
    message = message_of("a", control(wire.READY, {"cwd": "/", "host": "b", "event": "x", "rank": 1}))
    assert not {"host", "event", "rank"} & message.keys()


def test_deep_nesting_is_no_message() -> None:
    with pytest.raises(wire.WireError, match="does not hold JSON"):
        message_of("a", wire.Frame(wire.WARNING, b'{"text": ' + b"[" * 200_000))


# -- in a job

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({name for message in GOOD.values() for name in message} | {"host", "event", "rank"})
#: Any bytes, any JSON, and messages of ours in which some fields are anything.
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.tuples(st.sampled_from(list(GOOD.values())), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2)).map(
        lambda parts: json.dumps({**parts[0], **parts[1]}).encode()
    ),
)
FRAMES = st.builds(
    lambda kind, payload, rank, offset: frame("b", kind, payload, rank, offset),
    st.sampled_from(sorted(_FRAMES)) | st.integers(0, 255),
    PAYLOADS,
    st.integers(0, 3) | st.just(wire.EVERY_RANK),
    st.sampled_from([0, 1, 5, 2**40, 2**63, 2**64 - 1]),
)


def run(policy: Policy, *script: Any) -> World:
    """Run a job until it has ended, which somebody asks for in the end."""
    world = World(*script, (60.0, requested()))
    Gang(policy, specs_of(policy.table.hosts), world, world, world, world, world.clock).run()
    assert not world.hosts
    return world


def assert_other_host_is_untouched(world: World) -> None:
    about_a = [event for event in world.events if event["host"] == "b" and event["rank"] == 0]
    assert about_a == [], "b speaks for a rank of a"


@given(st.lists(FRAMES, min_size=1, max_size=6))
def test_no_frame_of_a_host_harms_the_launch_or_another_host(sent: list[Any]) -> None:
    script = [(2.0 + at / 10, happening) for at, happening in enumerate(sent)]
    assert_other_host_is_untouched(run(job("a", "b"), (1.0, ready("a", "b")), *script, (50.0, exited("a", 0))))


@given(st.lists(FRAMES, min_size=1, max_size=4))
def test_no_frame_before_the_go_harms_the_launch(sent: list[Any]) -> None:
    script = [(0.5 + at / 10, happening) for at, happening in enumerate(sent)]
    assert_other_host_is_untouched(run(job("a", "b"), *script, (1.0, ready("a", "b"))))


@given(st.lists(FRAMES, min_size=1, max_size=4), st.booleans())
def test_no_frame_of_a_host_harms_a_job_under_mpirun(sent: list[Any], early: bool) -> None:
    facts = {"cwd": "/", "uid": 5, "mpirun": {test_mpirun.MPIRUN: {"version": "4.1.4", "libmpi": "/lib/libmpi.so"}}}
    ready_hosts = [(1.0, frame(host, wire.READY, {**facts, "hostname": host})) for host in ("a", "b")]
    script = [((0.5 if early else 2.0) + at / 10, happening) for at, happening in enumerate(sent)]
    assert_other_host_is_untouched(run(test_mpirun.job(), *([*script, *ready_hosts] if early else [*ready_hosts, *script])))
