"""The setup of a port, its record, and the way back. The tests of the lab do the same with real interfaces."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import setup
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from tests.unit.local_agent import LocalAgent

PORT = {"interface": "en2", "ip": "10.213.64.1", "mask": "255.255.255.252"}
BY_HAND = "192.168.0.1"  # as another tool leaves it
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the record is root's")


class Mac(LocalAgent):
    """A Mac with one port, as far as these programs show and set it.

    Attributes:
        by_hand: addresses that ifconfig has set.
        lease: the one that DHCP gives.
        members: of its bridge; None without a bridge.
        services: dhcp, off, other or a manual address, by name.
        hardware: its hardware ports, by interface.
        failing: the words of commands that fail.
        log: commands that changed something.
    """

    def __init__(self, by_hand: Sequence[str] = ("169.254.1.1",), members: Sequence[str] = ("en2", "en3"), **services: str) -> None:
        super().__init__()
        self.by_hand = list(by_hand)
        self.lease = "169.254.7.8"
        self.members: list[str] | None = list(members)
        self.services = services
        self.hardware = {"en2": "Thunderbolt 1"}
        self.failing: tuple[str, ...] = ()
        self.log: list[str] = []
        self._taken: set[str] = set()

    @property
    def addresses(self) -> list[str]:
        """Those of its port; services give none to a member of a bridge."""
        gives = {"dhcp": self.lease, "off": "", "other": ""}
        given = [] if "en2" in (self.members or ()) else [gives.get(each, each) for each in self.services.values()]
        return [ip for ip in given if ip and ip not in self._taken] + self.by_hand

    def run(self, argv: Sequence[str], timeout: float = 0.0, **_options: Any) -> tuple[int, str]:  # noqa: ARG002
        words = list(argv[1:])
        if set(self.failing) & set(words):
            return 0, "** Error: The parameters were not valid.\n"
        if words == ["-listallhardwareports"]:
            return 0, "".join(f"\nHardware Port: {port}\nDevice: {name}\nEthernet Address: x\n" for name, port in self.hardware.items())
        if words == ["-listnetworkserviceorder"]:
            return 0, "".join(f"(1) {name}\n(Hardware Port: Thunderbolt 1, Device: en2)\n" for name in self.services)
        if words[0] == "-getinfo":
            return 0, self._info(self.services[words[1]])
        if words == ["-a"]:
            return 0, self._blocks()
        self.log.append(" ".join(words))
        return self._change(words)

    def _info(self, service: str) -> str:
        shown = {
            "dhcp": f"DHCP Configuration\nIP address: {self.lease}\nSubnet mask: {_mask(self.lease)}\n",
            "off": "IPv6: Automatic\n",
            "other": "Manually Using DHCP Router Configuration\nIP address: 10.0.0.5\n",
        }
        return shown.get(service, f"Manual Configuration\nIP address: {service}\nSubnet mask: {_mask(service)}\nRouter: (null)\n")

    def _blocks(self) -> str:
        own = "".join(f"\tinet {ip} netmask {_mask(ip)}\n" for ip in self.addresses)
        port = f"en2: flags=1<UP>\n{own}\tinet6 fe80::2%en2 prefixlen 64\n"
        if self.members is None:
            return port
        members = "".join(f"\tmember: {name} flags=3<>\n" for name in self.members)
        return f"{port}bridge0: flags=1<UP>\n\tinet6 2001:db8::ffff:1 prefixlen 64\n{members}"

    def _change(self, words: list[str]) -> tuple[int, str]:
        if words[0] == "bridge0":
            if self.members is None:
                return 1, "ifconfig: interface bridge0 does not exist"
            self.members = [name for name in self.members if name != words[2]] + ([words[2]] if words[1] == "addm" else [])
        elif words[0] == "-removenetworkservice":
            del self.services[words[1]]
        elif words[0].startswith("-"):
            self.services[words[1]] = {"-setmanual": words[2:3], "-setv4off": ["off"]}.get(words[0], ["dhcp"])[0]
            self._taken.clear()
        elif words[-1] != "-alias":
            self.by_hand = [*(self.by_hand if "alias" in words else []), words[2]]
        elif words[2] in self.by_hand:
            self.by_hand.remove(words[2])
        elif words[2] in self.addresses:
            self._taken.add(words[2])
        else:
            return 1, "ifconfig: ioctl (SIOCDIFADDR): Can't assign requested address"
        return 0, ""


def _mask(ip: str) -> str:
    return "255.255.0.0" if ip.startswith("169") else "255.255.255.252"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "Application Support/mlxlaunch")


def set_up(mac: Mac, folder: str, *keep: str, check: bool = False) -> Any:
    return setup.set_up(mac, PORT, list(keep), check, folder)


def test_setup_is_recorded_done_once_and_undone(folder: str) -> None:
    mac = Mac()
    done = set_up(mac, folder)
    assert (mac.members, mac.addresses, done["persistent"], done["rejoins"]) == (["en3"], ["10.213.64.1"], True, "bridge0")
    assert set_up(mac, folder)["steps"] == []
    (back,) = setup.undo(mac, [], False, folder)
    assert back["after"] == "en2: member of bridge0, 169.254.1.1/16, no service"
    assert (sorted(mac.members or ()), mac.addresses, mac.services) == (["en2", "en3"], ["169.254.1.1"], {})
    assert not Path(folder, "network.json").exists()
    assert setup.undo(mac, [], False, folder) == []


def test_check_changes_nothing_and_tells_the_same(folder: str) -> None:
    mac = Mac()
    told = set_up(mac, folder, check=True)
    assert (mac.log, Path(folder).exists()) == ([], False)
    assert set_up(mac, folder)["steps"] == told["steps"]
    assert setup.undo(mac, [], True, folder)[0]["steps"]
    assert mac.addresses == ["10.213.64.1"]


def test_second_setup_keeps_the_oldest_record(folder: str) -> None:
    mac = Mac()
    set_up(mac, folder)
    setup.set_up(mac, {**PORT, "ip": "10.99.0.1"}, [], False, folder)
    setup.undo(mac, [], False, folder)
    assert mac.addresses == ["169.254.1.1"]


def test_port_of_another_number_is_recorded_for_itself(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its interface was that of a port which has another one by now."""
    monkeypatch.setattr(setup, "_SETTLE", 0.0)
    mac = Mac()
    set_up(mac, folder)
    mac.hardware = {"en2": "Thunderbolt 2", "en4": "Thunderbolt 1"}
    mac.by_hand, mac.members, mac.services = ["169.254.2.2"], ["en2", "en3"], {}
    set_up(mac, folder)
    recorded = json.loads(Path(folder, "network.json").read_text())["ports"]
    assert [(port["before"]["hardware"], port["before"]["addresses"][0][0]) for port in recorded.values()] == [
        ("Thunderbolt 1", "169.254.1.1"),
        ("Thunderbolt 2", "169.254.2.2"),
    ]
    # The programs here know no such interface.
    failed = setup.set_up(mac, {**PORT, "interface": "en4"}, [], False, folder)
    assert failed["error"].startswith("it has not got 10.213.64.1 alone; now en4: no address")
    assert list(json.loads(Path(folder, "network.json").read_text())["ports"]) == list(recorded)


