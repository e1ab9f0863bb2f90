"""Rows and lines that keep within the width of a terminal."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.columns import columns, named, one_line, wrapped


def test_columns_are_as_wide_as_their_longest_text() -> None:
    assert columns([("host", "state"), ("a-long-name", "ok"), ("b", "")]) == ["host         state", "a-long-name  ok", "b"]


def test_widest_columns_are_cut_first() -> None:
    lines = columns([("host", "peer"), ("x" * 40, "y" * 12), ("short", "z")], 32)
    assert lines == [f"{'host':<18}  peer", f"{'x' * 17}…  {'y' * 12}", f"{'short':<18}  z"]


def test_columns_keep_some_characters_however_narrow_the_terminal() -> None:
    assert columns([("h" * 20, "p" * 20)], 5) == [f"{'h' * 7}…  {'p' * 7}…"]


@pytest.mark.parametrize(("text", "line"), [("a\n  b\tc", "a b c"), ("\x1b]0;title\x07", "\\x1b]0;title\\x07"), ("", "")])
def test_text_becomes_one_line_on_which_no_terminal_acts(text: str, line: str) -> None:
    assert one_line(text) == line


def test_line_is_wrapped_with_the_others_indented() -> None:
    assert wrapped("fail  one two-three four", 18) == ["fail  one", "      two-three", "      four"]
    assert wrapped("", 10) == [""]


def test_many_names_are_shortened() -> None:
    assert (named(["a", "b"]), named(list("abcdef"))) == ("a, b", "a, b, c, d and 2 more")
