"""The raw answers about this machine, and facts of its kernel."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import machine
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import probe
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import answers_from

AGENT = SimpleNamespace(gone=False)


def test_answers_of_this_machine_fit_what_the_controller_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "198.18.0.9 50000 198.18.0.1 22")
    found = answers_from(probe.probe(AGENT), "here")
    assert found.text("ssh.txt") == "198.18.0.1\n"
    assert {"ip_addr.json", "interfaces.json"} <= {*found.texts, *found.failed}


def test_mac_is_asked_with_its_own_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def run_all(commands: dict[str, tuple[list[str], float]], gone: object) -> tuple[dict[str, str], dict[str, str]]:
        asked.extend(commands)
        return {}, {}

    owner = tmp_path / "io.exo.networksetup.plist"
    owner.touch()
    monkeypatch.setattr(machine, "is_mac", lambda: True)
    monkeypatch.setattr(probe.programs, "run_all", run_all)
    monkeypatch.setattr(probe, "OWNERS", (str(owner), str(tmp_path / "none")))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    found = probe.probe(AGENT)
    assert found["system"] == "Darwin"
    assert {"system_profiler.json", "hardware_ports.txt", "ifconfig.txt", "routes.txt", "ibv_devices.txt"} <= set(asked)
    assert found["answers"] == {"ssh.txt": "\n", "owners.txt": f"{owner}\n"}


def test_every_answer_has_a_bounded_time() -> None:
    assert all(0 < seconds <= 60 for _argv, seconds in {**probe.MAC, **probe.LINUX}.values())


def test_kernel_tells_the_kind_of_an_interface(tmp_path: Path) -> None:
    eth0, bridge = tmp_path / "net/eth0", tmp_path / "net/br0"
    for folder in (eth0 / "device", bridge / "bridge", tmp_path / "drivers/thunderbolt-net"):
        folder.mkdir(parents=True)
    (eth0 / "device/driver").symlink_to(tmp_path / "drivers/thunderbolt-net")
    (eth0 / "master").symlink_to(bridge)
    (eth0 / "speed").write_text("10000\n")
    (eth0 / "type").write_text("1\n")
    (tmp_path / "net/bonding_masters").write_text("")
    found = probe.interfaces(str(tmp_path / "net"))
    assert list(found) == ["br0", "eth0"]
    assert (found["eth0"]["driver"], found["eth0"]["master"], found["eth0"]["speed"]) == ("thunderbolt-net", "br0", "10000")
    assert (found["eth0"]["is"], found["br0"]["is"], found["br0"]["speed"]) == (["device"], ["bridge"], "")


def test_machine_without_sysfs_has_no_facts(tmp_path: Path) -> None:
    assert probe.interfaces(str(tmp_path / "none")) == {}
