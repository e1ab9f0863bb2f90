"""The settings of a Mac from the texts of its programs; texts that do not fit tell nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.prepare.firewall_state import BLOCKS_ALL, OFF, ON
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.mac_settings import MacSettings, mac_settings

# A MacBook's, in the format of pmset(1).
CUSTOM = """\
Battery Power:
 Sleep On Power Button 1
 standby              1
 sleep                1
 lessbright           1
AC Power:
 Sleep On Power Button 1
 standby              1
 autorestart          1
 hibernatefile        /var/vm/sleepimage
 disksleep            10
 sleep                15
 displaysleep         10
"""
# Its lines end in a space.
APPS = (
    "Total number of apps = 2 \n\n1 : /Applications/Some (odd) App.app \n             (Block incoming connections) \n\n"
    "2 : /opt/homebrew/bin/python3.12 \n             (Allow incoming connections) \n\n"
)
NAMES = ("power_settings.txt", "filevault.txt", "firewall.txt", "firewall_apps.txt")


def test_settings_on_mains_count() -> None:
    found = mac_settings({"power_settings.txt": CUSTOM})
    assert (found.sleep, found.restarts) == (15, True)


def test_apps_of_the_firewall_have_decisions() -> None:
    found = mac_settings({"firewall_apps.txt": APPS})
    assert found.apps == {"/Applications/Some (odd) App.app": False, "/opt/homebrew/bin/python3.12": True}


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Firewall is disabled. (State = 0)", OFF),
        ("Firewall is enabled. (State = 1)", ON),
        ("Firewall is enabled. (State = 1)\nBlock all ENABLED!", BLOCKS_ALL),
        ("Firewall is blocking all non-essential incoming connections. (State = 2)", BLOCKS_ALL),
        ("Firewall is disabled. (State = 0)\nBlock all ENABLED!", OFF),
        ("(State = 7)", None),
    ],
)
def test_state_of_the_firewall(text: str, state: int | None) -> None:
    assert mac_settings({"firewall.txt": text}).firewall == state


def test_answers_that_are_missing_tell_nothing() -> None:
    assert mac_settings({}) == MacSettings()


@given(st.dictionaries(st.sampled_from(NAMES), st.text()))
def test_no_text_is_too_odd(answers: dict[str, str]) -> None:
    found = mac_settings(answers)
    assert found.sleep is None or found.sleep >= 0
