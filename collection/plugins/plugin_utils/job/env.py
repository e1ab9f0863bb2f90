# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables for the ranks, as a user gives them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...module_utils.shared.names import JACCL_ALIASES
from .errors import UsageError
from .structured import kind_of

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def check_env(env: Mapping[Any, object], where: str = "--env") -> dict[str, str]:
    """Return `env` with its values as text, or raise UsageError for a name no environment can hold."""
    checked = {}
    for name, value in env.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise UsageError(f"{where}: {name!r} is not a valid name: letters, digits and _ only, no digit first")
        if name in JACCL_ALIASES:
            raise UsageError(f"{where}: MLX would take {name} in place of the variable that the job sets; leave it out")
        # YAML's yes is True, and MLX reads "True" as 0: only the user knows which text is meant.
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            # Not shown: it may be a secret of a form that nobody expects.
            raise UsageError(f"{where}: the value of {name} is {kind_of(value)}; want text, in quotes")
        text = str(value)
        if why := not_carried(text):
            raise UsageError(f"{where}: the value of {name} {why}")
        checked[name] = text
    return checked


def not_carried(text: str) -> str:
    """Return why no process can be given a text, to follow its name, "" when it can be."""
    if "\0" in text:
        return "contains a NUL byte"
    try:  # surrogates stand for bytes that are no text, as those of names of files
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "contains half of a surrogate pair, which no file system takes"
    return ""


def parse_env(items: Iterable[str], where: str = "--env") -> dict[str, str]:
    """Return the variables that "NAME=VALUE" items set.

    The last item of a name counts, and a name alone is empty, as for mlx.launch.
    """
    env = {}
    for at, item in enumerate(items, 1):
        name, equals, value = item.partition("=")
        if not equals and not _NAME.match(item):
            # The item is not shown: it may be a secret whose name was forgotten.
            raise UsageError(f"{where}: item {at}: want NAME=VALUE")
        env[name] = value
    return check_env(env, where)
