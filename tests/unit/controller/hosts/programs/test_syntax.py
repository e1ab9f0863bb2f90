"""Syntax trees, in several threads."""

from __future__ import annotations

import ast
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.programs.syntax import syntax_tree

SOURCE = "x = " + "(" * 20 + "1" + ",)" * 20 + "\n" + "y = [1, 2, {3: 'a'}]\n" * 200


def test_threads_do_not_meet_in_a_tree() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            trees = list(pool.map(syntax_tree, [SOURCE] * 64))
    finally:
        sys.setswitchinterval(before)
    assert {len(tree.body) for tree in trees} == {201}


def test_error_of_a_source_is_that_of_the_parser() -> None:
    with pytest.raises(SyntaxError):
        syntax_tree("x = (")
    assert isinstance(syntax_tree(b"x = 1"), ast.Module)
