# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of hosts in a form that no terminal acts on. Pure.

The bytes that ranks print go to the terminal as they are. Everything that we say ourselves goes through here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")  # harmless, and frequent in the last lines of a traceback
# Half a surrogate is a byte of a path that is not UTF-8. Written as that byte it may be a control character, or part of one.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escape(text: str) -> str:
    """Return a text without colours, and with its other control characters written out; line breaks and tabs stay."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], _COLOURS.sub("", text))


def json_text(value: Any, indent: int | None = None) -> str:
    """Return data as JSON that a person may see as well: the same data, without a raw control character."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, indent=indent, ensure_ascii=False))


def escaped(value: Any) -> Any:
    """Return data with every text in it escaped, names of fields too."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, Mapping):
        return {escaped(name): escaped(item) for name, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, (list, tuple)) else value
