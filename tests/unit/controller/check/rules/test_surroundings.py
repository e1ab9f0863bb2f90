"""What is told of other things on a host."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.controller.check.good import cell, mac


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["JACCL_RING"], "its profile sets JACCL_RING, which a launch clears, as MLX would take it in place of the job's; remove it "),
        (["JACCL_RANK", "MLX_HOSTFILE"], "its profile sets JACCL_RANK, MLX_HOSTFILE, which a launch clears, as MLX would take them "),
        ([], ""),
    ],
)
def test_stray_variables(names: list[str], told: str) -> None:
    found = cell("variables", {"stray": names})
    assert found.status == ("warn" if names else "ok")
    assert [note.startswith(told) for note in found.notes] == [True] * bool(names)


def test_login_whose_end_kills_ranks() -> None:
    found = cell("logout", {"ends_with_login": True})
    assert (found.status, len(found.notes)) == ("warn", 1)
    assert found.notes[0].startswith("KillUserProcesses is on: ranks end when the connection breaks")
    assert "/etc/systemd/logind.conf" in found.notes[0]


EXO = "/Library/LaunchDaemons/io.exo.networksetup.plist\n"


@pytest.mark.parametrize(
    ("owners", "devices", "told"),
    [
        ("", "", ""),
        (EXO, "", "exo sets up the Thunderbolt ports again every half hour; remove its daemon"),
        ("/Applications/Tailscale.app\n", "", ""),
        ("", '["en5"]', "en5: Internet Sharing gives addresses and a default route to the other end"),
        ("", '["en2"]', "en2: Internet Sharing"),
        ("", '["en9"]', ""),
        ("", '["bridge100"]', "bridge100: Internet Sharing"),
    ],
)
def test_other_software_that_owns_the_job_s_interfaces(owners: str, devices: str, told: str) -> None:
    sharing = {"sharing_enabled.txt": "1\n", "sharing_devices.json": devices} if devices else {}
    own: dict[str, Any] = {"ips": ("10.0.0.1",), "rdma": ("rdma_en2",)}
    found = cell("owners", {"reports": {"answers": {"owners.txt": owners, **sharing}, "failed": {}}}, **own)
    assert found.status == ("warn" if told else "ok")
    assert [note.startswith(told) for note in found.notes] == [True] * bool(told)


def test_owners_are_looked_for_on_macs() -> None:
    assert cell("owners", {"reports": None}).status == "unknown"
    assert mac("owners").value == "none"
