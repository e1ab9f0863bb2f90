"""The first contact with one host, from each state in which a host can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.host_key import HostKey
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.known_hosts import add_keys
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.outcome import (
    NO_PYTHON,
    READY,
    UNKNOWN_KEY,
    UNREACHABLE,
    WANTS_PASSWORD,
    WRONG_KEY,
    WRONG_PASSWORD,
    Meeting,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.target import Target
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.visit import Company, Visit, Wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.access import Way
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from tests.unit.controller.meetings import FACTS, KEY, FakeSsh, target

FINGERPRINT = HostKey(*KEY.split()).fingerprint


@pytest.fixture
def ssh(tmp_path: Path) -> FakeSsh:
    return FakeSsh(tmp_path)


def visit(ssh: FakeSsh, host: Target, *, apply: bool = True, jump: Meeting | None = None) -> Meeting:
    """Return how far it comes with a host; a jump host before it is in this state."""

    def meet_jump(_words: Any, _before: Any) -> Meeting:
        assert jump
        return jump

    wishes = Wishes(apply, {"mac-2": (FINGERPRINT,)})
    return Visit(host, Company(ssh, wishes, {}, meet_jump, lambda path, _name, line, _key: add_keys(path, [line]))).run()


def test_host_that_is_well_is_left_alone(ssh: FakeSsh) -> None:
    ssh.known = True
    met = visit(ssh, target())
    assert (met.state, met.done, met.facts) == (READY, (), FACTS)
    assert len(ssh.said) == 1
    assert "StrictHostKeyChecking=yes" in ssh.said[0]


def test_login_is_tried_without_the_password_and_without_an_open_connection(ssh: FakeSsh) -> None:
    ssh.known = True
    visit(ssh, target(password=True))
    assert ssh.said[0][0] == "ssh"
    assert "ControlPath=none" in ssh.said[0]


def test_key_is_not_accepted_without_a_word(ssh: FakeSsh) -> None:
    met = visit(ssh, target())
    assert (met.state, met.user, ssh.known_hosts.exists()) == (UNKNOWN_KEY, "me", False)
    assert met.key
    assert (met.key.kind, met.key.fingerprint, met.key.known_as) == ("ED25519", FINGERPRINT, "10.0.0.1")


@pytest.mark.parametrize(("given", "name"), [((FINGERPRINT,), "mac-1"), ((f"{KEY} me@mac",), "mac-1"), ((), "mac-2")])
def test_given_or_confirmed_key_is_added(given: tuple[str, ...], name: str, ssh: FakeSsh) -> None:
    met = visit(ssh, target(given=given, name=name))
    assert (met.state, met.done) == (READY, (f"host key added to {ssh.known_hosts}",))
    assert ssh.known_hosts.read_text() == f"10.0.0.1 {KEY}\n"


def test_key_is_only_looked_at_in_a_trial(ssh: FakeSsh) -> None:
    met = visit(ssh, target(given=(FINGERPRINT,)), apply=False)
    assert (met.state, met.text, met.key) == (UNKNOWN_KEY, f"its host key {FINGERPRINT} would be added to {ssh.known_hosts}", None)
    assert not ssh.known_hosts.exists()


def test_other_key_than_the_given_one_is_refused(ssh: FakeSsh) -> None:
    met = visit(ssh, target(given=(f"SHA256:{'x' * 43}",)))
    assert (met.state, ssh.known_hosts.exists()) == (WRONG_KEY, False)
    assert FINGERPRINT in met.text
    kinds = [word for words in ssh.said for word in words if word.startswith("HostKeyAlgorithms=")]
    assert len(kinds) == 3  # a fingerprint may be that of any of them


@pytest.mark.parametrize("takes_key", [True, False])
def test_known_key_that_is_not_the_given_one_is_refused(takes_key: bool, ssh: FakeSsh) -> None:
    """ssh learned it some day, by whatever way; no password goes there."""
    ssh.known, ssh.takes_key = True, takes_key
    met = visit(ssh, target(given=(f"SHA256:{'x' * 43}",), password=True))
    assert (met.state, f"its host key is {FINGERPRINT} (ED25519), and not the given one" in met.text) == (WRONG_KEY, True)
    assert not any("PreferredAuthentications=password" in " ".join(words) for words in ssh.said)
    assert visit(ssh, target(given=(FINGERPRINT,), password=True)).state == READY


def test_acceptance_by_ssh_is_told(tmp_path: Path) -> None:
    met = visit(FakeSsh(tmp_path, "stricthostkeychecking accept-new"), target())
    assert met.state == READY
    assert f"host key {FINGERPRINT}, which ssh is configured to accept" in met.done[0]


def test_changed_key_is_refused_with_its_place(ssh: FakeSsh) -> None:
    ssh.other_key = True
    met = visit(ssh, target(given=(FINGERPRINT,)))
    assert met.state == WRONG_KEY
    assert f"is not the one in {ssh.known_hosts}:3" in met.text
    assert f"ssh-keygen -R 10.0.0.1 -f {ssh.known_hosts}" in met.text


def test_no_file_for_keys_is_no_way(ssh: FakeSsh) -> None:
    ssh.config = ssh.config.replace(str(ssh.known_hosts), "/dev/null")
    assert "ssh is to keep no host keys" in visit(ssh, target()).text


def test_key_is_installed_with_the_password(ssh: FakeSsh) -> None:
    ssh.known, ssh.takes_key = True, False
    met = visit(ssh, target(password=True))
    assert (met.state, met.done) == (READY, (f"made the key {ssh.identity}, as ssh had none", f"{ssh.identity} installed for me"))
    ssh.takes_key = False
    assert visit(ssh, target(password=True)).done == met.done  # the same process has made it


@pytest.mark.parametrize(
    ("host", "changes", "apply", "state", "text"),
    [
        (target(), {}, True, WANTS_PASSWORD, "no password of me is known; give -k"),
        (target(), {}, False, WANTS_PASSWORD, "--apply installs a new key with a password"),
        (target(password=True), {"password": False}, True, WRONG_PASSWORD, "the password of me is wrong there"),
        (target(password=True), {"methods": "publickey"}, True, UNREACHABLE, "it takes no password, so add your public key"),
        (target(password=True), {"sshd_takes_it": False}, True, UNREACHABLE, "sshd does not take it: nobody else may write to the home"),
    ],
)
def test_login_that_fails_says_why(host: Target, changes: dict[str, Any], apply: bool, state: str, text: str, ssh: FakeSsh) -> None:
    ssh.known, ssh.takes_key = True, False
    vars(ssh).update(changes)
    met = visit(ssh, host, apply=apply)
    assert met.state == state
    assert text in met.text


def test_jump_host_comes_first(tmp_path: Path) -> None:
    ssh = FakeSsh(tmp_path, "proxyjump me@gate")
    unknown = Meeting("gate", UNKNOWN_KEY, "its host key is not known")
    met = visit(ssh, target(), jump=unknown)
    assert (met.state, met.text) == (UNREACHABLE, "it is reached by way of gate, which comes first")
    met = visit(ssh, target(given=(FINGERPRINT,)), jump=Meeting("gate"))
    assert met.state == READY


def test_tools_are_installed_where_python_is_a_stub(ssh: FakeSsh) -> None:
    ssh.known, ssh.python, ssh.tools = True, False, False
    met = visit(ssh, target(), apply=False)
    assert (met.state, ssh.tools) == (NO_PYTHON, False)
    assert "without which python3 opens a dialog; --apply installs them" in met.text
    met = visit(ssh, target())
    assert (met.state, met.done, met.facts) == (READY, ("installed Command Line Tools for Xcode-26.2",), FACTS)


def no_root(_command: str) -> list[str]:
    raise UsageError("mac-1: unknown become method 'x'")


@pytest.mark.parametrize(
    ("host", "changes", "text", "commands"),
    [
        (target(), {"sudo": False}, "a password is required", 4),
        (replace(target(), root=no_root), {}, "unknown become method", 4),
        (target(), {"offered": "No new software available.\n"}, "softwareupdate offers none", 0),
        (target(), {"offered": "* Label: Command Line Tools for Xcode-26.2\n\n"}, "were not installed", 4),
        (target(), {"tools": True}, "no Python 3 was found", 0),
    ],
)
def test_python_that_cannot_be_had_says_why(host: Target, changes: dict[str, Any], text: str, commands: int, ssh: FakeSsh) -> None:
    ssh.known, ssh.python, ssh.tools = True, False, False
    vars(ssh).update(changes)
    met = visit(ssh, host)
    assert met.state == NO_PYTHON
    assert text in met.text
    assert len(met.commands) == commands


def test_this_machine_needs_no_ssh(ssh: FakeSsh) -> None:
    ssh.known = True
    met = visit(ssh, replace(target(), by_key=Way(()), local=True))
    assert met.state == READY
    assert ssh.said[0] == ["/bin/sh", "-c", "hello"]
