"""Questions on the terminal, and what counts as an answer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from mlxlaunch_ansible.commands.terminal import questions
from mlxlaunch_ansible.commands.terminal.questions import keys_table, person

CHECKOUT = Path(__file__).parents[5]
HOSTS = [
    {"host": name, "user": "me", "key": {"kind": kind, "fingerprint": f"SHA256:{name * 43}", "known_as": name}}
    for name, kind in (("a", "ED25519"), ("b", "RSA"))
]


def at_terminal(expression: str, *lines: str, after: str = "") -> tuple[str, str]:
    """Return the value of an expression, as text, in a process whose terminal gives these lines; and all that it showed.

    Args:
        expression: of `hosts` and the names of the module.
        lines: typed; after them comes the end of the input.
        after: text for whose appearance they wait: a question that takes no answer beforehand.
    """
    program = f"from mlxlaunch_ansible.commands.terminal.questions import *; hosts = {HOSTS}; print('result:', {expression}, 'end')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / ".ansible")])}
    terminal = pexpect.spawn(sys.executable, ["-c", program], env=environment, timeout=60, encoding="utf-8", dimensions=(50, 200))
    try:
        if after:
            terminal.expect_exact(after)
        for line in lines:
            terminal.sendline(line)
        terminal.sendeof()
        terminal.expect(r"result: (.*) end\r\n")
        return terminal.match[1], terminal.before
    finally:
        terminal.close(force=True)


@pytest.mark.parametrize(
    ("hosts", "lines", "names"),
    [
        (HOSTS, ["yes"], ["a", "b"]),
        (HOSTS, ["Y"], ["a", "b"]),
        (HOSTS, ["no"], []),
        (HOSTS, [""], []),
        (HOSTS, [], []),
        (HOSTS, ["perhaps", "each", "y", "n"], ["a"]),
        (HOSTS, ["e", "no", "what?", "yes"], ["b"]),
        (HOSTS[:1], ["yes"], ["a"]),
        (HOSTS[:1], ["YES"], ["a"]),
        (HOSTS[:1], [f"SHA256:{'a' * 43}"], ["a"]),
        (HOSTS[:1], [f"SHA256:{'b' * 43}", "n"], []),
        (HOSTS[:1], [], []),
    ],
)
def test_keys_are_confirmed_by_a_word_only(hosts: list[dict[str, Any]], lines: list[str], names: list[str]) -> None:
    result, shown = at_terminal(f"AtTerminal().confirm(hosts[:{len(hosts)}])", *lines)
    assert result == repr({name: [f"SHA256:{name * 43}"] for name in names})
    assert all(host["key"]["fingerprint"] in shown for host in hosts)


def test_table_fits_and_says_how_to_compare() -> None:
    lines = keys_table([{**HOSTS[0], "host": "mac-studio-1.local"}]).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "ssh does not know this host yet:"
    assert lines[-1] == "  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    assert keys_table(HOSTS).endswith("/ssh_host_*_key.pub")


def test_password_is_asked_for_users_and_hosts() -> None:
    result, shown = at_terminal("AtTerminal().password(hosts)", "sesame", after="SSH password of me: ")
    assert result == "sesame"
    assert "sesame" not in shown


def test_any_line_is_an_answer_without_a_list() -> None:
    assert at_terminal("ask('Machines: ')", " a b ")[0] == "a b"


@pytest.mark.parametrize("there", [True, False])
def test_nobody_is_there_without_a_terminal(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "someone_is_there", lambda: there)
    assert (person() is not None) is there
