# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes of what the other side sends: a shape takes a value, and returns it or raises `Misfit` naming the field. Pure.

A host is not trusted. Behind a shape every field is there, and has its type, its range and a bounded size.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.wire import WireError

Shape = Callable[[Any], Any]

MOST_TEXT = 65536  # characters
MOST_ITEMS = 65536
_HALF = re.compile(r"[\ud800-\udfff]")  # half a pair of surrogates, which cannot be written out
# Python makes of a byte of a file's name that is no UTF-8 one of \udc80-\udcff. All others stay a mistake there, too.
_HALF_OF_NO_PATH = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")


class Misfit(Exception):
    """A value has not the shape that is wanted.

    Args:
        where: the field, from the outermost to the innermost name.
    """

    def __init__(self, where: str = "") -> None:
        super().__init__(where)
        self.where = where


def checked(host: str, what: str, shape: Shape, value: Any) -> Any:
    """Return a value that a host has sent, in its shape; fields that nobody asked for are left out.

    Raises:
        WireError: naming the host, the message or call, and the field.
    """
    try:
        return shape(value)
    except Misfit as misfit:
        raise foreign(host, what + (": " + misfit.where if misfit.where else "")) from None


def foreign(host: str, what: str) -> WireError:
    """Return the error of a host that does not keep to the protocol."""
    return WireError("%s sent what is not our protocol (%s)" % (host, what))


def text(most: int = MOST_TEXT, least: int = 0) -> Shape:
    """Return the shape of a text of so many characters."""
    return _text_without(_HALF, most, least)


def path_text(most: int = MOST_TEXT, least: int = 0) -> Shape:
    """Return the shape of a path, or of a text that may have one in it, which need not be UTF-8."""
    return _text_without(_HALF_OF_NO_PATH, most, least)


def _text_without(refused: re.Pattern[str], most: int, least: int) -> Shape:
    return _that(lambda value: isinstance(value, str) and least <= len(value) <= most and not refused.search(value))


def matching(pattern: str) -> Shape:
    """Return the shape of a text that matches a pattern as a whole; its classes stand for ASCII only."""
    wanted = re.compile(pattern, re.ASCII)
    return _that(lambda value: isinstance(value, str) and wanted.fullmatch(value) is not None)


def host_address(value: Any) -> str:
    """Return the IPv4 address of one host, written in the usual way: neither of a group, nor of all or any hosts."""
    try:
        address = ipaddress.IPv4Address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    # 0.0.0.0/8 stands for this network (RFC 1122), 224.0.0.0/4 for groups, the rest is reserved or everybody.
    if address is None or str(address) != value or not 0 < address.packed[0] < 224:
        raise Misfit
    return str(value)


def one_of(*values: Any) -> Shape:
    """Return the shape of some values, all of one type."""
    wanted = type(values[0])
    return _that(lambda value: isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool) and value in values)


def whole(first: int, last: int) -> Shape:
    """Return the shape of a whole number in a range."""
    return _that(lambda value: isinstance(value, int) and not isinstance(value, bool) and first <= value <= last)


def number(first: float, last: float) -> Shape:
    """Return the shape of a number in a range, with or without a fraction."""
    return _that(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and first <= value <= last)


def flag(value: Any) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise Misfit
    return value


def nothing(value: Any) -> None:
    """Return None."""
    if value is not None:
        raise Misfit


def optional(shape: Shape) -> Shape:
    """Return a shape, or None."""
    return lambda value: None if value is None else shape(value)


def either(first: Shape, second: Shape) -> Shape:
    """Return the shape of a value that has one of two; a misfit is told of the second."""

    def shape(value: Any) -> Any:
        try:
            return first(value)
        except Misfit:
            return second(value)

    return shape


def list_of(item: Shape, most: int = MOST_ITEMS) -> Shape:
    """Return the shape of a list of at most so many items."""
    return lambda value: [_at("[%d]" % at, item, each) for at, each in enumerate(_sized(value, list, most))]


def command(word: Shape, pattern: str, most: int = MOST_ITEMS) -> Shape:
    """Return the shape of a command line of at most so many words, which match a pattern as lines.

    Args:
        word: shape of each word, which must admit no end of a line.
        pattern: of all words, one a line.
        most: number of words.
    """
    words, form = list_of(word, most), matching(pattern)

    def shape(value: Any) -> Any:
        found = words(value)
        form("\n".join(found))
        return found

    return shape


def row_of(*items: Shape) -> Shape:
    """Return the shape of a list of just these items."""

    def shape(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(items):
            raise Misfit
        return [_at("[%d]" % at, item, each) for at, (item, each) in enumerate(zip(items, value))]

    return shape


def map_of(item: Shape, most: int = MOST_ITEMS, names: Collection[str] | Shape | None = None) -> Shape:
    """Return the shape of a mapping of at most so many items; of these names, or names of a shape."""
    known = text() if names is None else names
    name = known if callable(known) else _that(lambda value: value in known)
    return lambda value: {
        _at("name %d" % at, name, key): _at("[%d]" % at, item, each) for at, (key, each) in enumerate(_sized(value, dict, most).items())
    }


def record(required: Mapping[str, Shape], extra: Mapping[str, Shape] | None = None) -> Shape:
    """Return the shape of a mapping with fields that have to be there, and extra ones that may be."""
    fields = {**required, **(extra or {})}

    def shape(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Misfit
        absent = next((name for name in required if name not in value), None)
        if absent is not None:
            raise Misfit(absent)
        return {name: _at(name, field, value[name]) for name, field in fields.items() if name in value}

    return shape


def _that(fits: Callable[[Any], bool]) -> Shape:
    def shape(value: Any) -> Any:
        if not fits(value):
            raise Misfit
        return value

    return shape


def _sized(value: Any, kind: type, most: int) -> Any:
    if not isinstance(value, kind) or len(value) > most:
        raise Misfit
    return value


def _at(where: str, shape: Shape, value: Any) -> Any:
    try:
        return shape(value)
    except Misfit as misfit:
        raise Misfit(" ".join(filter(None, (where, misfit.where)))) from None
