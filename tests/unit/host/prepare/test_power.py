"""Power settings, of Macs with one and with several sources of power."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.power import parse_custom
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import NotHere
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.work import ITEMS
from tests.unit.host.prepare.programs import commands, host

BOOK = """Battery Power:
 sleep                5
 disksleep            10
AC Power:
 Sleep On Power Button 1
 standby              1
 sleep                1 (sleep prevented by caffeinate)
 hibernatefile        /var/vm/sleepimage
 disksleep            0
UPS Power:
 sleep                7
"""
SLEEP: Any = ITEMS["Darwin"]["sleep"]
POWER_FAILURE: Any = ITEMS["Darwin"]["power_failure"]


def test_settings_are_those_of_mains_power() -> None:
    assert parse_custom(BOOK) == {"standby": "1", "sleep": "1", "disksleep": "0"}


def test_only_what_differs_is_set_and_the_display_may_sleep() -> None:
    one = host({"pmset -g custom": BOOK})
    now = SLEEP.read(one)
    wanted = SLEEP.wanted(one, now, True)
    assert commands(SLEEP.steps(one, now, wanted)) == ["pmset -c sleep 0 standby 0"]
    assert commands(SLEEP.steps(one, wanted, now)) == ["pmset -c sleep 1 standby 1"]
    assert SLEEP.describe(one, now) == "sleep 1, disksleep 0, standby 1"
    assert SLEEP.steps(one, wanted, wanted) == []


@pytest.mark.parametrize("text", [BOOK, "", "Battery Power:\n autorestart 0\n"])
def test_mac_without_the_setting_is_told(text: str) -> None:
    with pytest.raises(NotHere, match="this Mac has no such setting, as it has a battery"):
        POWER_FAILURE.read(host({"pmset -g custom": text}))
