# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a deploy: as a record, as the result of a task, and as Ansible's diff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...module_utils.lead.outcome import Cause
from ...module_utils.shared.exit_status import EXIT_NOT_READY
from ...module_utils.shared.manifest import printable
from ..job.deployed import Deployed

Differences = Mapping[str, Sequence[str]]  # paths of files that were added, changed and removed


@dataclass(frozen=True)
class Outcome:
    """How a deploy ended.

    Attributes:
        deployed: paths and digests on every host now, or as they would be in check mode.
        changed: by host, the parts that were deployed there.
        problems: by host, why it failed; empty when all is well.
        differences: by host, paths of files that were added, changed and removed.
    """

    deployed: Deployed = field(default_factory=Deployed)
    changed: Mapping[str, list[str]] = field(default_factory=dict)
    problems: Mapping[str, list[str]] = field(default_factory=dict)
    differences: Mapping[str, Differences] = field(default_factory=dict)


def deploy_result(outcome: Outcome, cause: Cause | None, *, check: bool) -> dict[str, Any]:
    """Return the outcome of a deploy as its event and the task's result have it.

    Args:
        outcome: of the deploy.
        cause: why it was ended early, or None.
        check: nothing was changed.
    """
    deployed, count = outcome.deployed, len(outcome.changed)
    if not cause and outcome.problems:
        text = f"{len(outcome.problems)} hosts could not be deployed to: {', '.join(outcome.problems)}"
        cause = Cause("not_ready", EXIT_NOT_READY, text)
    if not cause:
        done = "would change" if check else "changed"
        cause = Cause("deployed", 0, f"{count} hosts {done}" if count else "nothing to do: all hosts have it")
    return {
        "returncode": cause.returncode,
        "cause": cause.kind,
        "message": cause.message,
        "problems": outcome.problems,
        "hosts_changed": outcome.changed,
        "differences": outcome.differences,
        "root": deployed.root,
        "environment": deployed.environment,
        "environment_digest": deployed.environment_digest,
        "python": deployed.python,
        "project": deployed.project,
        "project_digest": deployed.project_digest,
        "script": deployed.script,
    }


def diff_of(differences: Mapping[str, Differences], project: str) -> list[dict[str, str]]:
    """Return the differences in a project's files, as Ansible's `diff` has it: hosts with the same ones together."""
    by_text: dict[str, list[str]] = {}
    for host, found in differences.items():
        lines = [f"{sign} {printable(path)}" for sign, kind in (("+", "added"), ("~", "changed"), ("-", "removed")) for path in found[kind]]
        by_text.setdefault("\n".join(lines), []).append(host)
    return [{"prepared": f"{project} on {', '.join(hosts)}\n{text}\n"} for text, hosts in by_text.items()]
