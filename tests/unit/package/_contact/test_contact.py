"""The questions between attempts: each key once, a password once, and none where nobody is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from mlxlaunch_ansible._contact import contact
from mlxlaunch_ansible._contact.contact import ContactResult, ContactRun, HostKeys, meet, start_contact, with_password
from mlxlaunch_ansible._inventory import AnsibleOptions, Source
from tests.unit.package.sessions import requested, staged, start_none

READY = {"state": "ready", "text": "", "key": None, "done": []}


def unknown(name: str) -> dict[str, Any]:
    key = {"kind": "ED25519", "fingerprint": f"SHA256:{name}", "known_as": name}
    return {**READY, "host": name, "state": "unknown key", "text": "not known", "key": key}


def other(name: str, state: str, text: str = "") -> dict[str, Any]:
    return {**READY, "host": name, "state": state, "text": text}


class Person:
    """Confirms the keys of some hosts, and knows a password."""

    def __init__(self, confirms: Sequence[str] = (), password: str = "") -> None:
        self.asked: list[Any] = []
        self._confirms, self._password = confirms, password

    def confirm(self, hosts: Sequence[Mapping[str, Any]]) -> HostKeys:
        self.asked.append([host["host"] for host in hosts])
        return {host["host"]: [host["key"]["fingerprint"]] for host in hosts if host["host"] in self._confirms}

    def password(self, hosts: Sequence[Mapping[str, Any]]) -> str:
        self.asked.append(("password", [host["host"] for host in hosts]))
        return self._password


def attempts(*results: Sequence[Mapping[str, Any]]) -> tuple[Callable[[HostKeys, str], ContactResult], list[Any]]:
    """Return a function that gives these results one after the other, and the list of its arguments."""
    given: list[Any] = []

    def attempt(keys: HostKeys, password: str) -> ContactResult:
        given.append((dict(keys), password))
        hosts = tuple(results[len(given) - 1])
        ready = all(host["state"] == "ready" for host in hosts)
        return ContactResult(0 if ready else 2, "of the worker", hosts)

    return attempt, given


def test_keys_then_a_password_then_what_is_behind() -> None:
    attempt, given = attempts(
        [unknown("gate"), unknown("a"), other("b", "unreachable")],
        [other("a", "wants password"), other("b", "unreachable")],
        [other("a", "ready"), unknown("b")],
        [other("a", "ready"), other("b", "ready")],
    )
    person = Person(["gate", "a", "b"], "sesame")
    assert meet(attempt, person, {"c": ["x"]}).returncode == 0
    assert person.asked == [["gate", "a"], ("password", ["a"]), ["b"]]
    first = {"c": ["x"], "gate": ["SHA256:gate"], "a": ["SHA256:a"]}
    assert given == [({"c": ["x"]}, ""), (first, ""), (first, "sesame"), ({**first, "b": ["SHA256:b"]}, "sesame")]


def test_declined_key_is_not_asked_again_and_no_question_of_the_result() -> None:
    attempt, given = attempts([unknown("a"), unknown("b"), other("c", "unreachable", "no route")], [unknown("a"), other("b", "ready")])
    person = Person(["b"])
    result = meet(attempt, person, {})
    assert (len(given), person.asked) == (2, [["a", "b"]])
    assert (result.returncode, result.message) == (3, "a: the host key was not confirmed, and nothing was changed there")
    attempt, _given = attempts([unknown("a"), other("c", "unreachable", "no route")])
    assert meet(attempt, Person(), {}).message.startswith("c: no route\na: the host key was not confirmed")


@pytest.mark.parametrize(("person", "how"), [(None, {}), (Person(password=""), {}), (Person(password="x"), {"ask_password": False})])
def test_one_attempt_where_there_is_no_answer(person: Person | None, how: dict[str, bool]) -> None:
    attempt, given = attempts([other("a", "wants password")])
    assert meet(attempt, person, {}, **how).message == "of the worker"
    assert len(given) == 1


def test_wrong_password_is_not_asked_for_again() -> None:
    attempt, given = attempts([other("a", "wants password")], [other("a", "wrong password")])
    assert meet(attempt, Person(password="x"), {}).returncode == 2
    assert len(given) == 2


def test_changes_of_several_hosts_share_a_line() -> None:
    hosts = [{**other("a", "ready"), "done": ["x", "y"]}, {**other("b", "ready"), "done": ["y"]}]
    assert ContactResult(0, "", tuple(hosts)).done == ["a: x", "a, b: y"]


def test_password_goes_with_the_options_and_is_not_shown() -> None:
    source = Source(ansible=AnsibleOptions(passwords=(("connection", "old"), ("become", "b"))))
    assert with_password(source, "") is source
    found = with_password(source, "sesame")
    assert found.ansible.passwords == (("become", "b"), ("connection", "sesame"))
    assert "sesame" not in repr(found)


def test_request_is_a_contact_with_keys_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    found = requested(start_contact, Source(data={"mlx": {"hosts": {"a": {}}}}), {"connect_timeout": "5"}, {"a": ("x",)}, apply=True)
    assert (found.request.playbook, found.settings) == ("first_contact.yml", {"connect_timeout": "5"})
    assert found.request.setup["own"] == {"apply": True, "host_keys": {"a": ["x"]}}


def test_result_is_that_of_the_worker() -> None:
    with staged() as stage:
        hosts = [other("a", "ready")]
        told = {"returncode": 0, "cause": "ready", "message": "all well", "hosts": hosts, "changed": False, "duration": 1.0}
        stage.finish(stage.worker(), "contact_finished", **told)
        assert ContactRun(stage.session).wait() == contact.ContactResult(0, "all well", tuple(hosts))