@pytest.mark.parametrize(
    ("failing", "services", "left"),
    [
        ("-createnetworkservice", {}, {}),
        ("-setmanual", {}, {}),
        ("-setmanual", {"Fabric": "dhcp"}, {"Fabric": "off"}),
    ],
)
def test_service_that_cannot_be_had_gives_an_address_until_the_restart(
    failing: str, services: dict[str, str], left: dict[str, str], folder: str
) -> None:
    mac = Mac([BY_HAND], **services)
    mac.failing = (failing,)
    done = set_up(mac, folder)
    assert (mac.addresses, mac.services, done["persistent"]) == (["10.213.64.1"], left, False)
    assert done["note"].startswith("its service could not be set: networksetup: ** Error")
    mac.failing = ()
    setup.undo(mac, [], False, folder)
    assert (mac.by_hand, mac.services) == ([BY_HAND], services)


def test_port_that_gets_no_address_is_told_with_both_reasons(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "_SETTLE", 0.0)
    mac = Mac(Fabric="dhcp")
    mac.failing = ("-setmanual",)
    monkeypatch.setattr(Mac, "addresses", property(lambda _mac: ["10.9.9.1"]))
    assert set_up(mac, folder)["error"] == (
        "its service could not be set: networksetup: ** Error: The parameters were not valid.; it has not got 10.213.64.1 alone; "
        "now en2: 10.9.9.1/30, service Fabric, off"
    )


