"""Agents that answer anything at all, while a network is looked at, set up and measured, and while hosts are prepared.

As `test_fuzzed_answers`, over real pipes.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.fleet import Fleet
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.gather import Probe
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.outcome import look_at, network_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import check_wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.run import NetworkRun
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.outcome import prepare_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.run import PrepareRun
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import Work
from tests.hostile.agents import ScriptedAgent
from tests.hostile.lies import (
    NETWORK,
    PREPARE,
    From,
    Happened,
    Honest,
    about,
    assert_diff_harmless,
    assert_harmless,
    cases,
    fleet_of,
    said_to,
)
from tests.unit.controller.hosts.replies.answers import ASKED, GOOD
from tests.unit.controller.prepare.answers import LIMIT, SLEEP, mac, row
from tests.unit.macs import macs, ring

# -- the network


INFO = '[{{"ifname": "eth0", "addr_info": [{{"family": "inet", "local": "198.18.0.{}", "prefixlen": 24}}]}}]'
LINUX = {
    name: HostAnswers("Linux", {"ip_addr.json": INFO.format(at), "ip_route.json": "[]", "interfaces.json": '{"eth0": {"carrier": "1"}}'})
    for at, name in enumerate("ab", 1)
}
CABLED = macs(2, rdma=True, services={"en2": "Thunderbolt 1"}).cable("a1", "b2").cable("a2", "b1", through=("Flex 8",)).answers()
ONE_CABLE = ring(2, addresses={"en2": "10.9.9.1/30"}).answers()
#: What hosts have, and what is wished for; each call is made in one or another.
RUNS: dict[str, tuple[dict[str, HostAnswers], dict[str, Any]]] = {
    "look": (LINUX, {}),
    "ethernet": (LINUX, {"measure": True, "apply": True}),
    "ethernet of macs": (ONE_CABLE, {"measure": True, "over": "ethernet"}),
    "measure": (CABLED, {"ignore_unreachable": True, "measure": True}),
    "set up": (CABLED, {"apply": True}),
    "rdma": (CABLED, {"apply": True, "measure": True, "backend": "jaccl"}),
    "one cable": (ONE_CABLE, {"apply": True, "measure": True, "ignore_unreachable": True}),
    "undo": (CABLED, {"state": "absent"}),
}


def port_of(interface: str, ip: str, mask: str, **_asked: Any) -> dict[str, Any]:
    return {**GOOD["set_up_port"], "interface": interface, "steps": [["networksetup", "-setmanual", "Fabric", ip, mask]]}


class Networked:
    """A host whose links all work."""

    def __init__(self, answers: HostAnswers) -> None:
        self._answers = answers
        self._addresses: dict[str, str] = {}

    def __call__(self, do: str, asked: dict[str, Any]) -> Any:
        if do == "set_up_port":
            self._addresses[f"rdma_{asked['port']['interface']}"] = asked["port"]["ip"]
        return self._done(do, asked)

    def _done(self, do: str, asked: dict[str, Any]) -> Any:
        answers = self._answers
        if do == "network":
            return {"format": 1, "system": answers.system, "answers": dict(answers.texts), "failed": dict(answers.failed)}
        if do == "set_up_port":
            return port_of(**asked["port"])
        if do == "answer_links":
            return dict.fromkeys(asked["addresses"], 5000)
        if do == "try_links":
            return [{"latency": 0.001, "bandwidth": 1e9} for _target in asked["targets"]]
        if do == "rdma_ports":
            gids = {device: f"GID[  1]:\t\t::ffff:{self._addresses.get(device, '')}\n" for device in asked["devices"]}
            return {device: f"\t\t\tstate:\t\tPORT_ACTIVE (4)\n\t\t\t{gid}" for device, gid in gids.items()}
        return {"running": {"jobs": [], "uid": 0}, "undo_ports": [port_of("en2", "10.0.0.1", "255.255.255.252")]}.get(do, GOOD[do])


def words(value: Any) -> Iterator[str]:
    """Yield all texts in the arguments of a call; some are JSON."""
    if isinstance(value, str):
        yield from words(json.loads(value)) if value.startswith("[") else [value]
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from words(item)


IP = r"\d{1,3}(\.\d{1,3}){3}"
SVG = {"svg", "title", "style", "rect", "g", "path", "text", "circle"}


def assert_told_nothing(calls: Sequence[dict[str, Any]]) -> None:
    """An honest host hears its own names, addresses, and the token of a trial."""
    for asked in calls:
        for word in words(asked):
            assert re.fullmatch(rf"({IP}(:\d{{1,5}})?)?|(rdma_)?en[0-7]|eth0|[0-9a-f]{{16}}", word, re.ASCII), asked


def assert_written(folder: Path, wished: Mapping[str, str], files: Sequence[str]) -> None:
    """Nothing is there but what was wished for, and none of it is a program, or acts on a terminal."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert any(path.is_relative_to(each) for each in wished.values())
        if not path.is_relative_to(wished["record"]):
            assert str(path) in files
            text = path.read_text()
            assert_harmless(text)
            assert not re.search(r"\{[{%#]", text) or path.suffix == ".svg"
            if path.suffix == ".svg":
                assert {element.tag.partition("}")[2] for element in ET.fromstring(text).iter()} <= SVG  # noqa: S314 - it has no entities


