# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a fetch: as the result of a task, and as Ansible's diff. Pure."""

from __future__ import annotations

from typing import Any

from ...module_utils.lead.outcome import Cause
from ...module_utils.shared.exit_status import EXIT_NOT_READY
from ...module_utils.shared.manifest import printable
from .fetch import Fetched, size_text
from .wanted import HostFile


def fetch_result(fetched: Fetched, host: str, to: str, cause: Cause | None, *, check: bool) -> dict[str, Any]:
    """Return the outcome as the task's result has it.

    Args:
        fetched: the files.
        host: where they are from.
        to: where they are.
        cause: why it was ended early, or None.
        check: nothing was changed.
    """
    if not cause and fetched.problem:
        cause = Cause("not_fetched", EXIT_NOT_READY, f"mlx_fetch: {host}: {fetched.problem}")
    if not cause:
        cause = Cause("fetched", 0, _message(fetched, host, to, check=check))
    new = {file.path for file in fetched.new}
    return {
        "returncode": cause.returncode,
        "cause": cause.kind,
        "message": cause.message,
        "host": host,
        "to": to,
        "files": [
            {"path": file.path, "dest": f"{to}/{'/'.join(file.place)}", "size": file.size, "changed": file.path in new}
            for file in fetched.files
        ],
        "bytes": sum(file.size for file in fetched.new),
    }


def _message(fetched: Fetched, host: str, to: str, *, check: bool) -> str:
    if not fetched.new:
        return f"nothing to do: {to} has all {len(fetched.files)} files of {host}"
    size = size_text(sum(file.size for file in fetched.new))
    done = "would be fetched" if check else "fetched"
    return f"{len(fetched.new)} of {len(fetched.files)} files, {size}, {done} from {host} to {to}"


def fetch_diff(fetched: Fetched, host: str, to: str) -> list[dict[str, str]]:
    """Return the differences in the directory's files, as Ansible's `diff` has it."""
    lines = [f"{_sign(file, fetched)} {printable('/'.join(file.place))}" for file in fetched.new]
    return [{"prepared": "\n".join([f"{to}, from {host}", *lines, ""])}] if lines else []


def _sign(file: HostFile, fetched: Fetched) -> str:
    return "~" if file in fetched.replaced else "+"
