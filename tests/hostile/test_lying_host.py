"""Hosts that lie: a host's Python answers with a stranger's words.

Whatever it says costs that host its place, and nothing else: no other host, no file of the controller, no terminal.
"""

from __future__ import annotations

import json
import resource
import sys
import textwrap
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from tests.integration.cluster import ANSIBLE_PLAYBOOK, LEASE, MLXLAUNCH, Cluster, Done, events_of, last_run
from tests.integration.deploying import ROOT, Site
from tests.lab import Host
from tests.lab.start import CHECKOUT

COLLECTIONS = Path(wire.__file__.partition("ansible_collections")[0])

# Real hosts of the lab: node2 and node3 lie, in place of their Python stands tests/hostile/liar.py

LIAR = "/opt/liar"
SECRET = "the private key of ada"
ESCAPES = "\x1b]52;c;eA==\x07\x9b2J\x1b[1;1Hall hosts are ready"
#: Put before every lie: the frame as it came, and one that holds something else.
LIE = """
import json
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
def same(frame, **more):
    return wire.encode(frame.kind, frame.payload, frame.rank, frame.offset)
def told(frame, message, rank=None):
    return wire.encode_json(frame.kind, message, frame.rank if rank is None else rank)
def forever(say, data):
    while True:
        say(data)
def lie(frame, call, say):
    if frame.kind == wire.REPLY and call and call["do"] == {call!r}:
        reply = frame.json()
        result = reply.get("result")
{body}
    elif frame.kind == {kind}:
{body}
    return same(frame)
"""


def teach(host: Host, body: str, *, call: str = "", kind: int = -1) -> None:
    """Put the liar in place of a host's Python: it lies about one call, or instead of frames of one kind."""
    folder = host.path(LIAR)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "heard").unlink(missing_ok=True)
    (folder / "liar.py").write_text((Path(__file__).parent / "liar.py").read_text())
    (folder / "lie.py").write_text(LIE.format(call=call, kind=kind, body=textwrap.indent(textwrap.dedent(body).strip(), " " * 8)))
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={COLLECTIONS} exec {sys.executable} {LIAR}/liar.py "$@"\n')
    python.chmod(0o755)


def liars(cluster: Cluster, count: int = 3) -> Path:
    """Write an inventory of node1, which is honest, and of liars."""
    hosts = {host.name: {"ansible_python_interpreter": f"{LIAR}/python3"} if at else {} for at, host in enumerate(cluster.hosts[:count])}
    return cluster.inventory(hosts)


_before: list[int] = []


