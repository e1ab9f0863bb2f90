# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of writing a hostfile: as the result of a task, and as Ansible's diff."""

from __future__ import annotations

from typing import Any

from ...module_utils.lead.outcome import Cause
from ...module_utils.shared import atomic_file
from ...module_utils.shared.exit_status import EXIT_NOT_READY
from ..output.escape import escape
from .hostfile_writer import Found, Placed


def hostfile_result(placed: Placed, cause: Cause | None, *, check: bool) -> dict[str, Any]:
    """Return the outcome as its event and the task's result have it.

    Args:
        placed: where the file is.
        cause: why it was ended early, or None.
        check: nothing was changed.
    """
    if not cause and placed.problems:
        text = f"{len(placed.problems)} hosts could not be given the hostfile: {', '.join(placed.problems)}"
        cause = Cause("not_ready", EXIT_NOT_READY, text)
    if not cause:
        cause = Cause("deployed", 0, _message(placed, "would change" if check else "changed"))
    return {
        "returncode": cause.returncode,
        "cause": cause.kind,
        "message": cause.message,
        "problems": {host: [text] for host, text in placed.problems.items()},
        "hosts_changed": {host: ["hostfile"] for host in placed.changed},
        "root": placed.root,
        "path": placed.path,
        "path_changed": placed.changed_here,
    }


def _message(placed: Placed, done: str) -> str:
    hosts = f"hostfile on {len(placed.changed)} hosts {done}" if placed.changed else "hostfile: nothing to do on the hosts"
    return f"{hosts}; {placed.path} {done}" if placed.changed_here else hosts


def hostfile_diff(placed: Placed, text: str) -> list[dict[str, str]]:
    """Return the differences as Ansible's `diff` has it: hosts with the same ones together."""
    there = [(placed.path, placed.found_here)] if placed.found_here and placed.changed_here else []
    groups: dict[tuple[str, int | None], list[str]] = {}
    for host in placed.changed:
        groups.setdefault((placed.found[host]["before"], placed.found[host]["mode"]), []).append(host)
    there += [(f"{placed.path_on_hosts} on {', '.join(hosts)}", placed.found[hosts[0]]) for hosts in groups.values()]
    return [_difference(where, found, text) for where, found in there]


def _difference(where: str, found: Found, text: str) -> dict[str, str]:
    if found["before"] == text:
        return {"prepared": f"{where}\nmode {found['mode']:04o}, to be {atomic_file.mode_of(text):04o}\n"}
    return {"before_header": where, "after_header": where, "before": escape(found["before"]), "after": text}
