"""Passwords on their way: with the real programs that are started, in place of ssh and sudo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.passwords import after_password, with_askpass, with_input

PASSWORD = 'it\'s $HOME \\ "secret" ü'

# Each in place of sudo: one that asks for nothing, one that reads a password, one that refuses three of them.
NOBODY_ASKS = 'exec /bin/sh -c "$0"'
ONE_IS_READ = 'IFS= read -r line; [ "$line" = "$1" ] || exit 9; exec /bin/sh -c "$0"'
THREE_ARE_WRONG = "read -r line; read -r line; read -r line; exit 1"


def run(argv: list[str], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=data, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("sudo", [NOBODY_ASKS, ONE_IS_READ])
def test_program_gets_its_own_input_whether_a_password_is_read_or_not(sudo: str, tmp_path: Path) -> None:
    data = b"first line\n\x00\xff" * 50000
    argv = with_input(["/bin/sh", "-c", sudo, after_password("exec cat"), PASSWORD], PASSWORD, str(tmp_path))
    assert run(argv, data).stdout == data


def test_wrong_password_ends_without_the_program_s_input(tmp_path: Path) -> None:
    assert run(with_input(["/bin/sh", "-c", THREE_ARE_WRONG], "x", str(tmp_path))).returncode == 1


def test_process_is_the_command_and_returns_its_status(tmp_path: Path) -> None:
    argv = with_input([sys.executable, "-c", "import os; print(os.getpid()); raise SystemExit(7)"], "x", str(tmp_path))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        told = process.communicate(timeout=60)[0]
    assert (int(told), process.returncode) == (process.pid, 7)


def test_ssh_s_question_is_answered_by_a_program(tmp_path: Path) -> None:
    argv = with_askpass(["/bin/sh", "-c", 'exec "$SSH_ASKPASS" "password: "'], PASSWORD, str(tmp_path))
    assert run(argv).stdout.decode() == f"{PASSWORD}\n"


@pytest.mark.parametrize("way", [with_askpass, with_input])
def test_password_is_in_no_word_and_in_no_file_of_others(way: object, tmp_path: Path) -> None:
    assert callable(way)
    assert PASSWORD not in " ".join(way(["ssh"], PASSWORD, str(tmp_path)))
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
