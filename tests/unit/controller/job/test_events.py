"""Events are one type, and docs/events.schema.json describes every kind of them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import mlxlaunch_ansible
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import KINDS, Event

CHECKOUT = Path(__file__).parents[4]
SOURCES = (CHECKOUT / "collection" / "plugins", CHECKOUT / "mlxlaunch_ansible")
SCHEMA = json.loads((CHECKOUT / "docs" / "events.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
#: Calls that make an event, by the last part of the name: the reporter's method under its names, the policy's action, the type.
MAKES = re.compile(r"_?(emit|report)|Emit|Report|Event")

END = {"rank": 0, "host": "mac-1", "returncode": 143, "signal": "SIGTERM", "duration": 12.4, "stopped": True}
FAILED = {"rank": 1, "host": "mac-2", "returncode": 7, "signal": None, "duration": 12.3, "stopped": False}
NEVER = {"rank": 2, "host": "mac-2", "returncode": None, "signal": None, "duration": None, "stopped": False}
PLANNED_RANK = {
    "rank": 0,
    "host": "mac-1",
    "local_rank": 0,
    "local_size": 1,
    "ips": ["10.0.0.1"],
    "listen": ["10.0.0.1:32323"],
    "argv": ["/p", "t.py"],
    "command": "/p t.py",
    "cwd": "/data",
    "cwd_or_home": False,
    "env": {"MLX_RANK": "0"},
}
PLAN = {
    "backend": "mpi",
    "world_size": 1,
    "ranks": [PLANNED_RANK],
    "hostfile": {"backend": "mpi", "envs": [], "hosts": [{"ssh": "mac-1", "ips": []}]},
    "files": {"MLX_HOSTFILE": "[]"},
    "deploy": {
        "project": {"source": "t.py", "path": "<root>/projects/t", "digest": "0f", "with": ["net.py"], "or_at": "/here/t.py"},
        "environment": None,
    },
    "mpirun": {"candidates": ["/opt/bin/mpirun"], "commands": {"5": ["<mpirun>"]}},
    "unknown": {"<root>": "a directory"},
}
OUTCOME = {"returncode": 0, "message": "all is well", "duration": 1.5}
ROW = {"host": "mac-1", "ranks": [0], "status": "ok", "cells": {"ssh": {"value": "yes", "status": "ok", "notes": []}}}
MET = {
    "host": "mac-1",
    "state": "unknown key",
    "text": "its host key is not known to ssh",
    "user": "me",
    "key": {"kind": "ED25519", "fingerprint": "SHA256:x", "known_as": "10.0.0.1"},
    "done": ["made ~/.ssh/id_ed25519"],
    "facts": {"system": "Darwin"},
    "commands": [["touch", "/tmp/x"]],
}

#: By kind: host, rank and details.
SAMPLES: dict[str, tuple[str | None, int | None, dict[str, Any]]] = {
    "job_started": (None, None, {"world_size": 2, "hosts": ["mac-1", "mac-2"], "prefix": False, "verbose": True}),
    "note": (None, None, {"text": "train.py goes with helper.py"}),
    "waiting": (None, None, {"text": "waiting for mac-2", "hosts": ["mac-2"]}),
    "host_deployed": ("mac-1", None, {"what": "hostfile", "path": "/opt/mlx/hosts.json"}),
    "host_ready": (
        "mac-1",
        None,
        {
            "hostname": "mac-1.local",
            "pid": 77,
            "cwd": "/data",
            "platform": "darwin",
            "supervisor_python": "3.9.6",
            "environment": ["MLX_METAL_FAST_SYNCH"],
            "folder": "/tmp/mlxlaunch-x",
        },
    ),
    "host_environment": ("mac-1", None, {"variables": {"MLX_METAL_FAST_SYNCH": "1"}}),
    "host_refused": ("mac-1", None, {"problems": ["python /p is not there"]}),
    "warning": ("mac-1", None, {"text": "careful"}),
    "rank_started": ("mac-1", 0, {"pid": 78}),
    "rank_output": ("mac-1", 0, {"stream": "stdout", "offset": 0, "length": 4}),
    "rank_exited": ("mac-1", 0, {"returncode": 0, "signal": None, "duration": 0.5, "stopped": False, "error": ""}),
    "host_lost": ("mac-1", None, {"text": "silent for 30 s"}),
    "mpirun_said": ("mac-1", None, {"name": "its daemon", "text": "no slots\n"}),
    "job_stopping": (None, None, {"cause": "rank_failed", "text": "rank 1 failed"}),
    "job_finished": (
        None,
        None,
        {
            **OUTCOME,
            "returncode": 7,
            "cause": "rank_failed",
            "problems": {},
            "first_failure": {**FAILED, "error": "", "tail": ["ValueError: no"]},
            "ranks": [END, FAILED, NEVER],
            "run_dir": "/runs/j1",
            "cwd": "/data",
            "hint": "",
            "written": {"mac-1": "/opt/mlxlaunch/projects/llm/0/out"},
        },
    ),
    "job_planned": (None, None, {"plan": PLAN}),
    "job_refused": (None, None, {"returncode": 2, "message": "no hosts to launch on"}),
    "deploy_finished": (
        None,
        None,
        {
            **OUTCOME,
            "cause": "not_ready",
            "problems": {"mac-2": ["no space left"]},
            "hosts_changed": {"mac-1": ["environment", "project"]},
            **dict.fromkeys(("root", "environment", "environment_digest", "python", "project", "project_digest", "script"), "/x"),
        },
    ),
    "check_finished": (None, None, {**OUTCOME, "cause": "ready", "checks": [ROW], "facts": {"mac-1": {"cpus": 8}}, "width": None}),
    "network_finished": (
        None,
        None,
        {**OUTCOME, "cause": "planned", "network": {"hosts": []}, "text": "host", "dot": "", "files": ["/x"], "changed": True, "diff": []},
    ),
    "prepare_finished": (
        None,
        None,
        {**OUTCOME, "cause": "prepared", "prepare": {"hosts": []}, "text": "host", "changed": True, "diff": []},
    ),
    "contact_finished": (None, None, {**OUTCOME, "cause": "not_ready", "hosts": [MET], "changed": True}),
}


def event_of(kind: str) -> Event:
    host, rank, details = SAMPLES[kind]
    return Event(kind, "20260131-142501-9c41f0", 1.5, host, rank, details=details)


def emitted() -> Iterator[tuple[str, ast.Call]]:
    """Yield (kind, call) for every call in the sources that makes an event of a literal kind."""
    for path in (path for folder in SOURCES for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "attr", "") or getattr(node.func, "id", "")
                kind = node.args[0].value
                if MAKES.fullmatch(name) and isinstance(kind, str):
                    yield kind, node


def fields_of(kind: str) -> set[str]:
    return set(SCHEMA["$defs"][kind]["properties"]) - {"event", "rank"}


def test_schema_and_table_have_the_same_kinds() -> None:
    assert SCHEMA["properties"]["event"]["enum"] == list(KINDS)
    assert [choice["$ref"] for choice in SCHEMA["oneOf"]] == [f"#/$defs/{kind}" for kind in KINDS]
    assert all(SCHEMA["$defs"][kind]["properties"]["event"] == {"const": kind} for kind in KINDS)


def test_every_kind_is_emitted_and_no_other() -> None:
    assert {kind for kind, _call in emitted()} == set(KINDS)


def test_emitted_fields_are_those_of_the_schema() -> None:
    for kind, call in emitted():
        names = {keyword.arg for keyword in call.keywords} - {"host", "rank", "details"}
        if None not in names and names:
            assert names == fields_of(kind), kind


@pytest.mark.parametrize("kind", KINDS)
def test_sample_of_each_kind_is_valid(kind: str) -> None:
    VALIDATOR.validate(event_of(kind).to_json())


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_field_is_not_valid(kind: str) -> None:
    assert not VALIDATOR.is_valid({**event_of(kind).to_json(), "data": "secret"})


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_may_be_missing(kind: str) -> None:
    details = event_of(kind).to_json()
    required = set(SCHEMA["required"]) | set(SCHEMA["$defs"][kind]["required"])
    for name in required:
        assert not VALIDATOR.is_valid({key: value for key, value in details.items() if key != name}), name


@pytest.mark.parametrize("kind", KINDS)
def test_event_survives_json(kind: str) -> None:
    made = event_of(kind)
    assert Event.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_bytes_of_output_are_beside_its_fields() -> None:
    details = event_of("rank_output").to_json()
    read = Event.from_json(details, b"up\xff\n")
    assert (read.data, read.stream, read.rank) == (b"up\xff\n", "stdout", 0)
    assert read.to_json() == details


def test_other_events_have_no_stream() -> None:
    assert event_of("warning").stream is None


def test_fields_of_a_later_version_are_kept() -> None:
    details = {**event_of("warning").to_json(), "severity": 3}
    assert Event.from_json(details).details["severity"] == 3
    assert Event.from_json({**details, "event": "job_resumed"}).event == "job_resumed"


def test_package_exports_this_type() -> None:
    assert mlxlaunch_ansible.Event is Event
