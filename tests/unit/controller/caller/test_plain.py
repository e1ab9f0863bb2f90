"""Plain values for Python's many types."""

from __future__ import annotations

import array
import enum
from collections import UserDict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.plain import plain

Backend = enum.Enum("Backend", {"RING": "ring"})
TextBackend = enum.Enum("TextBackend", {"RING": "ring"}, type=str)
Port = enum.IntEnum("Port", {"FIRST": 32323})


class Text(str):
    """Text of another type, as NumPy has it."""

    __slots__ = ()


class BytesPath:
    """A path of bytes."""

    def __fspath__(self) -> bytes:
        return b"/x/\xff"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("a", "a"),
        (Text("a"), "a"),
        (Path("/x"), "/x"),
        (BytesPath(), "/x/\udcff"),
        (Backend.RING, "ring"),
        (TextBackend.RING, "ring"),
        (Port.FIRST, 32323),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 2), 0.5),
        (SimpleNamespace(tolist=lambda: 3), 3),
        (array.array("i", [1, 2]), [1, 2]),
        ((Path("a"), Backend.RING), ["a", "ring"]),
        ((str(n) for n in range(2)), ["0", "1"]),
        (range(2), [0, 1]),
        (MappingProxyType({"A": Path("a")}), {"A": "a"}),
        (UserDict({"A": ("b",)}), {"A": ["b"]}),
        (b"a", b"a"),
    ],
)
def test_value_is_plain(value: Any, expected: Any) -> None:
    found = plain(value)
    assert (found, type(found)) == (expected, type(expected))


def test_value_that_stands_for_nothing_stays() -> None:
    value = object()
    assert plain(value) is value
