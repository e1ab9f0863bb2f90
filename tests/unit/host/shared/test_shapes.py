"""Shapes of messages: what fits comes out as it went in, and anything else is refused by the name of its field."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import shapes
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.shapes import Misfit, Shape, checked
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.wire import WireError

#: By name: a shape, values that have it, and values that have not.
CASES: dict[str, tuple[Shape, list[Any], list[Any]]] = {
    "text": (shapes.text(3), ["", "abc", "é"], ["abcd", "\ud800", "\udc80", "\udc9b", "\udcff", "\udfff", None, 1, b"a", ["a"]]),
    "some text": (shapes.text(3, least=1), ["a"], ["", "abcd"]),
    "path": (shapes.path_text(3, least=1), ["abc", "\udc80", "\udcff"], ["", "abcd", "\ud800", "\udc7f", "\udd00", "\udfff", None, 1]),
    "pattern": (shapes.matching("[0-9]+"), ["12"], ["", "12\n", "a12", "12a", 12, None]),
    "digits": (shapes.matching(r"\d+"), ["12"], ["\uff11", "\u0661", "1\u00b2"]),
    "host address": (
        shapes.host_address,
        ["10.0.0.1", "127.0.0.1", "169.254.7.8", "1.0.0.0", "223.255.255.255"],
        [
            *("999.1.1.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", "010.0.0.1", "10.0.1", "167772161"),
            *("\uff11.2.3.4", "\u0661.2.3.4", " 10.0.0.1", "10.0.0.1\n", "10.0.0.1:80", "::1", "a", ""),
            *(None, 167772161, b"\x0a\0\0\1", ["1"]),
        ],
    ),
    "values": (shapes.one_of("a", ""), ["a", ""], ["b", None, 0, ["a"]]),
    "whole": (shapes.whole(0, 9), [0, 9], [-1, 10, True, 1.0, "1", None, 2**70]),
    "number": (shapes.number(0, 9), [0, 8.5], [-0.1, math.nan, math.inf, False, "1", None]),
    "flag": (shapes.flag, [True, False], [0, 1, None, "true"]),
    "nothing": (shapes.nothing, [None], [0, "", False, [], {}]),
    "optional": (shapes.optional(shapes.flag), [None, True], [0, ""]),
    "either": (shapes.either(shapes.flag, shapes.text()), [True, "x"], [None, 1]),
    "list": (shapes.list_of(shapes.flag, 2), [[], [True, False]], [None, (), "", {}, [1], [True] * 3]),
    "command": (
        shapes.command(shapes.matching(r"[^\n]*"), r"ls\n(-l|-a)", 2),
        [["ls", "-l"], ["ls", "-a"]],
        [[], ["ls"], ["ls\n-l"], ["ls", "-l", "-a"], ["rm", "-l"], ["ls", 1], "ls", None],
    ),
    "row": (shapes.row_of(shapes.flag, shapes.text()), [[True, ""]], [[], [True], [True, "", ""], ["", True], None]),
    "map": (shapes.map_of(shapes.flag, 2), [{}, {"a": True}], [None, [], {"a": 1}, {"a": True, "b": True, "c": True}, {"\udcff": True}]),
    "names": (shapes.map_of(shapes.flag, names=["a"]), [{"a": True}], [{"b": True}]),
    "names of a shape": (shapes.map_of(shapes.flag, names=shapes.path_text(3)), [{"\udcff": True}], [{"\ud800": True}, {"abcd": True}]),
    "record": (
        shapes.record({"a": shapes.flag}, {"b": shapes.text()}),
        [{"a": True}, {"a": True, "b": ""}],
        [{}, {"a": 1}, {"a": True, "b": 1}, []],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value_that_fits_is_taken_as_it_is(name: str) -> None:
    shape, good, _bad = CASES[name]
    assert [shape(value) for value in good] == good


@pytest.mark.parametrize("name", CASES)
def test_value_that_does_not_fit_is_refused(name: str) -> None:
    shape, _good, bad = CASES[name]
    for value in bad:
        with pytest.raises(Misfit):
            shape(value)


def test_fields_that_nobody_asked_for_are_left_out() -> None:
    assert shapes.record({"a": shapes.flag})({"a": True, "host": "b", "event": "x"}) == {"a": True}


def test_error_names_host_message_and_field() -> None:
    shape = shapes.record({"rows": shapes.list_of(shapes.map_of(shapes.row_of(shapes.flag, shapes.flag)))})
    with pytest.raises(WireError, match=r"^b sent what is not our protocol \(answer to look: rows \[1\] \[0\] \[1\]\)$"):
        checked("b", "answer to look", shape, {"rows": [{}, {"x": [True, 1]}]})


def test_error_has_nothing_that_the_host_wrote() -> None:
    """A name of a field could hold anything, and be of any length."""
    with pytest.raises(WireError) as failure:
        checked("b", "look", shapes.map_of(shapes.flag), {"\x1b]52;c;evil\x07": 1})
    assert str(failure.value) == "b sent what is not our protocol (look: [0])"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(st.characters(exclude_categories=[]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(CASES)), ANYTHING)
def test_any_value_fits_or_is_a_misfit(name: str, value: Any) -> None:
    try:
        found = CASES[name][0](value)
    except Misfit:
        return
    json.dumps(found).encode()