@pytest.mark.parametrize(
    ("services", "text"),
    [
        ({"Fabric": "other"}, 'en2 has the service "Fabric", set in a way that could not be set back; let it use DHCP'),
        ({"Fabric": "dhcp", "Old": "10.9.9.1"}, 'en2 has the services "Fabric" and "Old"; switch all but one off'),
    ],
)
@pytest.mark.parametrize("members", [(), ("en2", "en3")])
def test_port_whose_services_are_in_the_way_is_refused(members: Sequence[str], services: dict[str, str], text: str, folder: str) -> None:
    mac = Mac((), members, **services)
    with pytest.raises(CallFailed) as failed:
        set_up(mac, folder, check=True)
    assert (str(failed.value), mac.log) == (f"{text}, then run this again", [])


def test_setup_that_breaks_off_is_undone_from_the_record(folder: str) -> None:
    mac = Mac()
    mac.failing = ("-alias",)  # the port has left the bridge by then
    failed = set_up(mac, folder)
    assert failed["error"] == "ifconfig: ** Error: The parameters were not valid.; now en2: 169.254.1.1/16, no service"
    assert (failed["before"], failed["after"]) == ("en2: member of bridge0, 169.254.1.1/16, no service", "en2: 169.254.1.1/16, no service")
    assert failed["steps"] == [["ifconfig", "bridge0", "deletem", "en2"]]
    assert mac.members == ["en3"]
    mac.failing = ()
    setup.undo(mac, [], False, folder)
    assert (sorted(mac.members or ()), mac.addresses) == (["en2", "en3"], ["169.254.1.1"])


def test_port_that_cannot_be_undone_stays_in_the_record(folder: str) -> None:
    mac = Mac()
    set_up(mac, folder)
    mac.failing = ("addm",)
    (back,) = setup.undo(mac, [], False, folder)
    assert "** Error" in back["error"]
    assert [step[0] for step in back["steps"]] == ["ifconfig", "networksetup", "ifconfig"]
    mac.failing = ()
    assert not setup.undo(mac, [], False, folder)[0].get("error")
    assert "en2" in (mac.members or ())


