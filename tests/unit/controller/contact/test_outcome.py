"""The outcome of a first contact names every host in trouble, and its exit status says whose turn it is."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.outcome import (
    UNKNOWN_KEY,
    UNREACHABLE,
    Key,
    Meeting,
    can_be_mended,
    contact_result,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_command
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.connection import explain

HERE = Meeting("a")
NEW = Meeting("b", UNKNOWN_KEY, "its host key is not known to ssh", key=Key("ED25519", "SHA256:x", "10.0.0.1"))
AWAY = Meeting("c", UNREACHABLE, "no route")


@pytest.mark.parametrize(
    ("meetings", "apply", "returncode", "message"),
    [
        ([HERE], True, 0, "a can be reached"),
        ([HERE, HERE], False, 0, "2 hosts can be reached"),
        ([HERE, NEW], True, 2, "b: its host key is not known to ssh, and nobody can be asked here; give --host-key"),
        ([HERE, NEW, NEW], False, 3, "b, b: their host keys are not known to ssh; mlxlaunch prepare --apply shows and asks"),
        ([NEW, AWAY], True, 2, "c: no route\nb: its host key"),
        ([AWAY], True, 3, "c: no route"),
        ([Meeting("d", UNKNOWN_KEY, "its host key x would be added")], False, 3, "d: its host key x would be added"),
    ],
)
def test_returncode_and_message(meetings: list[Meeting], apply: bool, returncode: int, message: str) -> None:
    found = contact_result(meetings, None, apply=apply)
    assert found["returncode"] == returncode
    assert found["message"].startswith(message)
    assert [host["host"] for host in found["hosts"]] == [meeting.host for meeting in meetings]


def test_changes_and_an_early_end_are_told() -> None:
    assert contact_result([Meeting("a", done=("x",))], None, apply=True)["changed"]
    found = contact_result([], Cause("interrupted", 130, "interrupted"), apply=True)
    assert (found["returncode"], found["message"], found["changed"]) == (130, "interrupted", False)


@pytest.mark.parametrize(
    ("errors", "mended"),
    [
        ("Host key verification failed.\n", True),
        ("me@10.0.0.1: Permission denied (publickey,password).\n", True),
        ("ssh: connect to host 10.0.0.1 port 22: Connection refused\n", False),
        ("ssh: Could not resolve hostname x: Name or service not known\n", False),
        ("no Python 3 was found to run mlxlaunch on this host\n", False),
    ],
)
def test_contact_may_help_against_some_reasons_only(errors: str, mended: bool) -> None:
    assert can_be_mended(explain(errors, 255)) is mended


def test_contact_may_help_against_a_stub() -> None:
    assert can_be_mended(host_command([], b""))  # which has the words that a host says then
