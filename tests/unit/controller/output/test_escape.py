"""No text of a host makes a terminal do anything."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import FAIL, Cell, Row
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.events import KINDS, Event
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.check_table import render
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.describe import Describer
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.escape import escape, escaped, json_text

CLIPBOARD, MOVE, TITLE, C1 = "\x1b]52;c;Y3VybA==\x07", "\x1b[2J\x1b[1;1H", "\x1b]0;x\x1b\\", "\x9b2J\x90q\x9c"
EVIL = [CLIPBOARD, MOVE, TITLE, C1, "a\rb", "a\bb", "\x00", "\x7f", "\u202egnp.exe", "\u2028"]
EVIL += ["\udc9b2J", "\udcc2\udc9b2J", "\udce2\udc80\udcae", "\ud83d"]  # bytes of a path, which make control characters


def acts(text: str) -> bool:
    return any((not char.isprintable() and char not in "\n\t") for char in text)


@pytest.mark.parametrize("text", EVIL)
def test_control_characters_are_written_out(text: str) -> None:
    assert not acts(escape(text))
    assert escape(f"before {text} after").startswith("before ")


def test_lines_tabs_and_other_scripts_stay() -> None:
    assert escape("eins\n\tzwei \u4e2d\u6587 \U0001f600 \xe9") == "eins\n\tzwei \u4e2d\u6587 \U0001f600 \xe9"


def test_colours_of_a_traceback_are_left_out() -> None:
    assert escape("\x1b[1;31mError\x1b[0m: x") == "Error: x"


@given(st.text(alphabet=st.characters(categories=["Cc", "Lu", "Zs"])))
def test_no_control_character_comes_through(text: str) -> None:
    assert not {char for char in escape(text) if ord(char) < 32 or 127 <= ord(char) < 160} - set("\n\t")


def test_data_is_escaped_at_any_depth() -> None:
    assert escaped({"a\x1b": [("b\x07", 1)], "c": None}) == {"a\\x1b": [["b\\x07", 1]], "c": None}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("evil", EVIL)
def test_json_for_programs_does_nothing_to_a_terminal(evil: str, indent: int | None) -> None:
    data = {"größe": [{f"a{evil}": f'\\"{evil}\t\n'}]}
    text = json_text(data, indent)
    assert not acts(text)
    assert json.loads(text) == data
    assert "größe" in text


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("kind", ["warning", "waiting", "host_lost", "mpirun_said", "job_stopping"])
def test_description_of_an_event_does_nothing_to_a_terminal(kind: str, evil: str) -> None:
    assert kind in KINDS
    details = {"text": evil, "name": evil, "cause": evil, "hosts": [evil]}
    text = Describer(colour=False, verbose=True)(Event(kind, "j", 0.0, f"a{evil}", None, details=details))
    assert text
    assert not acts(text)


def test_reasons_of_hosts_do_nothing_to_a_terminal() -> None:
    details = {"problems": {f"a{CLIPBOARD}": [MOVE]}, "message": f"not ready: a{CLIPBOARD}", "returncode": 3}
    text = Describer(colour=False, verbose=False)(Event("job_finished", "j", 0.0, None, None, details=details))
    assert text
    assert not acts(text)


def test_cells_of_a_check_do_nothing_to_a_terminal() -> None:
    cells = {"python": Cell(f"3.11{MOVE}", FAIL, [f"wrong{CLIPBOARD}"])}
    assert not acts(render([Row(f"a{TITLE}", (0,), cells)]))
