# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers of agents, checked once where they come in against the shape that their call declares. Pure.

A host is not trusted: an answer that does not fit costs the host its place, and nothing else. A path in an answer is
one that follows from the call; the controller never opens a file because a host names it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ....module_utils.shared import patterns, wire
from ....module_utils.shared.shapes import (
    Shape,
    checked,
    either,
    flag,
    foreign,
    host_address,
    list_of,
    map_of,
    matching,
    nothing,
    number,
    one_of,
    optional,
    path_text,
    record,
    row_of,
    text,
    whole,
)
from . import network_answers, prepare_answers

_MIB = 1024 * 1024
# Of a call that lists files the answer may be larger; a path takes less than this many times its place in the call.
_PER_BYTE_ASKED = 16
_LONG_LIST = 16 * _MIB  # of as many files as one glob may stand for
_PIECE = 700_000  # characters: 512 KiB of a file in base64
_MOST_FILES = 2**20

_COUNT = whole(0, 2**63)
_NAME, _LINE, _PATH = text(255), text(4096), path_text(4096)
_SAID = path_text()  # to a person, perhaps about a path
_PATHS = list_of(_PATH, _MOST_FILES)
_DIGEST = matching(r"[0-9a-f]{64}|")
_WORD = matching(r"[A-Za-z0-9_.-]{0,64}")
_VERSION = matching(r"\d{1,3}\.\d{1,3}\.\d{1,3}(?:(?:a|b|rc|alpha|beta|candidate)\d{1,3})?")
_PROBLEM = optional(row_of(matching(r"[A-Z0-9]{0,32}"), _SAID))  # name of the errno and text, None when there is none

_PYTHON = record(
    {
        "path": _PATH,
        "version": _VERSION,
        "implementation": _WORD,
        # Two numbers of the release count, and are small: the names of all older ones are made of them.
        "platform": record({"system": _WORD, "machine": _WORD}, {"release": matching(r"(?:\d{1,3}(?:\.\d{1,3}){0,3})?"), "libc": _WORD}),
    },
    {"wanted": _PATH, "ensurepip": flag},
)


def _hello(environment: Any = None, reached: str = "", **_asked: Any) -> Shape:
    facts: dict[str, Shape] = {"system": _WORD, "machine": _WORD, "root_user": flag, "rsync": flag, "script": flag, "home": _PATH}
    facts |= {"address": host_address} if reached else {}
    return record({**facts, "python": _PYTHON} if environment else facts)


def _look(key: str, name: str, **_asked: Any) -> Shape:
    environment: dict[str, Shape] = {"environment": one_of("complete", "absent", "incomplete"), "environment_digest": _DIGEST}
    project: dict[str, Shape] = {"project": one_of("present", "edited", "absent"), "edited": _PATHS, "extra": _PATHS}
    return record({"shared": flag, **(environment if key else {}), **(project if name else {})})


def _made(**_asked: Any) -> Shape:
    return record({"digest": matching(r"[0-9a-f]{64}")})


def _begin_copy(root: str, key: str, **_asked: Any) -> Shape:
    return one_of("", posixpath.join(root, "envs", key))


def _wheels_folder(root: str, wheelhouse: str, **_asked: Any) -> Shape:
    return one_of(posixpath.join(root, "wheels", wheelhouse))


def _project_begin(root: str, name: str, **_asked: Any) -> Shape:
    return record({"staging": either(one_of(""), _below(posixpath.join(root, "projects", name))), "missing": _PATHS})


def _below(folder: str) -> Shape:
    """Return the shape of a path directly below a directory."""
    path = path_text(4096)

    def shape(value: Any) -> Any:
        before, name = posixpath.split(path(value))
        return one_of(folder)(before) and one_of(value)(posixpath.normpath(value)) if name else one_of(folder)(value)

    return shape


def _listen(addresses: Sequence[str], **_asked: Any) -> Shape:
    return map_of(_PROBLEM, names=addresses)


def _dial(targets: Sequence[Any], **_asked: Any) -> Shape:
    return row_of(*[_PROBLEM for _target in targets])


def _survey(spec: Mapping[str, Any], **_asked: Any) -> Shape:
    deployed = {
        "environment": _ENVIRONMENT if spec["environment"] else nothing,
        "project": _PROJECT if spec["project"] else nothing,
    }
    safe = record({**_SURVEYED, **deployed})
    # A host looks at nothing below a root that others could change.
    unsafe = record({**_SURVEYED, **dict.fromkeys(deployed, nothing)})

    def shape(value: Any) -> Any:
        root = value.get("root") if isinstance(value, dict) else None
        return (unsafe if isinstance(root, dict) and root.get("problem") else safe)(value)

    return shape


