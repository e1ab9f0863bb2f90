"""Commands that run on a host before anything is known of it; tried in this machine's sh."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.commands import (
    INSTALL_KEY,
    KEY_ADDED,
    KEY_THERE,
    LOOK_FOR_TOOLS,
    facts_in,
    hello_program,
    lacks_tools,
)

LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID81UPHG0vimB2n3+NWN3bCQ5EqixMvpfFCq8VQPtfeR ME\\me's * $HOME"
FACTS = {"system": "Darwin", "release": "26.2", "machine": "arm64", "python": "3.9.6", "executable": "/usr/bin/python3"}


def install(home: Path, line: str = LINE) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", INSTALL_KEY],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        input=f"{line}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("before", [None, "", "# mine\nssh-rsa AAAA x\n", "# without an end"])
def test_key_is_added_once_with_the_right_modes(before: str | None, tmp_path: Path) -> None:
    keys = tmp_path / ".ssh" / "authorized_keys"
    if before is not None:
        keys.parent.mkdir(mode=0o777)
        keys.write_text(before)
    assert install(tmp_path).strip() == KEY_ADDED
    assert install(tmp_path).strip() == KEY_THERE
    assert keys.read_text() == f"{before or ''}{'' if not before or before.endswith(chr(10)) else chr(10)}{LINE}\n"
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in (keys.parent, keys)] == ["0o700", "0o600"]


def test_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".ssh").write_text("a file")
    assert KEY_ADDED not in install(tmp_path)


def test_hello_says_what_the_host_is(tmp_path: Path) -> None:
    program = zlib.decompress(hello_program(f'{tmp_path}/it\'s not "there"')).decode()
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    facts = facts_in(f"motd\n{done.stdout}")
    assert facts
    assert (facts["executable"], facts["ranks_python"]) == (sys.executable, False)
    assert facts["python"].startswith("3.")
    assert (
        b"True"
        in subprocess.run(
            [sys.executable, "-c", zlib.decompress(hello_program(sys.executable)) + b"\nprint(facts['ranks_python'])"],
            capture_output=True,
            check=True,
        ).stdout
    )


@pytest.mark.parametrize(
    "told",
    [
        [],
        "x",
        {},
        {**FACTS, "system": 7},
        {**FACTS, "release": "x" * 2000},
        {**FACTS, "machine": "\x1b[2J"},
        {key: FACTS[key] for key in ("system", "python")},
    ],
)
def test_facts_of_another_shape_are_none(told: Any) -> None:
    assert facts_in(f"mlxlaunch: facts {json.dumps(told)}") is None


def test_facts_may_be_missing() -> None:
    assert facts_in("") is None
    assert facts_in("mlxlaunch: facts {") is None
    assert facts_in(f"mlxlaunch: facts {json.dumps({**FACTS, 'ranks_python': 1})}") == {**FACTS, "ranks_python": False}


def test_this_machine_is_no_mac_without_tools() -> None:
    done = subprocess.run(["/bin/sh", "-c", LOOK_FOR_TOOLS], capture_output=True, text=True, check=True)
    assert f"system {os.uname().sysname}" in done.stdout
    assert not lacks_tools(done.stdout)
    assert lacks_tools("mlxlaunch: system Darwin\nmlxlaunch: tools missing\n")
    assert not lacks_tools("mlxlaunch: system Darwin\nmlxlaunch: tools there\n")
