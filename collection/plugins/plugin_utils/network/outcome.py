# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a look at the network: document, text and graph, and the files that were wished for."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...module_utils.shared import atomic_file
from ..job.errors import UsageError
from .change.result import Work, diff_of, lines_of, outcome_of
from .facts.answers import HostAnswers
from .facts.host import host_network
from .plan.plan import Plan
from .plan.planning import plan_network
from .plan.wishes import Wishes
from .recording.anonymise import anonymised
from .recording.store import check_target, write_recording
from .variables import is_ours, variable_files
from .views.document import document_of, hostfile_of
from .views.dot import render_dot
from .views.svg import render_svg
from .views.table import render


@dataclass(frozen=True)
class Look:
    """What all hosts answered, and the plan that follows.

    Attributes:
        answers: by host, in order.
        plan: the plan.
        ssh: the name to reach each host by, for a hostfile.
        names: other names of hosts, which a recording is not to have.
    """

    answers: Mapping[str, HostAnswers]
    plan: Plan
    ssh: Mapping[str, str] = field(default_factory=dict)
    names: Iterable[str] = ()


def look_at(answers: Mapping[str, HostAnswers], wishes: Wishes, ssh: Mapping[str, str] | None = None, names: Iterable[str] = ()) -> Look:
    """Return the plan that answers and wishes lead to."""
    hosts = [host_network(name, found) for name, found in answers.items()]
    return Look(answers, plan_network(hosts, wishes), ssh or {}, tuple(names))


def network_result(look: Look, wishes: Wishes, work: Work | None = None, *, check: bool = False) -> dict[str, Any]:
    """Write the files that are wished for, and return the result of the look.

    All that can be refused is refused before anything is written.

    Args:
        look: the answers and the plan.
        wishes: have the paths.
        work: everything that was done beside looking.
        check: write nothing, only tell what would change.

    Raises:
        UsageError: a file cannot be written, or is not ours.
    """
    work = work or Work()
    document = document_of(look.plan, look.ssh)
    undone = work.undo and not work.problems
    returncode, message = outcome_of(work, 0 if undone else document["returncode"], document["message"])
    document |= {"returncode": returncode, "message": message, **work.to_json()}
    texts = _texts(look, wishes, whole=not work.problems and not work.undo)
    for path, text in texts.items():
        _place(path, text, check=True)
    if wishes.record:
        check_target(wishes.record)
    changes = [path for path, text in texts.items() if not _place(path, text, check=check)]
    if wishes.record:
        changes.append(wishes.record)
        if not check:
            write_recording(wishes.record, anonymised(look.answers, look.names, secrets.token_bytes(16)))
    return {
        "returncode": document["returncode"],
        "cause": "planned" if not document["returncode"] else "not_ready",
        "message": document["message"],
        "network": document,
        "text": render(look.plan, more=list(lines_of(work))),
        "dot": render_dot(look.plan),
        "files": changes,
        "changed": bool(changes) or work.changed,
        "diff": diff_of(work),
    }


def stopped_result(returncode: int, cause: str, message: str) -> dict[str, Any]:
    """Return the result of a look that was ended early."""
    return {
        "returncode": returncode,
        "cause": cause,
        "message": message,
        "network": None,
        "text": "",
        "dot": "",
        "files": [],
        "changed": False,
        "diff": [],
    }


def _texts(look: Look, wishes: Wishes, *, whole: bool) -> dict[str, str]:
    """Return the text of each file by its path; a plan that fails, or is not whole on hosts, gives only a picture."""
    texts: dict[str, str] = {}
    if wishes.svg:
        texts[_path(wishes.svg)] = render_svg(look.plan)
    if look.plan.failing or not whole:
        return texts
    if wishes.output_hostfile:
        texts[_path(wishes.output_hostfile)] = hostfile_of(look.plan, look.ssh).render(wishes.schema)
    if wishes.output_vars:
        folder = Path(_path(wishes.output_vars))
        for name, text in variable_files(look.plan).items():
            path = folder / name
            if path.is_symlink() or (path.exists() and not is_ours(_read(path))):
                raise UsageError(f"--output-vars: {path} is not ours; move it, or name another directory")
            texts[str(path)] = text
    return texts


def _path(text: str) -> str:
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as exc:  # no such user
        raise UsageError(f"{text}: {exc}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise UsageError(f"{path}: cannot be read: {exc.strerror}") from None


def _place(path: str, text: str, *, check: bool) -> bool:
    """Write a file, or only try; return whether it was so already."""
    try:
        return bool(atomic_file.place(path, text, check)["same"])
    except OSError as exc:
        raise UsageError(atomic_file.complaint(path, exc)) from None