@pytest.mark.parametrize(
    ("mac", "since", "after", "note"),
    [
        pytest.param(Mac([BY_HAND], [], Fabric="dhcp"), {}, (["169.254.7.8", BY_HAND], "dhcp", False), "", id="lease and one by hand"),
        pytest.param(Mac([BY_HAND], [], Fabric="10.9.9.1"), {}, (["10.9.9.1", BY_HAND], "10.9.9.1", False), "", id="both by hand"),
        pytest.param(Mac([BY_HAND], [], Fabric="off"), {}, ([BY_HAND], "off", False), "", id="one by ifconfig"),
        pytest.param(
            Mac([], ["en2"], Fabric="dhcp"),
            {"services": {"Fabric": "10.50.0.1"}},
            (["10.50.0.1"], "10.50.0.1", False),
            "its service was changed by somebody else since, and the port is left alone",
            id="another address since",
        ),
        pytest.param(
            Mac([], [], Fabric="dhcp"),
            {"services": {"Fabric": "dhcp"}, "lease": "10.0.0.77"},
            (["10.0.0.77"], "dhcp", False),
            "it was so already",
            id="back already, with another lease",
        ),
        pytest.param(
            Mac([], [], Fabric="dhcp"),
            {"by_hand": ["10.9.9.9"]},
            (["169.254.7.8", "10.9.9.9"], "dhcp", False),
            "10.9.9.9 is somebody else's, and is left alone",
            id="one more address since",
        ),
        pytest.param(
            Mac([], []),
            {"services": {"mlxlaunch Thunderbolt 1": "10.213.64.1", "Other": "10.50.0.1"}},
            (["10.50.0.1"], "10.50.0.1", False),
            "10.50.0.1 is somebody else's, and is left alone",
            id="another service since",
        ),
        pytest.param(
            Mac([], [], Fabric="off"),
            {"members": ["en2", "en3"]},
            ([], "off", True),
            "it is in bridge0 by now, and stays there",
            id="in a bridge since",
        ),
        pytest.param(
            Mac([], ["en2"], Fabric="dhcp"),
            {"members": None},
            (["169.254.7.8"], "dhcp", False),
            "there is no bridge0 any more, so it is not put back in",
            id="bridge gone",
        ),
    ],
)
def test_undo_brings_all_back_that_is_not_of_somebody_else(
    mac: Mac, since: dict[str, Any], after: tuple[list[str], str, bool], note: str, folder: str
) -> None:
    set_up(mac, folder)
    for name, value in since.items():
        setattr(mac, name, value)
    assert setup.undo(mac, [], True, folder)[0]["note"] == note
    (back,) = setup.undo(mac, [], False, folder)
    assert (back.get("error"), back["note"]) == (None, note)
    assert (mac.addresses, *mac.services.values(), "en2" in (mac.members or ())) == after
    assert not Path(folder, "network.json").exists()


@pytest.mark.parametrize("failing", [("-alias",), ("-setmanual", "-setv4off")], ids=["before it is gone", "after"])
def test_lease_is_there_after_the_undo_of_a_setup_that_broke_off(failing: tuple[str, ...], folder: str) -> None:
    mac = Mac([], [], Fabric="dhcp")
    mac.failing = failing
    assert set_up(mac, folder)["error"]
    mac.failing, mac.lease = (), "10.0.0.77"
    setup.undo(mac, [], False, folder)
    assert (mac.addresses, mac.services) == (["10.0.0.77"], {"Fabric": "dhcp"})


def test_port_that_does_not_come_back_stays_in_the_record(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of a Mac may end with 0 after a refusal."""
    monkeypatch.setattr(setup, "_SETTLE", 0.0)
    mac = Mac([], [], Fabric="dhcp")
    set_up(mac, folder)
    monkeypatch.setattr(mac, "_change", lambda _words: (0, ""))
    assert setup.undo(mac, [], False, folder)[0]["error"].startswith("it is not as it was before; now en2: 10.213.64.1/30")
    assert Path(folder, "network.json").exists()


@pytest.mark.parametrize("address", ["fe80::9%bridge0", "fe80::2%en2", "2001:db8::ffff:1", "::ffff:169.254.1.1"])
def test_connection_is_never_cut_whatever_its_address_is_like(address: str, folder: str) -> None:
    mac = Mac()
    with pytest.raises(CallFailed, match="carries the connection by which it would be changed"):
        set_up(mac, folder, address)
    assert mac.log == []
    assert set_up(mac, folder, "fe80::2%en0", "2001:db8::2", "::ffff:10.0.0.1")["steps"]


def test_connection_is_never_cut(folder: str) -> None:
    mac = Mac()
    with pytest.raises(CallFailed, match=r"en2 carries the connection by which it would be changed \(169\.254\.1\.1\)"):
        set_up(mac, folder, "169.254.1.1")
    assert mac.log == []
    set_up(mac, folder, "198.18.0.1")
    (back,) = setup.undo(mac, ["10.213.64.1"], False, folder)
    assert "carries the connection" in back["error"]
    assert mac.addresses == ["10.213.64.1"]
