# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain values for those of Python's many types, as JSON carries them."""

from __future__ import annotations

import enum
import numbers
import os
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any


def plain(value: Any) -> Any:
    """Return text, a number, a list or a mapping for whatever stands for one in Python.

    A path is its text, a member of an Enum its value, and what NumPy or MLX has is what its `tolist` gives. Any other
    value stays as it is, bytes too: whoever needs the value refuses it in words of its own.
    """
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if callable(getattr(value, "tolist", None)) and not isinstance(value, memoryview):
        return plain(value.tolist())
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [plain(item) for item in value]
    return _number(value)


def _number(value: Any) -> Any:
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, (numbers.Real, Decimal)) else value
