"""The first contact of a command: who is asked, and what is said of changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mlxlaunch_ansible import UsageError
from mlxlaunch_ansible._contact.contact import ContactResult
from mlxlaunch_ansible._inventory import AnsibleOptions, Source
from mlxlaunch_ansible.commands.terminal import first_contact
from mlxlaunch_ansible.commands.terminal.first_contact import host_keys_of, meet_hosts

HOST = {"host": "a", "state": "wants password", "text": "", "user": "me", "key": None, "done": ["x"], "facts": {}, "commands": []}


class FakeRun:
    """An attempt that ends at once."""

    def wait(self) -> ContactResult:
        return ContactResult(3, "told", (HOST,))


class Person:
    """Counts the questions."""

    asked = 0

    def password(self, _hosts: Any) -> str:
        self.asked += 1
        return "sesame"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Start no Ansible; give the list of sources and keys that attempts were made with."""
    found: list[Any] = []

    @contextmanager
    def start(source: Source, _settings: Any, keys: Any, *, apply: bool) -> Iterator[FakeRun]:
        found.append((source.ansible.passwords, keys, apply))
        yield FakeRun()

    @contextmanager
    def no_signals(_run: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(first_contact, "start_contact", start)
    monkeypatch.setattr(first_contact, "signals_end", no_signals)
    monkeypatch.setattr(first_contact, "show_progress", lambda *_arguments, **_how: None)
    return found


def test_person_is_asked_and_changes_are_told(
    started: list[Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    someone = Person()
    monkeypatch.setattr(first_contact, "person", lambda: someone)
    assert meet_hosts(Source(), {}, {"a": ["k"]}, apply=True).message == "told"
    assert started == [((), {"a": ["k"]}, True), ((("connection", "sesame"),), {"a": ["k"]}, True)]
    assert capfd.readouterr().err == "mlxlaunch: a: x\n" * 2


@pytest.mark.parametrize(
    ("options", "apply"),
    [
        (AnsibleOptions(passwords=(("connection", "x"),)), True),
        (AnsibleOptions(connection_password_file="x"), True),
        (AnsibleOptions(), False),
    ],
)
def test_nobody_is_asked_for_a_password_that_is_known(
    options: AnsibleOptions, apply: bool, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    someone = Person()
    monkeypatch.setattr(first_contact, "person", lambda: someone)
    meet_hosts(Source(ansible=options), {}, {}, apply=apply)
    assert (len(started), someone.asked) == (1, 0)


def test_keys_are_given_by_name() -> None:
    assert host_keys_of(None) == {}
    assert host_keys_of(["a=SHA256:x=", "b=ssh-ed25519 AAAA", "a=y"]) == {"a": ["SHA256:x=", "y"], "b": ["ssh-ed25519 AAAA"]}
    for word in ("a", "a=", "=x"):
        with pytest.raises(UsageError, match=r"--host-key .*: want NAME=FINGERPRINT"):
            host_keys_of([word])
