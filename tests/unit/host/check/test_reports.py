"""The programs of a Mac: which run, and what of their answers is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check import reports
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import machine
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import probe
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from tests.unit.local_agent import LocalAgent

PATIENCE = 60.0


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this machine be a Mac whose programs are in a directory; each says its name and words."""
    monkeypatch.setattr(machine, "is_mac", lambda: True)
    monkeypatch.setattr(probe, "SHARING", str(tmp_path / "sharing"))
    monkeypatch.setattr(probe, "OWNERS", (str(tmp_path), str(tmp_path / "none")))
    monkeypatch.setattr(reports, "_FIREWALL", str(tmp_path / "socketfilterfw"))
    monkeypatch.setattr(reports, "_COMMANDS", {name: moved(argv, tmp_path) for name, argv in reports._COMMANDS.items()})
    monkeypatch.setattr(probe, "MAC", {name: (moved(argv, tmp_path), seconds) for name, (argv, seconds) in probe.MAC.items()})
    for argv in [*reports._COMMANDS.values(), *(argv for argv, _seconds in probe.MAC.values())]:
        program(Path(argv[0]), 'echo "${0##*/} $*"')
    return tmp_path


def moved(argv: list[str], folder: Path) -> list[str]:
    return [str(folder / Path(argv[0]).name), *argv[1:]]


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def told(agent: LocalAgent | None = None, *, rdma: bool = False) -> tuple[Mapping[str, str], Mapping[str, str]]:
    found = reports.collect(reports.start(rdma), agent or LocalAgent())
    assert found is not None
    return found["answers"], found["failed"]


def test_other_machines_run_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_mac", lambda: False)
    monkeypatch.setattr(reports, "_COMMANDS", None)
    assert reports.collect(reports.start(True), LocalAgent()) is None


def test_answers_are_what_the_programs_say(mac: Path) -> None:
    assert told() == (
        {
            "power_settings.txt": "pmset -g custom\n",
            "filevault.txt": "fdesetup status\n",
            "firewall.txt": "socketfilterfw --getglobalstate --getblockall\n",
            "owners.txt": f"{mac}\n",
        },
        {},
    )


@pytest.mark.parametrize(("state", "listed"), [(0, False), (1, True), (2, True)])
def test_apps_of_the_firewall_are_listed_while_it_is_on(mac: Path, state: int, listed: bool) -> None:
    program(mac / "socketfilterfw", f'[ "$1" = --listapps ] && echo listed || echo "(State = {state})"')
    assert told()[0].get("firewall_apps.txt") == ("listed\n" if listed else None)


def test_slow_programs_run_for_backends_that_need_them(mac: Path) -> None:
    (mac / "sharing").touch()
    plain, rdma = told()[0].keys(), told(rdma=True)[0].keys()
    assert rdma - plain == set(reports._RDMA) >= {"system_profiler.json", "ibv_devices.txt"}
    assert {"sharing_enabled.txt", "sharing_devices.json"} <= plain


def test_program_that_is_missing_or_fails_is_a_reason(mac: Path) -> None:
    (mac / "pmset").unlink()
    program(mac / "fdesetup", "echo root access required >&2; exit 1")
    answers, failed = told()
    assert failed == {
        "power_settings.txt": f"{mac}/pmset: No such file or directory",
        "filevault.txt": "exit status 1: root access required",
    }
    assert "firewall.txt" in answers


def test_program_that_hangs_is_ended(mac: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(mac / "pmset", "exec sleep 1000")
    for seconds in (0.3, 5.0, 50.0):  # in which the others have to answer
        monkeypatch.setattr(reports, "_SECONDS", seconds)
        began = time.monotonic()
        failed = told()[1]
        if len(failed) == 1:
            break
    assert failed == {"power_settings.txt": f"no answer within {seconds:g} s"}
    assert time.monotonic() - began < seconds + PATIENCE


def test_programs_end_when_nobody_waits_for_them(mac: Path) -> None:
    program(mac / "pmset", f"echo $$ > {mac}/pid; exec sleep 1000")
    agent = LocalAgent()
    agent.gone = True
    assert told(agent)[1]["power_settings.txt"] == "nobody waits for it"


def test_answers_fit_into_a_reply(mac: Path) -> None:
    """A host with much to say loses its longest answers, and nothing else."""
    for name in ("ifconfig", "system_profiler"):
        program(mac / name, "head -c 500000 /dev/zero | tr '\\0' '\\n'")
    answers, failed = told(rdma=True)
    assert failed == dict.fromkeys(("ifconfig.txt", "system_profiler.json"), "its answer is too long")
    assert "filevault.txt" in answers
    assert len(wire.encode_json(wire.REPLY, {"result": answers})) < reports._MOST
    assert len(json.dumps(answers)) < reports._MOST