def largest_child() -> int:
    """Return the memory, in KiB, of the largest process that this one has waited for."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


@pytest.fixture(autouse=True)
def earlier_children() -> None:
    """Note the memory of processes that earlier tests have started."""
    _before.append(largest_child())


def assert_harmless(done: Done) -> None:
    """Nothing that was printed acts on a terminal; no exception was shown; memory did not grow."""
    text = done.stdout + done.stderr
    assert not {char for char in text if (ord(char) < 32 or 127 <= ord(char) < 160) and char not in "\n\t"}, text
    assert "Traceback" not in text
    assert largest_child() <= max(_before[-1], 500 * 1024), "KiB"


#: Lies in answers: the call, the lie, and what is said of it.
ANSWERS: dict[str, tuple[str, str, str]] = {
    "list": ("hello", "return told(frame, {'result': []})", "answer to hello"),
    "python": ("hello", "return told(frame, {'result': {**result, 'system': 'x' * 10**6}})", "answer to hello: system"),
    "escapes": ("hello", f"return told(frame, {{'error': {ESCAPES!r}}})", r"\x1b]52;c;eA==\x07\x9b2J"),
    "nesting": ("hello", "return wire.encode(frame.kind, b'[' * 500_000)", "does not hold JSON"),
    "length": ("hello", "return wire.HEADER.pack(frame.kind, 0, 0, 2**32 - 1) + bytes(2**20)", "a frame of 4294967295 bytes"),
    "endless": ("hello", "forever(say, wire.encode(wire.STDOUT, bytes(2**16)))", "frame of kind"),
    "no end": ("hello", "say(wire.HEADER.pack(frame.kind, 0, 0, 2**25)); forever(say, bytes(2**16))", "a frame of 33554432 bytes"),
    "silence": ("look", "return None", "silent for"),
    "state": ("look", "return told(frame, {'result': {**result, 'project': 'perfect'}})", "answer to look: project"),
    "other files": (
        "project_begin",
        "return told(frame, {'result': {**result, 'missing': ['../key', '/etc/passwd', '../../key']}})",
        "files that are not part of the project",
    ),
    "other place": ("project_begin", "return told(frame, {'result': {**result, 'staging': '/etc'}})", "answer to project_begin: staging"),
    "other answer": ("project_commit", "return told(frame, {'result': ['x']})", "answer to project_commit"),
}


#: Lies that can be told at the same time, as they are about the same round of a deploy.
TOGETHER = [
    ("list", "python"),
    ("escapes", "nesting"),
    ("length", "endless"),
    ("no end",),
    ("silence", "state"),
    ("other files", "other place"),
    ("other answer",),
]


@pytest.mark.parametrize("pair", TOGETHER, ids=" and ".join)
def test_lie_in_a_deploy_costs_the_host_that_lies(pair: tuple[str, ...], site: Site, cluster: Cluster) -> None:
    site.file("key", SECRET)
    script = site.file("llm/train.py")
    for host, name in zip(cluster.hosts[1:], pair, strict=False):
        teach(host, ANSWERS[name][1], call=ANSWERS[name][0])
    done = site.sync("--project-dir", script.parent, script, "--lease", LEASE, "-i", liars(cluster, 1 + len(pair)))
    assert_harmless(done)
    assert done.returncode == 3, done.stderr
    for host, name in zip(cluster.hosts[1:], pair, strict=False):
        assert any(host.name in line and ANSWERS[name][2] in line for line in done.stderr.splitlines()), (name, done.stderr)
        assert SECRET.encode() not in (host.path(LIAR) / "heard").read_bytes()
    named = ", ".join(host.name for host in cluster.hosts[1 : 1 + len(pair)])
    assert f"could not be deployed to: {named}\n" in done.stderr


#: The same for a check.
CHECKS: dict[str, tuple[str, str, str]] = {
    "clock": ("clock", "return told(frame, {'result': 1e308})", "answer to clock"),
    "no clock": ("clock", "return told(frame, {'result': float('nan')})", "answer to clock"),
    "field": ("survey", "del result['disk']; return told(frame, reply)", "answer to survey: disk"),
    "pid": (
        "survey",
        "result['leftovers']['processes'] = [['1; id', '', '']]; return told(frame, reply)",
        "answer to survey: leftovers",
    ),
    "version": ("survey", f"result['python'].update(version={ESCAPES!r}); return told(frame, reply)", "answer to survey: python"),
    "count": ("dial", "return told(frame, {'result': []})", "answer to dial"),
    "names": ("listen", "return told(frame, {'result': {'10.0.0.1:1': None}})", "answer to listen"),
    "frame": ("survey", "return wire.encode(wire.EXITED, b'{}', 0)", "frame of kind 6"),
}


@pytest.mark.parametrize("pair", [list(CHECKS)[at : at + 2] for at in range(0, len(CHECKS), 2)], ids=" and ".join)
def test_lie_in_a_check_costs_the_host_that_lies(pair: list[str], cluster: Cluster) -> None:
    for host, name in zip(cluster.hosts[1:], pair, strict=False):
        teach(host, CHECKS[name][1], call=CHECKS[name][0])
    done = cluster._run([*MLXLAUNCH, "check", "-i", liars(cluster), "--lease", LEASE])
    assert_harmless(done)
    assert done.returncode == 3, done.stderr
    [node1] = [line for line in done.stdout.splitlines() if line.startswith("node1 ")][:1]
    assert node1.split()[1] == "yes!"[:3]
    for host, name in zip(cluster.hosts[1:], pair, strict=False):
        assert any(host.name in line and CHECKS[name][2] in line for line in done.stdout.splitlines()), (name, done.stdout)


def test_lie_about_a_hostfile_costs_the_host_that_lies(site: Site, cluster: Cluster) -> None:
    teach(cluster.hosts[1], "return told(frame, {'result': {'same': 'perhaps', 'before': '', 'mode': 420}})", call="place_hostfile")
    teach(
        cluster.hosts[2], f"return told(frame, {{'result': {{'same': False, 'before': {ESCAPES!r}, 'mode': 420}}}})", call="place_hostfile"
    )
    variables = {"mlx_hostfile_path": str(site.here / "hosts.json")}
    playbook = [ANSIBLE_PLAYBOOK, "-i", liars(cluster), CHECKOUT / "playbooks/hostfile.yml", "--diff", "-e", json.dumps(variables)]
    done = cluster._run(playbook, cwd=CHECKOUT)
    assert_harmless(done)
    assert done.returncode != 0
    assert "answer to place_hostfile: same" in done.stderr
    assert cluster.hosts[0].path(ROOT).joinpath("hostfile.json").read_bytes() == (site.here / "hosts.json").read_bytes()


#: Lies in a launch: the kind of frame in place of which the liar sends something else, that, and what is said of it.
FRAMES: dict[str, tuple[int, str, str]] = {
    "facts": (wire.READY, "return told(frame, [1])", "node2 sent what is not our protocol (ready)"),
    "text": (wire.READY, f"return wire.encode_json(wire.REFUSED, {{'problems': [{ESCAPES!r}]}})", r"\x1b]52;c;eA==\x07\x9b2J"),
    "surrogate": (wire.READY, "return told(frame, {'cwd': '\\ud800'})", "node2 sent what is not our protocol (ready: cwd)"),
    "length": (wire.STARTED, "return wire.HEADER.pack(frame.kind, 0, 0, 2**32 - 1)", "a frame of 4294967295 bytes"),
    "no JSON": (wire.STARTED, "return wire.encode(frame.kind, b'{', frame.rank)", "does not hold JSON"),
    "nesting": (wire.STARTED, "return wire.encode(frame.kind, b'[' * 500_000, frame.rank)", "does not hold JSON"),
    "process": (wire.STARTED, "return told(frame, {'pid': 2**70})", "node2 sent what is not our protocol (started: pid)"),
    "other rank": (wire.STARTED, "return told(frame, {'pid': 1}, rank=0)", "about rank 0, which does not run there"),
    "other output": (wire.STARTED, "return wire.encode(wire.STDOUT, b'forged', 0, 0)", "about rank 0, which does not run there"),
    "other end": (
        wire.STARTED,
        "return wire.encode_json(wire.EXITED, {'code': 0, 'signal': 0, 'at': 0.1, 'stopped': False, 'error': ''}, 0)",
        "about rank 0, which does not run there",
    ),
    "offset": (wire.STARTED, "return wire.encode(wire.STDOUT, b'forged', frame.rank, 2**64 - 10)", "which does not follow"),
    "daemon": (
        wire.STARTED,
        "return wire.encode_json(wire.WANTED, {'id': 1, 'host': 'a', 'words': ['/bin/sh']})",
        "does not fit a job",
    ),
    "endless": (wire.STARTED, "forever(say, wire.encode(99, bytes(2**16)))", "a frame of unknown kind 99"),
    "silence": (wire.STARTED, "return None", "silent for"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_lie_in_a_launch_costs_the_host_that_lies(name: str, cluster: Cluster) -> None:
    kind, body, reason = FRAMES[name]
    teach(cluster.hosts[1], body, kind=kind)
    script = cluster.script("import time\nprint('up', flush=True)\nwhile True: time.sleep(1000)")
    done = cluster.mlxlaunch("-i", liars(cluster, 2), "--no-sync", "--lease", LEASE, "--grace", "1", script)
    assert_harmless(done)
    assert done.returncode == 3, done.stderr
    assert any("node2" in line and reason in line for line in done.stderr.splitlines()), done.stderr
    assert "forged" not in done.stdout
    events = events_of(last_run(cluster))
    ends = [event for event in events if event["event"] == "rank_exited" and event["rank"] == 0]
    if kind == wire.READY:
        assert ends == []
    else:
        assert [(end["host"], end["stopped"]) for end in ends] == [("node1", True)]
