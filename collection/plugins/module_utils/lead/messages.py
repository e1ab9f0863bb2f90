# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of a host, checked once where they come in: behind this, every field is there and has its type.

A host is not trusted. A message that does not fit costs the host its place in the job, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.shapes import (
    Shape,
    checked,
    either,
    flag,
    host_address,
    list_of,
    map_of,
    matching,
    number,
    one_of,
    optional,
    path_text,
    record,
    text,
    whole,
)

# An offset beyond this, eight exbibytes, is a lie; the frame's field could hold more.
LAST_OFFSET = 2**63
_LONGEST = 2.0**53  # seconds

_CODE, _SIGNAL, _ID = whole(0, 255), whole(0, 127), whole(-1, 2**63)
_NAME, _PATH = text(255), path_text(4096)
_SAID = path_text()  # to a person, perhaps about a path
_MPIRUN = either(
    record({"error": _SAID}),
    record({"version": matching(r"\d{1,5}(\.\d{1,5}){0,3}"), "libmpi": _PATH}, {"folders": list_of(_PATH, 16)}),
)

# By kind: its name, and the fields that have to be there, and those that may be. All others are left out.
_MESSAGES: Mapping[int, tuple[str, Shape]] = {
    wire.READY: (
        "ready",
        record(
            {"cwd": _PATH},
            {
                **dict.fromkeys(("hostname", "platform", "supervisor_python"), _NAME),
                "folder": _PATH,
                "pid": _ID,
                "environment": map_of(text(), names=_PATH),
                "values": map_of(path_text(), names=_PATH),
                "address": either(one_of(""), host_address),
                "others": list_of(_NAME, 256),
                "shifts": list_of(whole(-65535, 65535)),
                "uid": _ID,
                "mpirun": map_of(_MPIRUN, names=_PATH),
            },
        ),
    ),
    wire.REFUSED: ("refused", record({"problems": list_of(_SAID)})),
    wire.STARTED: ("started", record({"pid": _ID})),
    wire.EXITED: (
        "exited",
        record(
            {"code": _CODE, "signal": _SIGNAL, "at": number(0, _LONGEST), "stopped": flag},
            {"error": _SAID, "signal_name": optional(_NAME)},
        ),
    ),
    wire.WARNING: ("warning", record({"text": _SAID})),
    wire.DONE: ("done", record({"remaining": map_of(_NAME)}, {"known": flag, "written": _PATH})),
    wire.WANTED: ("wanted", record({"id": _ID, "host": _NAME, "words": list_of(path_text(2**18))})),
    wire.SAID: ("said", record({"name": _NAME, "text": text()})),
    wire.EXITED_SERVICE: ("exited service", record({"name": _NAME, "code": _CODE, "signal": _SIGNAL, "error": _SAID})),
}
# Facts that are read, from a host that does not report them.
_DEFAULTS: Mapping[int, Mapping[str, Any]] = {
    wire.READY: {"hostname": "", "supervisor_python": "", "address": "", "others": (), "shifts": (), "uid": -1, "mpirun": {}}
}


def message_of(host: str, frame: wire.Frame) -> dict[str, Any]:
    """Return the message in a control frame.

    Raises:
        wire.WireError: naming the host, the kind and the field that does not fit.
    """
    kind, shape = _MESSAGES[frame.kind]
    found: dict[str, Any] = checked(host, kind, shape, frame.json())
    return {**_DEFAULTS.get(frame.kind, {}), **found}
