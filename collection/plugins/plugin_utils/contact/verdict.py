# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far ssh has come with a host, by its exit status and its messages. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..hosts.bootstrap import STARTED
from ..hosts.connection import explain

LET_IN, NEW_KEY, OTHER_KEY, REFUSED, ELSEWHERE = "let in", "new key", "other key", "refused", "elsewhere"
NO_KEY = "Host key verification failed"
_OTHER = "REMOTE HOST IDENTIFICATION HAS CHANGED"
_DENIED = re.compile(r"Permission denied|Too many authentication failures|Authentication failed")
_OFFENDING = re.compile(r"Offending (?:\S+ )?key (?:for IP )?in (?P<file>\S.*?):(?P<line>\d+)\s*$", re.MULTILINE)
_SENT = re.compile(r"^\s*(SHA256:[A-Za-z0-9+/=]+?)\.?\s*$", re.MULTILINE)
_CHANGED = re.compile(r"^Host key for (\S+) has changed", re.MULTILINE)
# The name that ssh gives the end of a pipe, when the program of ProxyJump or ProxyCommand has ended.
_WAY = re.compile(r"kex_exchange_identification: |UNKNOWN port 65535")


@dataclass(frozen=True)
class Verdict:
    """The end of an attempt to log in.

    Attributes:
        state: LET_IN, our command has begun; NEW_KEY and OTHER_KEY, the host's key is not known or not the known one;
            REFUSED, no way to log in was taken; ELSEWHERE, anything else, on a way that leads by other hosts too.
        text: the reason in one line, "" when there is none.
        file, line: place of the key that is not this host's.
        sent: fingerprint of the key that it has sent instead.
        known_as: the name under which ssh looked for its key.
    """

    state: str
    text: str = ""
    file: str = ""
    line: str = ""
    sent: str = ""
    known_as: str = ""


def judge(returncode: int, output: str) -> Verdict:
    """Return the end of an attempt.

    Args:
        returncode: exit status of ssh.
        output: all that it, and the host, have written.
    """
    if STARTED in output:
        return Verdict(LET_IN)
    reason = explain(output, returncode)
    if _OTHER in output:
        offending, sent = _OFFENDING.search(output), _SENT.search(output)
        place = (offending["file"], offending["line"]) if offending else ("", "")
        name = _CHANGED.search(output)
        return Verdict(OTHER_KEY, reason, *place, sent[1] if sent else "", name[1] if name else "")
    if _WAY.search(output):  # a jump host's key, or one that refuses us, and not this host
        return Verdict(ELSEWHERE, reason)
    if NO_KEY in output:
        return Verdict(NEW_KEY, reason)
    return Verdict(REFUSED if _DENIED.search(output) else ELSEWHERE, reason)
