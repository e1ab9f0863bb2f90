"""Agents that answer anything at all: each costs its host its place in the deploy or check, and nothing else.

The connection is the real one. Set MLXLAUNCH_FUZZ to the number of cases for each test; a few hundred thousand take an hour.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.gather import Gather
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.outcome import check_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.rules.assess import assess
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.deploy import Deploy
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.environments import environment_from
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.hostfile_outcome import hostfile_diff, hostfile_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.hostfile_writer import HostfileWriter
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.outcome import deploy_result, diff_of
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.parts.project import ProjectPart
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import wanted_project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import Fleet
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.replies import network_answers, prepare_answers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.replies.answers import _ANSWERS
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.deployed import Deployed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import RankPlace
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.check_table import render
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.describe import Describer
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.plan import JobPlan, plan_job
from tests.hostile.agents import Script, ScriptedAgent, connect
from tests.unit.controller.fleets import access
from tests.unit.controller.hosts.replies.answers import GOOD

# -- a host of ours, and one that lies


ANSWERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "hello": lambda asked: (
        GOOD["hello"] | ({} if asked["environment"] else {"python": None}) | ({"address": "10.0.0.9"} if asked.get("reached") else {})
    ),
    "survey": lambda asked: {**GOOD["survey"], **{name: None for name in ("environment", "project") if not asked["spec"][name]}},
    "look": lambda _asked: {**GOOD["look"], "environment": "absent", "environment_digest": "", "project": "absent", "shared": False},
    "project_begin": lambda asked: {"staging": f"{asked['root']}/projects/{asked['name']}/.part-1", "missing": ["train.py"]},
    "listen": lambda asked: dict.fromkeys(asked["addresses"]),
    "dial": lambda asked: [None for _target in asked["targets"]],
}


def honest(do: str, asked: dict[str, Any]) -> Any:
    """Return the answer of a host that has nothing yet and takes everything."""
    return ANSWERS[do](asked) if do in ANSWERS else GOOD[do]


def reply(result: Any) -> bytes:
    return wire.encode_json(wire.REPLY, {"result": result})


def good(do: str, asked: dict[str, Any]) -> tuple[bytes, bool]:
    return reply(honest(do, asked)), True


def ways(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value within one."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from ways(item, (*path, key))


def with_lie(value: Any, path: tuple[Any, ...], lie: Any) -> Any:
    if not path:
        return lie
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_lie(value[path[0]], path[1:], lie)
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
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from([wire.REPLY, wire.PROGRESS, wire.PONG, wire.STDOUT, wire.READY, wire.CALL]) | st.integers(0, 255)
FRAMES = st.builds(wire.encode, KINDS, st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()), st.integers(0, 3))
#: A lie about one call: the bytes for an honest answer, and whether the host goes on.
LIES = st.one_of(
    VALUES.map(lambda value: lambda _answer: (reply(value), True)),
    st.tuples(st.integers(0, 200), VALUES).map(
        lambda lie: lambda answer: (reply(with_lie(answer, (all_ways := list(ways(answer)))[lie[0] % len(all_ways)], lie[1])), True)
    ),
    VALUES.map(lambda value: lambda _answer: (wire.encode_json(wire.REPLY, {"error": value}), True)),
    VALUES.map(lambda value: lambda answer: (wire.encode_json(wire.PROGRESS, {"text": value}) + reply(answer), True)),
    st.lists(FRAMES, max_size=4).map(lambda frames: lambda _answer: (b"".join(frames), False)),
    st.binary(max_size=80).map(lambda data: lambda _answer: (data, False)),
    st.integers(2**20, 2**32 - 1).map(lambda size: lambda _answer: (wire.HEADER.pack(wire.REPLY, 0, 0, size) + bytes(100), False)),
)


def lying(lies: dict[str, Any]) -> Script:
    """Return the script of a host that answers some calls with lies."""

    def script(do: str, asked: dict[str, Any]) -> tuple[bytes, bool]:
        answer = honest(do, asked)
        found: tuple[bytes, bool] = lies[do](answer) if do in lies else (reply(answer), True)
        return found

    return script


def about(*calls: str) -> Any:
    """Return the strategy for lies about one call at least."""
    return st.dictionaries(st.sampled_from(calls), LIES, min_size=1, max_size=2)


class Happened:
    """Takes events; a person may see each at a terminal, and a program reads each as a line of JSON."""

    def __init__(self) -> None:
        self.kinds: list[tuple[str, str | None]] = []

    def __call__(self, kind: str, host: str | None = None, **details: Any) -> None:
        self.kinds.append((kind, host))
        event = Event(kind, "j", 0.0, host, None, details=details)
        assert_harmless(Describer(colour=False, verbose=True)(event) or "")
        json.dumps(event.to_json()).encode()


def assert_harmless(text: str) -> None:
    assert not {char for char in text if (ord(char) < 32 or 127 <= ord(char) < 160) and char not in "\n\t"}
    text.encode()


def fleet_of(lies: dict[str, Any], settings: JobSettings) -> tuple[Fleet, dict[str, ScriptedAgent]]:
    """Return hosts a, which is honest, and b, which is not."""
    agents: dict[str, ScriptedAgent] = {}
    scripts: dict[str, Script] = {"a": good, "b": lying(lies)}
    return Fleet({host: access(host) for host in scripts}, settings, connect(scripts, agents)), agents


@pytest.fixture(scope="module")
def here() -> Iterator[Path]:
    """Give a directory with a project and a lock, and a file beside them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "llm").mkdir()
        (folder / "llm/train.py").write_text("pass\n")
        (folder / "key").write_text("a private key")
        (folder / "lock.txt").write_text(f"mlx==0.32.4 --hash=sha256:{'0' * 64}\n")
        yield folder


