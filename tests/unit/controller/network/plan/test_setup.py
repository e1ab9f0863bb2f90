"""The commands that set addresses."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.setup import as_text, setup_commands
from tests.unit.macs import macs


def test_service_of_a_port_gets_the_address_so_that_it_stays() -> None:
    cluster = macs(2).cable("a1", "b2")
    cluster["a"].services = {"en2": "Fabric $(reboot)"}
    cluster["b"].bridge = ("en3",)
    cluster["b"].addresses = {"en3": "169.254.3.3/16"}
    commands = setup_commands(cluster.plan())
    assert commands == {
        "a": [("networksetup", "-setmanual", "Fabric $(reboot)", "10.213.64.1", "255.255.255.252")],
        "b": [
            ("ifconfig", "bridge0", "deletem", "en3"),
            ("ifconfig", "en3", "inet", "169.254.3.3", "-alias"),
            ("networksetup", "-createnetworkservice", "mlxlaunch Thunderbolt 2", "Thunderbolt 2"),
            ("networksetup", "-setmanual", "mlxlaunch Thunderbolt 2", "10.213.64.2", "255.255.255.252"),
        ],
    }
    assert as_text(commands["a"]) == ["sudo networksetup -setmanual 'Fabric $(reboot)' 10.213.64.1 255.255.255.252"]


def test_right_addresses_and_ethernet_need_no_commands() -> None:
    cluster = macs(2).cable("a1", "b2")
    cluster["a"].addresses["en2"], cluster["b"].addresses["en3"] = "10.213.64.1/30", "10.213.64.2/30"
    assert setup_commands(cluster.plan()) == {}
    assert setup_commands(macs(2).plan()) == {}
