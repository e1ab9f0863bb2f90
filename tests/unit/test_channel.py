"""How a host is reached, and why it is not."""

from __future__ import annotations

import shlex

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._channel import explain, host_command, program


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ("Warning: added x\nme@mac-1: Permission denied (publickey).\n", ["me@mac-1: Permission denied (publickey): ", "ansible_user"]),
        ("No ED25519 host key is known for mac-1.\nHost key verification failed.\n", ["Host key verification failed: ", "known_hosts"]),
        ("ssh: Could not resolve hostname mac-9: Name or service not known", ["hostname mac-9", "set ansible_host"]),
        ("ssh: connect to host mac-1 port 22: Connection refused", ["port 22: Connection refused: ", "Remote Login"]),
        ("ssh: connect to host mac-1 port 22: No route to host", ["No route to host: ", "Local Network"]),
        ("sudo: a password is required", ["a password is required: ", "NOPASSWD"]),
    ],
)
def test_known_failure_has_a_hint(said: str, parts: list[str]) -> None:
    text = explain(said, 255)
    assert [part for part in parts if part not in text] == []
    assert len(text.splitlines()) == 1


def test_changed_host_key_is_not_taken_for_an_unknown_one() -> None:
    said = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nIT IS POSSIBLE ...\nHost key verification failed."
    assert "check why before you accept it" in explain(said, 255)


@pytest.mark.parametrize(
    ("said", "returncode", "expected"),
    [
        ("Welcome to mac-1\n\nbash: python3: not found\n\n", 127, "bash: python3: not found"),
        ("", 255, "the connection ended (status 255)"),
        (" \n", -9, "the connection ended (status -9)"),
        ("", None, "the connection ended"),
    ],
)
def test_other_failure_is_told_by_its_last_line(said: str, returncode: int | None, expected: str) -> None:
    assert explain(said, returncode) == expected


def test_supervisor_is_started_by_sh_whatever_the_login_shell() -> None:
    words = shlex.split(host_command([]))
    assert words[:3] == ["exec", "/bin/sh", "-c"]
    assert len(words) == 4
    assert "\n" not in host_command([])


def test_wanted_python_is_tried_first_and_each_once() -> None:
    script = shlex.split(host_command(["/env/bin/python", "/usr/bin/python3"]))[3]
    tried = [part.split()[2] for part in script.split("; ") if part.startswith("command -v")]
    assert tried == ["/env/bin/python", "/usr/bin/python3", "/opt/homebrew/bin/python3", "/usr/local/bin/python3", "python3"]


def test_python_with_a_space_and_a_quote_in_its_path_stays_one_word() -> None:
    script = shlex.split(host_command(["/it's here/python"]))[3]
    assert shlex.split(script.partition(" >")[0])[2] == "/it's here/python"


def test_nothing_of_the_users_python_is_loaded() -> None:
    assert " -I -S -c " in host_command([])


def test_host_reads_exactly_the_program() -> None:
    assert f"read({len(program())})" in host_command([])
    compile(program(), "supervisor", "exec")


def test_no_python_is_said_as_such() -> None:
    script = shlex.split(host_command([]))[3]
    assert script.endswith("; echo no Python 3 found to run the supervisor >&2; exit 127")
