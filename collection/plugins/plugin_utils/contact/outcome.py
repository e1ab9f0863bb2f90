# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the first contact with a host has come, and what is left to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ...module_utils.lead.outcome import Cause
from ...module_utils.shared.exit_status import EXIT_NOT_READY
from ..job.errors import UsageError
from .verdict import NO_KEY

READY = "ready"
UNKNOWN_KEY = "unknown key"  # a person has to say whether it is the host's
WRONG_KEY = "wrong key"  # neither the known nor the given one
WANTS_PASSWORD = "wants password"  # noqa: S105 - the name of a state
WRONG_PASSWORD = "wrong password"  # noqa: S105 - the same
UNREACHABLE = "unreachable"
NO_PYTHON = "no python"


#: What a launch, a check or a preparation says of a host that a first contact may make reachable.
_MENDED = (NO_KEY, "Permission denied", "the command line tools are missing")


def can_be_mended(failure: str) -> bool:
    """Return whether a first contact may help against a reason why a host could not be asked."""
    return any(sign in failure for sign in _MENDED)


@dataclass(frozen=True)
class Key:
    """A host's key that ssh does not know yet.

    Attributes:
        kind: its algorithm as people call it, ED25519 for example.
        fingerprint: as ssh shows it.
        known_as: the name under which ssh looks for it.
    """

    kind: str
    fingerprint: str
    known_as: str


@dataclass(frozen=True)
class Meeting:
    """A host, after the attempt to meet it.

    Attributes:
        host: its name.
        state: READY, or what is in the way.
        text: the same for a person, and what to do next; "" when nothing is in the way.
        user: the one who logs in.
        key: the key that is not known.
        done: what was changed, here or there, or would be.
        facts: what a host that was met says of itself, see `commands.facts_in`.
        commands: for a person, where nobody could be root.
    """

    host: str
    state: str = READY
    text: str = ""
    user: str = ""
    key: Key | None = None
    done: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    commands: tuple[tuple[str, ...], ...] = ()


def contact_result(meetings: Sequence[Meeting], cause: Cause | None, *, apply: bool) -> dict[str, Any]:
    """Return the outcome of a first contact.

    Args:
        meetings: one for each host, and for each jump host on the way to one.
        cause: why it was ended early, or None.
        apply: whether anything was to be changed.
    """
    cause = cause or _cause(meetings, apply=apply)
    return {
        "returncode": cause.returncode,
        "cause": cause.kind,
        "message": cause.message,
        "hosts": [asdict(meeting) for meeting in meetings],
        "changed": any(meeting.done for meeting in meetings),
    }


def skipped_result() -> dict[str, Any]:
    """Return the outcome of a first contact that the preparation after it does without."""
    message = "no first contact is wanted, or the preparation after it changes nothing"
    return {"returncode": 0, "cause": "skipped", "message": message, "hosts": [], "changed": False, "skipped": True}


def _cause(meetings: Sequence[Meeting], *, apply: bool) -> Cause:
    unknown = [meeting for meeting in meetings if meeting.key]
    other = [meeting for meeting in meetings if meeting.state != READY and not meeting.key]
    if not unknown and not other:
        return Cause("ready", 0, f"{len(meetings)} hosts can be reached" if len(meetings) != 1 else f"{meetings[0].host} can be reached")
    lines = [f"{meeting.host}: {meeting.text}" for meeting in other]
    if unknown:
        lines.append(f"{', '.join(meeting.host for meeting in unknown)}: {how_to_confirm(unknown, apply=apply)}")
    return Cause("not_ready", UsageError.returncode if unknown and apply else EXIT_NOT_READY, "\n".join(lines))


def how_to_confirm(unknown: Sequence[Meeting], *, apply: bool) -> str:
    """Return how keys that ssh does not know can be confirmed where nobody is asked."""
    them = "its host key is" if len(unknown) == 1 else "their host keys are"
    if not apply:
        return f"{them} not known to ssh; mlxlaunch prepare --apply shows and asks"
    return (
        f"{them} not known to ssh, and nobody can be asked here; give --host-key NAME=FINGERPRINT (mlx_prepare_host_key), "
        "or run it on a terminal"
    )
