"""The state of a Mac's application firewall, in the words of several versions."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.prepare.firewall_state import (
    BLOCKS_ALL,
    OFF,
    ON,
    firewall_state,
    listed_of,
    parse_apps,
)

ENABLED = "Firewall is enabled. (State = 1)\n"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Firewall is disabled. (State = 0)\nFirewall has block all state set to disabled.\n", OFF),
        ("Firewall is disabled. (State = 0)\nFirewall has block all state set to enabled.\n", OFF),
        (f"{ENABLED}Firewall has block all state set to disabled.\n", ON),
        (f"{ENABLED}Firewall has block all state set to enabled.\n", BLOCKS_ALL),
        (f"{ENABLED}Block all ENABLED!\n", BLOCKS_ALL),
        (f"{ENABLED}Block all DISABLED!\n", ON),
        ("Firewall is blocking all non-essential incoming connections. (State = 2)\n", BLOCKS_ALL),
        ("Block all is enabled\n", BLOCKS_ALL),
        ("State = 7", None),
        ("", None),
    ],
)
def test_state_is_read(text: str, state: int | None) -> None:
    assert firewall_state(text) == state


@pytest.mark.parametrize(
    "text",
    [
        "Total number of apps = 2 \n1 : /a b/python3 \n  (Allow incoming connections) \n\n2 : /c \n  (Block incoming connections) \n\n",
        "ALF: total = 2 \n\n1 :  /a b/python3 \n ( Allow incoming connections ) \n2 :  /c \n\t ( Block incoming connections ) \n",
    ],
)
def test_list_is_read_in_the_words_of_any_version(text: str) -> None:
    assert parse_apps(text) == {"/a b/python3": "Allow", "/c": "Block"}


@pytest.mark.parametrize("program", ["/f/bin/python3", "/f/Resources/Python.app/Contents/MacOS/Python"])
def test_program_is_listed_by_itself_or_its_application(program: str) -> None:
    app = "/f/Resources/Python.app"
    apps = dict.fromkeys((program, app, f"{app}/Contents/MacOS/Python", f"{app}x", "/g/Resources/Python.app", "/f"), "Allow")
    assert listed_of(apps, (program,)) == list(dict.fromkeys((program, app, f"{app}/Contents/MacOS/Python")))
    assert listed_of(apps, ("/usr/local/python3",)) == []
