"""The application firewall: the file that it knows the ranks' Python by, and its list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare import firewall
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.firewall import PROGRAM, Firewall, executable
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from tests.unit.host.prepare.programs import commands, host

LISTS = [
    "Total number of apps = 2 \n1 : /a b/python3 \n  (Allow incoming connections) \n\n2 : /c \n  (Block incoming connections) \n\n",
    "ALF: total = 2 \n\n1 :  /a b/python3 \n ( Allow incoming connections ) \n2 :  /c \n\t ( Block incoming connections ) \n",
]


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


def mac(state: int, apps: str, python: Path | str, blocks_all: str = "disabled") -> Any:
    told = f"Firewall is so. (State = {state})\nFirewall has block all state set to {blocks_all}.\n"
    return host({f"{PROGRAM} --getglobalstate --getblockall": told, f"{PROGRAM} --listapps": apps}, str(python))


@pytest.mark.parametrize(
    ("listed", "expected"),
    [("", ["--add", "--unblockapp"]), ("Allow", []), ("Block", ["--unblockapp"])],
)
def test_python_is_let_in_and_taken_back(tmp_path: Path, listed: str, expected: list[str]) -> None:
    python = program(tmp_path / "bin/python3")
    one = mac(1, f"1 : {python} \n ({listed} incoming connections) \n" if listed else "", python)
    wall = Firewall()
    now = wall.read(one)
    assert now == {str(python): listed}
    wanted = wall.wanted(one, now, True)
    assert commands(wall.steps(one, now, wanted)) == [f"{PROGRAM} {verb} {python}" for verb in expected]
    back = {"": ["--remove"], "Allow": [], "Block": ["--blockapp"]}[listed]
    assert commands(wall.steps(one, wanted, now)) == [f"{PROGRAM} {verb} {python}" for verb in back]


def test_firewall_that_is_off_needs_nothing_and_can_be_taken_back() -> None:
    one = mac(0, LISTS[0], "/nonsense")
    assert Firewall().read(one) == {}
    assert Firewall().describe(one, {}) == "the firewall is off"
    assert Firewall().read(one, ["/c", "/d"]) == {"/c": "Block", "/d": ""}


@pytest.mark.parametrize(
    ("state", "python", "text"),
    [
        (2, "/x", "blocks all connections; turn that off"),
        (1, "/nonsense", "/nonsense is no Python of this host; name that"),
        (1, "/caf\udce9", r"^/caf\? is no Python of this host"),
        (1, "", "none is no"),
    ],
)
def test_what_cannot_be_let_in_is_told(state: int, python: str, text: str) -> None:
    with pytest.raises(CallFailed, match=text):
        Firewall().read(mac(state, "", python))


def test_firewall_that_blocks_all_in_other_words_is_told() -> None:
    with pytest.raises(CallFailed, match="blocks all connections; turn that off"):
        Firewall().read(mac(1, LISTS[0], "/a b/python3", blocks_all="enabled"))


def test_framework_is_known_by_its_application(tmp_path: Path) -> None:
    real = program(tmp_path / "Python.framework/Versions/3.12/bin/python3.12")
    application = program(tmp_path / "Python.framework/Versions/3.12/Resources/Python.app/Contents/MacOS/Python")
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").symlink_to(real)
    assert Firewall().read(mac(1, "", tmp_path / "venv/bin/python")) == {str(application): ""}


APP = "Resources/Python.app"
INSIDE = f"{APP}/Contents/MacOS/Python"


@pytest.mark.parametrize(
    ("listed", "expected", "back"),
    [
        ({}, [f"--add {INSIDE}", f"--unblockapp {INSIDE}"], [f"--remove {INSIDE}"]),
        ({APP: "Allow"}, [], []),
        ({APP: "Block"}, [f"--unblockapp {APP}"], [f"--blockapp {APP}"]),
        ({INSIDE: "Block"}, [f"--unblockapp {INSIDE}"], [f"--blockapp {INSIDE}"]),
        ({APP: "Allow", INSIDE: "Block"}, [f"--unblockapp {INSIDE}"], [f"--blockapp {INSIDE}"]),
        (
            {"bin/python3.12": "Block"},
            ["--unblockapp bin/python3.12", f"--add {INSIDE}", f"--unblockapp {INSIDE}"],
            ["--blockapp bin/python3.12", f"--remove {INSIDE}"],
        ),
        ({f"{APP}.old": "Block", APP: "Allow"}, [], []),
    ],
)
def test_framework_is_let_in_as_it_is_listed(tmp_path: Path, listed: dict[str, str], expected: list[str], back: list[str]) -> None:
    """As the check sees it: whatever is prepared is allowed there."""
    base = tmp_path / "Python.framework/Versions/3.12"
    real = program(base / "bin/python3.12")
    program(base / INSIDE)
    apps = "".join(f"1 :  {base}/{path} \n\t ( {word} incoming connections ) \n\n" for path, word in listed.items())
    one, wall = mac(1, apps, real), Firewall()
    now = wall.read(one)
    wanted = wall.wanted(one, now, True)
    assert commands(wall.steps(one, now, wanted)) == [f"{PROGRAM} {words.replace(' ', f' {base}/')}" for words in expected]
    assert commands(wall.steps(one, wanted, now)) == [f"{PROGRAM} {words.replace(' ', f' {base}/')}" for words in back]


def test_file_that_was_added_may_be_listed_by_its_application() -> None:
    one = mac(1, f"1 :  /f/{APP} \n\t ( Allow incoming connections ) \n\n", "")
    assert Firewall().read(one, [f"/f/{INSIDE}", "/f/bin/x"]) == {f"/f/{INSIDE}": "Allow", "/f/bin/x": "Allow"}


def test_apples_python_is_that_of_the_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = program(tmp_path / "shim")
    monkeypatch.setattr(firewall, "_SHIM", str(shim))
    tools = tmp_path / "tools"
    assert executable(host({"xcode-select -p": (2, "")}), str(shim)) == str(shim)
    plain = program(tools / "usr/bin/python3")
    assert executable(host({"xcode-select -p": f"{tools}\n"}), str(shim)) == str(plain)
    application = program(tools / "Library/Frameworks/Python3.framework/Versions/Current/Resources/Python.app/Contents/MacOS/Python")
    assert executable(host({"xcode-select -p": f"{tools}\n"}), str(shim)) == str(application)
