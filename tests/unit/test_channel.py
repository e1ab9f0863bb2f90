"""How a host is reached, and why it is not."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._channel import explain


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
