"""JSON without the module `json` is that of the module `json`."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import plain_json

#: Reads each of some texts as a host does, in a process that has not imported `json`, and says what came of it.
ALONE = """
import ast, sys
space = {"__name__": "plain_json"}
exec(compile(open(sys.argv[1]).read(), "plain_json.py", "exec"), space)
for text in ast.literal_eval(sys.stdin.read()):
    try:
        space["loads"](text)
    except (ValueError, RecursionError):
        print("refused")
"""

VALUES = [None, True, False, 0, -1, 2**70, 1.5, -0.0, 1e300, "", 'ä\u2028\0"\\\ud800', [], {}, [[[]]], {"a": {"b": [1, "x", None]}}, {1: 2}]
WRONG = [
    "",
    " ",
    "{",
    "[1,",
    "nul",
    "1 2",
    "{} {}",
    "{1: 2}",
    "'a'",
    '"\n"',
    "\ufeff{}",
    "[1,]",
    '{"a":1,}',
    "+1",
    "01",
    '"\\x"',
    "[" * 100_000,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_written_and_read_as_json_does(value: object) -> None:
    assert plain_json.dumps(value) == json.dumps(value)
    assert plain_json.loads(f" \t\r\n{json.dumps(value)}\n ") == json.loads(json.dumps(value))


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:10])
def test_text_that_is_no_json_is_refused_as_json_does(text: str) -> None:
    for loads in (plain_json.loads, json.loads):
        with pytest.raises((ValueError, RecursionError)):
            loads(text)


def test_torn_text_is_refused_where_nobody_has_imported_json() -> None:
    """The C of some Pythons has no error to raise then, and says so by SystemError."""
    torn = ['{"a"', '"abc', '{"a": 1,}', "[1 2]", *WRONG]
    for text in torn:
        command = [sys.executable, "-I", "-S", "-c", ALONE, plain_json.__file__]
        done = subprocess.run(command, input=repr([text]), capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "refused\n"), (text[:20], done.stderr)


def test_numbers_that_json_names_are_read() -> None:
    values = plain_json.loads("[NaN, Infinity, -Infinity]")
    assert (math.isnan(values[0]), values[1:]) == (True, [math.inf, -math.inf])
    assert plain_json.dumps(values) == json.dumps(values)


@pytest.mark.parametrize("value", [object(), {b"a": 1}, {"a": {1}}], ids=["object", "key", "set"])
def test_value_that_json_has_not_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        plain_json.dumps(value)
