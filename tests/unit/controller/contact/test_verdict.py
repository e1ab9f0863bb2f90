"""What ssh says tells how far it has come; the texts are those of OpenSSH 9 and 10."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.verdict import ELSEWHERE, LET_IN, NEW_KEY, OTHER_KEY, REFUSED, judge
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import STARTED

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
The fingerprint for the ED25519 key sent by the remote host is
SHA256:uqr3R6zxlj6wwwJ/3rceJqB70raAFAgwO2yBytyyjfs.
Please contact your system administrator.
Add correct host key in /home/me/my files/known_hosts to get rid of this message.
Offending ED25519 key in /home/me/my files/known_hosts:12
Host key for [10.0.0.1]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""
UNKNOWN = "No ED25519 host key is known for 10.0.0.1 and you have requested strict checking.\nHost key verification failed.\n"
DENIED = "me@10.0.0.1: Permission denied (publickey,password).\n"
THROUGH = "kex_exchange_identification: Connection closed by remote host\n"


@pytest.mark.parametrize(
    ("status", "output", "state"),
    [
        (0, f"Welcome\n{STARTED}\n", LET_IN),
        (127, f"{STARTED}\nno Python 3 was found\n", LET_IN),
        (255, UNKNOWN, NEW_KEY),
        (255, CHANGED, OTHER_KEY),
        (255, DENIED, REFUSED),
        (255, "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\n", REFUSED),
        (255, f"Host key verification failed.\n{THROUGH}", ELSEWHERE),
        (255, f"{DENIED}{THROUGH}", ELSEWHERE),
        (255, "ssh: connect to host 10.0.0.1 port 22: Connection refused\n", ELSEWHERE),
        (255, "ssh: Could not resolve hostname x: Name or service not known\n", ELSEWHERE),
        (-9, "\nno answer within 30 s", ELSEWHERE),
        (1, "This account is currently not available.\n", ELSEWHERE),
    ],
)
def test_state_follows_from_the_messages(status: int, output: str, state: str) -> None:
    assert judge(status, output).state == state


def test_changed_key_is_told_with_its_place() -> None:
    found = judge(255, CHANGED)
    assert (found.file, found.line, found.known_as) == ("/home/me/my files/known_hosts", "12", "[10.0.0.1]:2222")
    assert found.sent == "SHA256:uqr3R6zxlj6wwwJ/3rceJqB70raAFAgwO2yBytyyjfs"
    assert judge(255, "REMOTE HOST IDENTIFICATION HAS CHANGED\n").file == ""


def test_reason_is_one_line() -> None:
    assert judge(255, DENIED).text.startswith("me@10.0.0.1: Permission denied (publickey,password): ssh was refused")
