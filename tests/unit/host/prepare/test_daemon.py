"""LaunchDaemons of ours: their text, and the steps from one to another."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.daemon import Daemon
from tests.unit.host.prepare.programs import commands, host

PRINT = "launchctl print system/mlxlaunch.cluster.wired-limit"


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon("wired_limit", str(tmp_path))


def test_text_is_one_whatever_form_the_file_has(daemon: Daemon) -> None:
    text = daemon.text(["sysctl", "x=1"])
    assert daemon.words(text) == ["sysctl", "x=1"]
    assert daemon.read() == ""
    for form in (plistlib.FMT_XML, plistlib.FMT_BINARY):
        Path(daemon.path).write_bytes(plistlib.dumps(plistlib.loads(text.encode()), fmt=form))
        assert daemon.read() == text


@pytest.mark.parametrize(
    "data", [b"<plist>", b"bplist00\xff", b"nonsense", b"\xff\xfe", b"<plist version='1.0'><integer>x</integer></plist>"]
)
def test_damaged_file_is_another_one(daemon: Daemon, data: bytes) -> None:
    Path(daemon.path).write_bytes(data)
    assert daemon.words(daemon.read()) == []
    assert daemon.read() != ""


def test_steps_unload_write_and_load(daemon: Daemon) -> None:
    one, other = daemon.text(["one"]), daemon.text(["other"])
    loaded, away = host({PRINT: "x = {}\n"}), host({PRINT: (113, "")})
    load = f"launchctl bootstrap system {daemon.path}"
    unload = "launchctl bootout system/mlxlaunch.cluster.wired-limit"
    assert daemon.steps(loaded, one, one) == daemon.steps(away, "", "") == []
    assert commands(daemon.steps(away, one, one)) == [load]
    assert commands(daemon.steps(loaded, one, "")) == [unload, f"rm {daemon.path}"]
    changed = commands(daemon.steps(loaded, one, other))
    assert (changed[0], changed[-1]) == (unload, load)
    assert f"defaults write {daemon.path} ProgramArguments -array other" in changed