class Roots:
    """Makes fleets of hosts on which to be root, which answer and lie as they do for a user, and keeps all agents.

    Args:
        lies: of the host b.
        answers: of all hosts.
    """

    def __init__(self, lies: Mapping[str, From], answers: Mapping[str, Honest]) -> None:
        self._lies = lies
        self._answers = answers
        self.agents: list[dict[str, ScriptedAgent]] = []

    def __call__(self, chosen: Sequence[str]) -> tuple[Fleet, Mapping[str, str]]:
        fleet, agents = fleet_of(self._lies, JobSettings(), {host: self._answers[host] for host in chosen})
        self.agents.append(agents)
        return fleet, {}

    def said_to_a(self, *calls: str) -> list[dict[str, Any]]:
        """Return the arguments of the calls of the host that is honest."""
        return [asked for agents in self.agents if "a" in agents for asked in said_to(agents["a"], *calls)]


@cases(250)
@given(about(*NETWORK), st.sampled_from(sorted(RUNS)), st.booleans())
def test_no_answer_harms_a_network_or_another_host(lies: dict[str, From], run: str, dry_run: bool) -> None:
    cluster, wished = RUNS[run]
    roots = Roots(lies, {host: Networked(each) for host, each in cluster.items()})
    fleet, _reasons = roots("ab")
    happened = Happened()
    with tempfile.TemporaryDirectory() as name:
        paths = {each: f"{name}/{each}" for each in ("output_hostfile", "output_vars", "record")} | {"svg": f"{name}/x.svg"}
        wishes = check_wishes({**wished, **paths})
        probe = Probe(JobSettings(), {}, fleet)
        look, work = NetworkRun(fleet, probe, roots, wishes, lambda found: look_at(found, wishes), {}, dry_run=dry_run).run(happened)
        result = network_result(look, wishes, work, check=dry_run)
        assert_written(Path(name), paths, result["files"])
    happened("network_finished", **result)
    assert look.answers["a"].failure == ""
    assert_told_nothing(roots.said_to_a(*NETWORK))
    assert_harmless(f"{result['text']}{result['dot']}")
    assert_diff_harmless(result["diff"])


# -- a preparation


WORKS = [Work(), Work(apply=True), Work(undo=True), Work(apply=True, dry_run=True)]
ITEMS = ASKED["prepare"]["wishes"]


def prepared(_do: str, asked: dict[str, Any]) -> Any:
    """Return the answer of a Mac that takes everything, and as root has it."""
    if "trial" not in asked:
        return {"jobs": [], "uid": 0}
    state = "would change" if asked["trial"] else "changed"
    return mac(row("sleep", state, **SLEEP), row("wired_limit", state, "as auto", **LIMIT), row("open_files", "right"))


@cases(250)
@given(about(*PREPARE), st.sampled_from(WORKS))
def test_no_answer_harms_a_preparation_or_another_host(lies: dict[str, From], work: Work) -> None:
    roots = Roots(lies, {"a": prepared, "b": prepared})
    fleet, _reasons = roots("ab")
    happened = Happened()
    outcome = PrepareRun(fleet, roots, {"a": ITEMS, "b": ITEMS}, {}, work).run(happened)
    result = prepare_result(outcome)
    happened("prepare_finished", **result)
    assert_harmless(result["text"])
    assert_diff_harmless(result["diff"])
    honest, liar = outcome.hosts
    assert all(problem.startswith("b: ") for problem in outcome.problems)
    assert {item.state for item in honest.items} == {"right", "changed" if work.writes and not outcome.refused else "would change"}
    assert not outcome.refused or liar.having("failed")
    for asked in roots.said_to_a("prepare", "undo_prepare"):
        assert {**asked, "trial": True} in ({"wishes": ITEMS, "trial": True, "python": ""}, {"trial": True})
