"""Lies of a host's agent about calls, and the harm that none of them may do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import settings as how
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import Fleet
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.describe import Describer
from tests.hostile.agents import Script, ScriptedAgent, connect
from tests.unit.controller.fleets import access

#: The calls of each task that a host may lie about.
DEPLOY = ("hello", "look", "share", "build", "project_begin", "project_commit", "project_differences", "prune")
COPY = ("hello", "look", "share", "begin_copy", "finish_copy", "environment_digest", "wheels_folder", "build")
CHECK = ("hello", "clock", "survey", "listen", "dial", "hush")
HOSTFILE = ("hello", "place_hostfile")
FETCH = ("fetch_find", "fetch_read")
NETWORK = (
    *("network", "running", "set_up_port", "undo_ports", "rdma_ports"),
    *("answer_links", "try_links", "silence_links", "sum_over_ring"),
)
PREPARE = ("prepare", "undo_prepare", "running")

#: Given a call and its arguments, the answer of a host that does not lie.
Honest = Callable[[str, dict[str, Any]], Any]
#: Given the honest answer, the bytes in its place, and whether the host goes on.
Lie = Callable[[Any], tuple[bytes, bool]]

#: In place of a value that is left out.
GONE = object()


def reply(result: Any) -> bytes:
    return wire.encode_json(wire.REPLY, {"result": result})


def ways(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value within one; JSON and words in a text are within it."""
    yield path
    for key, item in _within(value):
        yield from ways(item, (*path, key))


def _within(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list):
        return list(enumerate(value))
    if isinstance(value, str) and value.startswith(("{", "[")):
        return [("json", json.loads(value))]
    words = value.split(" ") if isinstance(value, str) else []
    return [*enumerate(words)] if len(words) > 1 else []


def with_lie(value: Any, path: tuple[Any, ...], lie: Any) -> Any:
    """Return a value with another one, or with none, at the end of a way."""
    if not path:
        return None if lie is GONE else lie
    key, rest = path[0], path[1:]
    if isinstance(value, str):
        if key == "json":
            return json.dumps(with_lie(json.loads(value), rest, lie))
        return " ".join(("" if lie is GONE else str(lie)) if at == key else word for at, word in enumerate(value.split(" ")))
    copy = dict(value) if isinstance(value, dict) else list(value)
    if rest or lie is not GONE:
        copy[key] = with_lie(value[key], rest, lie)
    else:
        del copy[key]
    return copy


TEXTS = st.text(st.characters(exclude_categories=[]), max_size=8) | st.sampled_from(
    [
        "../../etc/passwd",
        "/etc/passwd",
        "\x1b]52;c;x\x07",
        "\x9b2J",
        "train.py",
        "\0",
        "\ud800",
        "9" * 5000,
        "3.12.4",
        "complete",
        "x" * 70_000,
        "{{lookup('pipe','id')}}",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from([wire.REPLY, wire.PROGRESS, wire.PONG, wire.STDOUT, wire.READY, wire.CALL]) | st.integers(0, 255)
FRAMES = st.builds(wire.encode, KINDS, st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()), st.integers(0, 3))


def _lied(answer: Any, at: int, lie: Any) -> Any:
    found = list(ways(answer))
    return with_lie(answer, found[at % len(found)], lie)


def _said(answer: Any, at: int, lie: str) -> Any:
    """Return an answer with a text in place of another, as most shapes take it."""
    found = [path for path in ways(answer) if isinstance(_at(answer, path), str)]
    return with_lie(answer, found[at % len(found)], lie) if found else lie


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = dict(_within(value))[key]
    return value


def renamed(value: Any, word: str, to: str) -> Any:
    """Return a value with a word replaced wherever it stands, as by a host that is at one with itself."""
    if isinstance(value, dict):
        return {renamed(key, word, to): renamed(item, word, to) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, word, to) for item in value]
    return value.replace(word, to) if isinstance(value, str) else value


