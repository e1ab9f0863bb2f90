"""Limits of a Mac: what is safe, what is never lowered, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare import this_host
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.daemon import Daemon
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.mac_limits import LaunchdLimit, WiredLimit
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import NotHere
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from tests.unit.host.prepare.programs import commands, host

SYSCTL = f"sysctl {' '.join(this_host._VARIABLES)}"
VALUES = {
    "hw.memsize": 128 * 2**30,
    "iogpu.wired_limit_mb": 0,
    "kern.maxfiles": 491520,
    "kern.maxfilesperproc": 245760,
    "kern.maxproc": 16000,
    "kern.maxprocperuid": 10666,
}


def mac(soft: str = "256", hard: str = "unlimited", **values: Any) -> Any:
    variables = {**VALUES, **{name.replace("__", "."): value for name, value in values.items()}}
    text = "".join(f"{name}: {value}\n" for name, value in variables.items() if value is not None)
    return host(
        {
            SYSCTL: text,
            "launchctl limit maxfiles": f"\tmaxfiles    {soft}            {hard}      \n",
            "launchctl limit maxproc": "\tmaxproc     10666          16000          \n",
            **{f"launchctl print system/mlxlaunch.cluster.{item}": (113, "") for item in ("wired-limit", "open-files", "processes")},
        }
    )


@pytest.fixture
def wired(tmp_path: Path) -> WiredLimit:
    return WiredLimit(Daemon("wired_limit", str(tmp_path)))


@pytest.fixture
def files(tmp_path: Path) -> LaunchdLimit:
    return LaunchdLimit("open_files", "maxfiles", "kern.maxfilesperproc", "kern.maxfiles", False, Daemon("open_files", str(tmp_path)))


@pytest.fixture
def processes(tmp_path: Path) -> LaunchdLimit:
    return LaunchdLimit("processes", "maxproc", "kern.maxprocperuid", "kern.maxproc", True, Daemon("processes", str(tmp_path)))


def test_wired_limit_is_set_now_and_at_each_start(wired: WiredLimit) -> None:
    one = mac()
    now = wired.read(one)
    wanted = wired.wanted(one, now, "auto")
    assert (wired.describe(one, now), wired.describe(one, wanted)) == ("0 MB", "122880 MB, at each start too")
    lines = commands(wired.steps(one, now, wanted))
    assert lines[-1] == "sysctl iogpu.wired_limit_mb=122880"
    assert any("-array /usr/sbin/sysctl iogpu.wired_limit_mb=122880" in line for line in lines)
    assert commands(wired.steps(one, wanted, now))[-1] == "sysctl iogpu.wired_limit_mb=0"


def test_wired_limit_above_what_is_safe_is_refused(wired: WiredLimit) -> None:
    one = mac()
    assert wired.wanted(one, wired.read(one), 122880)["iogpu.wired_limit_mb"] == "122880"
    with pytest.raises(CallFailed, match="122881 MB leave the system too little of 131072 MB; want at most 122880, or auto"):
        wired.wanted(one, wired.read(one), 122881)
    with pytest.raises(CallFailed, match="the size of its memory is not known"):
        wired.wanted(mac(hw__memsize=None), {}, "auto")


def test_mac_without_such_a_gpu_is_told(wired: WiredLimit) -> None:
    with pytest.raises(NotHere, match="it is not Apple silicon, or older than macOS 14"):
        wired.read(mac(iogpu__wired_limit_mb=None))


@pytest.mark.parametrize(
    ("value", "limit"),
    [(256, None), (257, "245760 491520"), (65536, "245760 491520"), (300000, "300000 491520"), (600000, "600000 600000")],
)
def test_limit_of_files_lowers_nothing(files: LaunchdLimit, value: int, limit: str | None) -> None:
    one = mac()
    now = files.read(one)
    wanted = files.wanted(one, now, value)
    lines = commands(files.steps(one, now, wanted))
    assert (lines[-1] if lines else None) == (limit and f"launchctl limit maxfiles {limit}")
    if limit:
        assert files.describe(one, wanted) == f"{limit.replace(' ', ', at most ')}, at each start too"


def test_way_back_sets_the_kernels_variables_in_any_case(files: LaunchdLimit) -> None:
    one = mac("300000", "600000", kern__maxfiles=600000, kern__maxfilesperproc=300000)
    before = {"limit": "256 unlimited", "kern.maxfilesperproc": "245760", "kern.maxfiles": "491520", "daemon": ""}
    back = ["launchctl limit maxfiles 256 unlimited", "sysctl kern.maxfilesperproc=245760", "sysctl kern.maxfiles=491520"]
    assert commands(files.steps(one, files.read(one), before)) == back


def test_limit_that_is_enough_is_left_alone_unless_ours_would_lower_it(files: LaunchdLimit) -> None:
    one = mac("unlimited")
    now = files.read(one)
    assert files.wanted(one, now, 65536) == now
    Path(files._daemon.path).write_text(files._daemon.text(["/bin/launchctl", "limit", "maxfiles", "4096", "8192"]))
    assert files.wanted(one, files.read(one), 65536)["daemon"] != files.read(one)["daemon"]


def test_processes_cannot_go_above_the_kernels_own_limit(processes: LaunchdLimit) -> None:
    one = mac()
    now = processes.read(one)
    assert processes.wanted(one, now, 16000)["limit"] == "16000 16000"
    with pytest.raises(CallFailed, match=r"asks for 16001, and the kernel of this Mac has room for 16000 \(kern.maxproc\)"):
        processes.wanted(one, now, 16001)


def test_limit_that_is_not_told_is_a_failure(files: LaunchdLimit) -> None:
    with pytest.raises(CallFailed, match="its limit maxfiles is not known"):
        files.read(mac(kern__maxfiles=None))
