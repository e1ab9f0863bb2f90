# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work that a preparation is to do: only look, apply, or take back; and its options, checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..job.errors import UsageError, option_name
from ..job.settings import Setting, check_value
from .items import BY_NAME, NAMES, check_item

PRESENT, ABSENT = "present", "absent"
#: The options of the action that are about its work; `NAMES` are those about items.
WORK = ("apply", "state")
OPTIONS = (*NAMES, *WORK)
_APPLY = Setting("apply", "bool", False, "Change the hosts.")


@dataclass(frozen=True)
class Work:
    """The work on hosts.

    Attributes:
        apply: change what is not as it is to be; without it, only tell.
        undo: go back to the recorded state.
        dry_run: change nothing, tell what would change.
    """

    apply: bool = False
    undo: bool = False
    dry_run: bool = False

    @property
    def wanted(self) -> bool:
        """Whether hosts are to be changed, or in a dry run would be."""
        return self.apply or self.undo

    @property
    def writes(self) -> bool:
        """Whether hosts are changed."""
        return self.wanted and not self.dry_run


def check_work(given: Mapping[str, Any], *, dry_run: bool = False) -> Work:
    """Return the work that options ask for, and look at the values of items that are for all hosts.

    Args:
        given: options by name; None stands for "not given".
        dry_run: change nothing.

    Raises:
        UsageError: naming the option, its value and the values that would do.
    """
    shown, undoing = option_name("--apply", "mlx_prepare_apply"), option_name("--undo", f"mlx_prepare_state={ABSENT}")
    apply = check_value(_APPLY, given.get("apply"), shown)
    state = given.get("state") or PRESENT
    if state not in (PRESENT, ABSENT):
        raise UsageError(f"{option_name('--state', 'mlx_prepare_state')} {state!r}: want {PRESENT} or {ABSENT}")
    items = [name for name in NAMES if given.get(name) is not None]
    for name in items:
        check_item(BY_NAME[name], given[name], BY_NAME[name].shown)
    undo = state == ABSENT
    if undo and apply:
        raise UsageError(f"{undoing} takes a preparation back, and {shown} makes one; want one of them")
    if undo and items:
        raise UsageError(f"{undoing} takes back all that was set, whatever it was; {BY_NAME[items[0]].shown} has no use there")
    return Work(apply, undo, dry_run)