def _all_renamed(answer: Any, at: int, to: str) -> Any:
    found = sorted(set(re.findall(r"[A-Za-z]+\d*|\d+", json.dumps(answer))))
    return renamed(answer, found[at % len(found)], to) if found else to


#: A lie about one call: the bytes for an honest answer, and whether the host goes on.
LIES = st.one_of(
    VALUES.map(lambda value: lambda _answer: (reply(value), True)),
    st.tuples(st.integers(0, 10_000), VALUES | st.just(GONE)).map(lambda lie: lambda answer: (reply(_lied(answer, *lie)), True)),
    st.tuples(st.integers(0, 10_000), TEXTS).map(lambda lie: lambda answer: (reply(_said(answer, *lie)), True)),
    st.tuples(st.integers(0, 10_000), TEXTS).map(lambda lie: lambda answer: (reply(_all_renamed(answer, *lie)), True)),
    VALUES.map(lambda value: lambda _answer: (wire.encode_json(wire.REPLY, {"error": value}), True)),
    VALUES.map(lambda value: lambda answer: (wire.encode_json(wire.PROGRESS, {"text": value}) + reply(answer), True)),
    st.lists(FRAMES, max_size=4).map(lambda frames: lambda _answer: (b"".join(frames), False)),
    st.binary(max_size=80).map(lambda data: lambda _answer: (data, False)),
    st.integers(2**20, 2**32 - 1).map(lambda size: lambda _answer: (wire.HEADER.pack(wire.REPLY, 0, 0, size) + bytes(100), False)),
)


@dataclass
class From:
    """A lie that a host tells when it has been honest about a call so many times."""

    lie: Lie
    left: int


def lying(lies: Mapping[str, From], honest: Honest) -> Script:
    """Return the script of a host that answers some calls with lies."""

    def script(do: str, asked: dict[str, Any]) -> tuple[bytes, bool]:
        answer = honest(do, asked)
        if do not in lies or lies[do].left:
            if do in lies:
                lies[do].left -= 1
            return reply(answer), True
        return lies[do].lie(answer)

    return script


def about(*calls: str) -> Any:
    """Return the strategy for lies about one call at least."""
    return st.dictionaries(st.sampled_from(calls), st.builds(From, LIES, st.sampled_from([0, 0, 1, 2])), min_size=1, max_size=2)


def cases(count: int) -> Any:
    """Return the decorator that gives a test so many cases, or as many as a person wants."""
    return how(max_examples=int(os.environ.get("MLXLAUNCH_FUZZ", count)))


class Happened:
    """Takes events; a person may see each at a terminal, and a program reads each as a line of JSON."""

    def __init__(self) -> None:
        self.kinds: list[tuple[str, str | None]] = []

    def __call__(self, kind: str, host: str | None = None, **details: Any) -> None:
        self.kinds.append((kind, host))
        event = Event(kind, "j", 0.0, host, None, details=details)
        assert_harmless(Describer(colour=False, verbose=True)(event) or "")
        json.dumps(event.to_json()).encode()


def assert_diff_harmless(diff: Iterable[Mapping[str, str]]) -> None:
    """Ansible shows differences as they are."""
    for difference in diff:
        assert_harmless("".join(difference.values()))


def assert_harmless(text: str) -> None:
    assert not {char for char in text if (ord(char) < 32 or 127 <= ord(char) < 160) and char not in "\n\t"}
    text.encode()


def fleet_of(
    lies: Mapping[str, From], settings: JobSettings, honest: Mapping[str, Honest], liar: str = "b"
) -> tuple[Fleet, dict[str, ScriptedAgent]]:
    """Return hosts that answer honestly, but for one of them, and their agents once there are any."""
    agents: dict[str, ScriptedAgent] = {}
    scripts = {host: lying(lies if host == liar else {}, answers) for host, answers in honest.items()}
    return Fleet({host: access(host) for host in scripts}, settings, connect(scripts, agents)), agents


def said_to(agent: ScriptedAgent, *calls: str) -> list[dict[str, Any]]:
    """Return the arguments of the calls of an agent."""
    return [asked for do, asked in agent.calls if do in calls]