# -- the tests


@given(about("hello", "look", "share", "build", "project_begin", "project_commit", "project_differences", "prune"))
def test_no_answer_harms_a_deploy_or_another_host(here: Path, lies: dict[str, Any]) -> None:
    settings = JobSettings(script=str(here / "llm/train.py"), project_dir=str(here / "llm"), environment=str(here / "lock.txt"))
    fleet, agents = fleet_of(lies, settings)
    events = Happened()
    outcome = Deploy(settings, wanted_project(settings), {}, differences=True, fleet=fleet).run(events)
    assert set(outcome.problems) <= {"b"}
    result = deploy_result(outcome, None, check=False)
    assert_harmless(
        Describer(colour=False, verbose=True)(Event("deploy_finished", "j", 0.0, None, None, details={**result, "duration": 0.0})) or ""
    )
    json.dumps([result, diff_of(outcome.differences, result["project"])]).encode()
    for do, asked in agents["b"].calls:
        assert do != "project_commit" or set(asked.get("contents") or ()) <= {"train.py"}


@given(about("hello", "clock", "survey", "listen", "dial", "hush"), st.booleans())
def test_no_answer_harms_a_check_or_another_host(here: Path, lies: dict[str, Any], deployed: bool) -> None:
    own = (
        {"script": str(here / "llm/train.py"), "project_dir": str(here / "llm"), "environment": str(here / "lock.txt")} if deployed else {}
    )
    settings = JobSettings(backend="ring", **own)
    names = [HostSettings(name, name) for name in ("a", "b")]
    places = [RankPlace(name, (f"10.0.0.{at}",)) for at, name in enumerate(("a", "b"), 1)]
    project = None
    if deployed and (wanted := wanted_project(settings)):
        project = ProjectPart(wanted, settings.script)
        project.scan(Deployed())

    def plan(deployed: Deployed, _addresses: Mapping[str, str]) -> JobPlan:
        return plan_job("j", settings, names, places, sources=host_sources(), default_python="/p", default_cwd="/", deployed=deployed)

    fleet, _agents = fleet_of(lies, settings)
    gather = Gather(settings, names, fleet.access, plan, environment_from(settings) if deployed else None, project, fleet)
    gather.run(Happened())
    facts = gather.facts
    assert facts["a"].failure == facts["a"].environment_failure == ""
    assert facts["a"].found["disk"] == GOOD["survey"]["disk"]
    rows = assess(facts)
    assert_harmless(render(rows))
    json.dumps(check_result(rows, None, facts)).encode()


@given(about("hello", "place_hostfile"))
def test_no_answer_harms_a_hostfile_or_another_host(lies: dict[str, Any]) -> None:
    fleet, _agents = fleet_of(lies, JobSettings())
    writer = HostfileWriter(JobSettings(), {}, "[]\n", check=False, fleet=fleet)
    events = Happened()
    writer.write_on_hosts(events)
    placed = writer.placed
    assert "a" in placed.changed
    assert set(placed.problems) <= {"b"}
    json.dumps(hostfile_result(placed, None, check=False)).encode()
    for difference in hostfile_diff(placed, "[]\n"):
        assert_harmless("".join(difference.values()))


def test_every_call_is_lied_about() -> None:
    elsewhere = {"fetch_find", "fetch_read", "begin_copy", "finish_copy", "wheels_folder", "environment_digest"}  # test_answers has these
    elsewhere |= {*network_answers.ANSWERS, *prepare_answers.ANSWERS}  # and the tests of their files those
    told = {"hello", "look", "share", "build", "project_begin", "project_commit", "project_differences", "prune", "place_hostfile"}
    assert set(_ANSWERS) == elsewhere | told | {"clock", "survey", "listen", "dial", "hush"}
