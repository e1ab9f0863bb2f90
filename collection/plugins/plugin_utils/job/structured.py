# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists and mappings that arrive as text: from INI inventories and from `-e NAME=VALUE`. Pure."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .errors import UsageError

_BRACKETS = ("[", "{")
_NULL = ("null", "~")


def structured(value: Any, variable: str, where: str = "") -> Any:
    """Return the list or mapping that a text writes out, in JSON, Python or YAML; any other value as it is.

    Args:
        value: as Ansible, Python or a command line gives it.
        variable: its name in Ansible.
        where: begins the message, by default `variable`.

    Raises:
        UsageError: the text begins like one and is none. It is not shown, as it may be a secret.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(_BRACKETS):
        return value
    text = value.strip()
    for read in (json.loads, ast.literal_eval, _without_quotes):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, (list, dict)):
            return found
    example = "{...}" if text.startswith("{") else "[...]"
    raise UsageError(
        f"{where or variable}: this is text that begins with {text[0]} and is not JSON; use YAML or -e '{{\"{variable}\": {example}}}'"
    )


def kind_of(value: Any) -> str:
    """Return the kind of a value that is not shown, as it may be a secret; truth values and None are none."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return "text"
    known = ((int | float, "a number"), (Mapping, "a mapping"), (bytes | bytearray, "bytes"), (Sequence, "a list"))
    return next((name for kind, name in known if isinstance(value, kind)), f"a value of type {type(value).__name__}")


def _without_quotes(text: str) -> Any:
    """Return what an INI inventory leaves of JSON on the line of a host, where it removes quotes, or raise ValueError.

    That is YAML. All of it is text, as 1.10 may have been in quotes, but for null.
    """
    import yaml  # late: hardly any job needs it

    try:
        found = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - makes only text, lists and mappings
    except yaml.YAMLError as exc:
        raise ValueError from exc
    # One with blanks may be words that only look like a list, as in [ -f FILE ].
    if any(" " in leaf or "\n" in leaf for leaf in _leaves(found)):
        raise ValueError(text)
    return _with_nulls(found)


def _leaves(value: Any) -> Iterator[str]:
    """Give the texts in a value; of a mapping, an entry without a value counts as one with a blank."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{key} " if item == "" else str(key)
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nulls(item) for item in value]
    return None if value in _NULL else value
