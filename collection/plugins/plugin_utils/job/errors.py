# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of a launch, the exit status that stands for each, and the names of options in their texts."""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ...module_utils.shared.exit_status import EXIT_INTERNAL, EXIT_USAGE


class LaunchError(Exception):
    """Root of all errors; its text is one message for a person."""

    returncode = EXIT_INTERNAL

    def __reduce__(self) -> tuple[Any, ...]:
        """Let pickle, as between processes, restore text and attributes; a subclass may be made of other arguments."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class UsageError(LaunchError):
    """A flag, an inventory or a hostfile makes no sense. Nothing was started."""

    returncode = EXIT_USAGE


_by_flag = ContextVar("mlxlaunch_by_flag", default=True)


@contextmanager
def naming_options(*, by_flag: bool) -> Iterator[None]:
    """Let errors name options by their flags, or by their variables, as these are all that a play knows."""
    token = _by_flag.set(by_flag)
    try:
        yield
    finally:
        _by_flag.reset(token)


def option_name(flag: str, variable: str) -> str:
    """Return the name of an option for whoever has given it: a flag, or a variable."""
    return flag if _by_flag.get() else variable