_RUNS = {
    "version": _VERSION,
    **dict.fromkeys(("implementation", "machine", "platform", "mlx"), _NAME),
    **dict.fromkeys(("executable", "program"), _PATH),
}
# Outputs of programs, as they are. The host sees to it that all of them fit into a reply.
_REPORTS = record({"answers": map_of(text(_MIB), 32), "failed": map_of(_LINE, 32)})
_ENVIRONMENT = record({"path": _PATH, "state": one_of("complete", "absent", "incomplete"), "digest": _DIGEST, "problem": _SAID})
_PROJECT = record({"state": one_of("present", "edited", "absent"), "path": _PATH, "edited": _PATHS, "extra": _PATHS, "closed": _SAID})
_SURVEYED: Mapping[str, Shape] = {
    "root": optional(record({"path": _PATH, "problem": _SAID})),
    "system": record(dict.fromkeys(("name", "version", "build", "chip", "machine"), _NAME)),
    "python": either(
        record({"path": _PATH, "problem": path_text(least=1), "import_error": _SAID}),
        record({"path": _PATH, "problem": one_of(""), "import_error": _SAID, **_RUNS}),
    ),
    "script": list_of(_SAID),
    "addresses": record({"own": list_of(row_of(_NAME, _NAME)), "problems": list_of(text())}),
    "mpirun": record({"path": _PATH, "version": _NAME}),
    "disk": record({"path": _PATH, "free": _COUNT, "total": _COUNT}),
    "kept": _SAID,
    "memory": record(dict.fromkeys(("total", "available", "wired"), optional(_COUNT))),
    "open_files": optional(_COUNT),
    "processes": optional(_COUNT),
    "ends_with_login": flag,
    "stray": list_of(_NAME, 64),
    "reports": optional(_REPORTS),
    "fast_synch": optional(path_text()),
    "leftovers": record(
        {
            **dict.fromkeys(("jobs", "folders", "staging", "environments"), _PATHS),
            "processes": list_of(row_of(whole(1, 2**31), _NAME, _NAME)),
        }
    ),
}

_NO_FILE = record({"same": one_of(False), "before": one_of(""), "mode": nothing})
_A_FILE = record({"same": flag, "before": text(_MIB), "mode": whole(0, 0o7777)})

# By call: a function that is given its arguments, and returns the shape of its answer.
_ANSWERS: Mapping[str, Callable[..., Shape]] = {
    "hello": _hello,
    "look": _look,
    "share": lambda **_asked: nothing,
    "environment_digest": lambda **_asked: _DIGEST,
    "build": _made,
    "begin_copy": _begin_copy,
    "finish_copy": _made,
    "wheels_folder": _wheels_folder,
    "project_begin": _project_begin,
    "project_commit": lambda **_asked: _PATH,
    "project_differences": lambda **_asked: record(dict.fromkeys(("added", "changed", "removed"), _PATHS)),
    "prune": lambda **_asked: list_of(_SAID),
    "place_hostfile": lambda **_asked: either(_NO_FILE, _A_FILE),
    "survey": _survey,
    "clock": lambda **_asked: number(0, 2.0**40),
    "listen": _listen,
    "dial": _dial,
    "fetch_find": lambda **_asked: list_of(row_of(_PATH, _COUNT, flag, _DIGEST), patterns.MOST),
    "fetch_read": lambda **_asked: list_of(text(_PIECE), 256),
    "hush": lambda **_asked: nothing,
    **network_answers.ANSWERS,
    **prepare_answers.ANSWERS,
}
_REPLY = either(record({"error": _SAID}), record({"result": lambda value: value}))
_PROGRESS = record({"text": _SAID})


def most_bytes(do: str, call: bytes) -> int:
    """Return the size that the answer to a call may have; it is held in memory, one for each host."""
    least = _LONG_LIST if do in ("fetch_find", "network") else _MIB
    return min(least + _PER_BYTE_ASKED * len(call), wire.MAX_PAYLOAD)


def progress_of(host: str, frame: wire.Frame) -> str:
    """Return the text of a host's progress, or raise WireError."""
    found: dict[str, str] = checked(host, "progress", _PROGRESS, frame.json())
    return found["text"]


def reply_of(host: str, do: str, arguments: Mapping[str, Any], frame: wire.Frame) -> dict[str, Any]:
    """Return the answer to a call, as {result} in the shape of this call, or as {error} for a person.

    Raises:
        WireError: naming the host, the call and the field that does not fit.
    """
    reply: dict[str, Any] = checked(host, f"answer to {do}", _REPLY, frame.json())
    if "error" in reply:
        return reply
    return {"result": checked(host, f"answer to {do}", _ANSWERS[do](**arguments), reply["result"])}


def unexpected(host: str, frame: wire.Frame) -> wire.WireError:
    """Return the error for a frame that no agent sends."""
    return foreign(host, f"frame of kind {frame.kind}")
