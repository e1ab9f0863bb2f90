# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of machine, its memory and its disk, on Linux and on a Mac."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import machine

# macOS 14 on an M2.
VM_STAT = """\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10000.
Pages active:                           1004412.
Pages inactive:                           20000.
Pages speculative:                         3000.
Pages throttled:                              0.
Pages wired down:                        215438.
"""
OS_RELEASE = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
ID=debian
"""


def test_memory_of_a_mac_is_what_can_be_had_without_swapping() -> None:
    assert machine.parse_vm_stat(VM_STAT) == 33000 * 16384
    assert machine.parse_vm_stat("") is None


def test_distribution_has_name_and_version() -> None:
    assert machine.parse_os_release(OS_RELEASE) == ("Debian", "12")
    assert machine.parse_os_release("NAME=Arch\nID='arch'\n") == ("Arch", "")
    assert machine.parse_os_release("") == ("Linux", "")


def test_mac_tells_version_chip_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        ("/usr/bin/sw_vers",): "ProductName:\t\tmacOS\nProductVersion:\t\t15.3\nBuildVersion:\t\t24D60\n",
        ("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"): "Apple M3 Ultra\n",
        ("/usr/sbin/sysctl", "hw.memsize", "iogpu.wired_limit_mb"): "hw.memsize: 549755813888\niogpu.wired_limit_mb: 400000\n",
        ("/usr/bin/vm_stat",): VM_STAT,
    }

    def run(argv: Sequence[str], **_options: Any) -> tuple[int, str]:
        return int("unknown oid" in said[tuple(argv)]), said[tuple(argv)]

    monkeypatch.setattr(machine, "is_mac", lambda: True)
    assert {"name": "macOS", "version": "15.3", "build": "24D60", "chip": "Apple M3 Ultra"}.items() <= machine.system(run).items()
    assert machine.memory(run) == {"total": 512 * 1024**3, "available": 33000 * 16384, "wired": 400000 * 1024**2}
    intel = "hw.memsize: 549755813888\nsysctl: unknown oid 'iogpu.wired_limit_mb'\n"
    said["/usr/sbin/sysctl", "hw.memsize", "iogpu.wired_limit_mb"] = intel
    assert machine.memory(run) == {"total": 512 * 1024**3, "available": 33000 * 16384, "wired": None}


def test_disk_of_a_missing_directory_is_that_of_its_parent(tmp_path: Path) -> None:
    found = machine.disk(str(tmp_path / "not" / "there"))
    assert found["path"] == str(tmp_path)
    assert 0 < found["free"] <= found["total"]


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (1, "first\n last \n\n", "pmset: last"),
        (3, "", "pmset: it ended with status 3"),
        (127, "pmset: No such file", "pmset: No such file"),
    ],
)
def test_reason_of_a_failure_names_the_program_once(status: int, text: str, reason: str) -> None:
    assert machine.reason(["pmset", "-g"], status, text) == reason


def test_shipped_program_gets_nothing_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYLD_INSERT_LIBRARIES", "x")
    asked: dict[str, Any] = {}

    def run(_argv: Sequence[str], **options: Any) -> tuple[int, str]:
        asked.update(options)
        return 0, "out"

    assert machine.run_shipped(run, ["pmset"]) == (0, "out")
    assert (asked["cwd"], "DYLD_INSERT_LIBRARIES" in asked["env"], asked["timeout"] > 0) == ("/", False, True)
