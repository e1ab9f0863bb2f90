# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions of a first contact, on the person's own terminal."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

from ..._contact.contact import HostKeys, Met
from .passwords import someone_is_there

_COMPARE = """\
Compare with the host's own key, which this shows there:
  ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub"""
_YES, _NO, _EACH = ("y", "yes"), ("n", "no", ""), ("e", "each")


class AtTerminal:
    """The person at the terminal of this process."""

    def confirm(self, hosts: Sequence[Met]) -> HostKeys:
        """Show the keys of all hosts in one table, and return the fingerprints that are right."""
        _tell(keys_table(hosts))
        if len(hosts) == 1:
            right = hosts if self._one(hosts[0], "Is this the right key? (yes, no, or the fingerprint) ") else ()
        else:
            answer = ask(f"Are all {len(hosts)} right? (yes, no, or each) ", (*_YES, *_NO, *_EACH)).lower()
            each = answer in _EACH
            right = [host for host in hosts if answer in _YES or (each and self._one(host, f"{host['host']}: right? (yes, no) "))]
        return {host["host"]: [host["key"]["fingerprint"]] for host in right}

    def password(self, hosts: Sequence[Met]) -> str:
        """Return the password, which is not shown while it is typed."""
        users = sorted({host["user"] for host in hosts})
        names = ", ".join(host["host"] for host in hosts)
        _tell(f"{names}: your key is not known there yet; the password installs it, and is kept nowhere.")
        try:
            return getpass.getpass(f"SSH password of {', '.join(users)}: ")
        except EOFError:
            return ""

    @staticmethod
    def _one(host: Met, question: str) -> bool:
        key = host["key"]["fingerprint"]
        answer = ask(question, (*_YES, *_NO, key))
        return answer == key or answer.lower() in _YES


def person() -> AtTerminal | None:
    """Return the person at the terminal, None when nobody can be asked."""
    return AtTerminal() if someone_is_there() else None


def keys_table(hosts: Sequence[Met]) -> str:
    """Return the table of keys that ssh does not know, and how a person compares them."""
    width = max(len(host["host"]) for host in hosts)
    rows = [f"  {host['host']:{width}}  {host['key']['kind']:7} {host['key']['fingerprint']}" for host in hosts]
    kinds = sorted({host["key"]["kind"].lower() for host in hosts})
    them = "this host" if len(hosts) == 1 else "these hosts"
    return "\n".join([f"ssh does not know {them} yet:", "", *rows, "", _COMPARE % (kinds[0] if len(kinds) == 1 else "*")])


def ask(question: str, answers: Sequence[str] = ()) -> str:
    """Return a line that a person types on the terminal, "" at the end of the input.

    Args:
        question: is shown before it.
        answers: those that are taken; any when there are none.
    """
    with open("/dev/tty", "r+b", buffering=0) as terminal:  # noqa: PTH123 - no other file has this line discipline
        while True:
            terminal.write(question.encode())
            line = terminal.readline()
            answer = line.decode("utf-8", "replace").strip()
            if not line or not answers or answer in answers or answer.lower() in answers:
                return answer


def _tell(text: str) -> None:
    with open("/dev/tty", "wb", buffering=0) as terminal:  # noqa: PTH123 - as above
        terminal.write(f"{text}\n".encode())
