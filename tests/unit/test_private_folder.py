"""The directory of a job's sockets: where the user wants temporary files, unless a socket's name would get too long there."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from mlxlaunch_ansible import _runner

#: What macOS gives each user: 48 bytes.
MACOS = "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T"


@pytest.mark.parametrize(
    ("base", "chosen"),
    [("/tmp", "/tmp"), (MACOS, MACOS), ("/home/ada/" + "x" * 60, "/tmp"), ("/home/ada/" + "é" * 25, "/tmp")],
    ids=["short", "macOS", "long", "long in bytes"],
)
def test_names_of_sockets_are_short_enough(base: str, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def mkdtemp(*, prefix: str, dir: str) -> str:
        made.append(dir)
        return f"{dir}/{prefix}12345678"

    monkeypatch.setattr(tempfile, "tempdir", base)
    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    folder: Path = _runner.private_folder()
    assert made == [chosen]
    assert len(bytes(folder / "pymp-12345678" / "listener-12345678")) < 104  # sun_path in macOS's sys/un.h, with its zero
