# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Globs: what they match, and that no name makes matching slow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import patterns


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("w.npz", "w.npz"),
        ("*.npz", "w.npz"),
        ("*", "w"),
        ("?.txt", "é.txt"),
        ("a*b*c", "abbbc"),
        ("a[1]", "a[1]"),
        (".s*", ".secret"),
        ("*/m*.npz", "1/m.npz"),
        ("**", "a"),
        ("**", "a/b/c"),
        ("out/**", "out/a/b"),
        ("**/w", "w"),
        ("**/w", "a/b/w"),
        ("a/**/b/**/c", "a/b/x/b/c"),
        ("**/.git/config", "a/.git/config"),
        ("**/.h/**/x", "a/.h/b/x"),
    ],
)
def test_glob_matches(pattern: str, path: str) -> None:
    assert patterns.matches(pattern.split("/"), path.split("/"))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("w.npz", "W.npz"),
        ("*.npz", "a/w.npz"),
        ("*.npz", ".npz"),
        ("*", ".hidden"),
        ("?", ""),
        ("?", "ab"),
        ("a[1]", "a1"),
        ("out/**", "out"),
        ("**", "a/.h/b"),
        ("**", "a/.h"),
        ("**/x", "a/.h/x"),
        ("**/.h/**/x", "a/.h/b/.h/x"),
        ("out/**", "other/a"),
        ("*/*", "a"),
        ("a*b", "ac"),
    ],
)
def test_glob_does_not_match(pattern: str, path: str) -> None:
    assert not patterns.matches(pattern.split("/"), path.split("/"))


def test_no_name_makes_matching_slow() -> None:
    # A matcher that tries all ways would not come back.
    assert not patterns.matches_name("*a" * 200 + "b", "a" * 4000)
    assert not patterns.matches(["**", "a"] * 100 + ["b"], ["a"] * 2000)


NAME = st.text("ab.", min_size=1, max_size=4)
PART = st.one_of(st.just("**"), st.text("ab.*?", min_size=1, max_size=4).filter(lambda name: "**" not in name))


def by_definition(pattern: list[str], names: list[str]) -> bool:
    """Match by trying everything."""
    if not pattern or not names:
        return not pattern and not names
    if pattern[0] == "**":
        if len(pattern) == 1:
            return all(not name.startswith(".") for name in names)
        skipped = not names[0].startswith(".") and by_definition(pattern, names[1:])
        return by_definition(pattern[1:], names) or skipped
    return patterns.matches_name(pattern[0], names[0]) and by_definition(pattern[1:], names[1:])


@given(st.lists(PART, min_size=1, max_size=5), st.lists(NAME, min_size=1, max_size=5))
def test_matching_is_that_of_the_definition(pattern: list[str], names: list[str]) -> None:
    assert patterns.matches(pattern, names) == by_definition(pattern, names)


def test_depth_and_hidden_names_bound_a_search() -> None:
    assert (patterns.depth(["*", "w"]), patterns.depth(["**", "w"])) == (2, None)
    assert (patterns.sees_hidden(["*", ".w"]), patterns.sees_hidden(["**"])) == (True, False)
