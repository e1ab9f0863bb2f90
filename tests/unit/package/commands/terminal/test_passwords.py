"""Questions of Ansible's that a person answers: the command runs again with the answer."""

from __future__ import annotations

import getpass
from collections.abc import Callable

import pytest

from mlxlaunch_ansible._runner import ANSWERS, PasswordWanted
from mlxlaunch_ansible.commands.terminal import passwords
from mlxlaunch_ansible.commands.terminal.passwords import with_answers


@pytest.fixture(autouse=True)
def no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "ANSWERS", {})


def command(*questions: str) -> Callable[[], int]:
    """Return a command that needs an answer to each question."""

    def run() -> int:
        for question in questions:
            if question not in passwords.ANSWERS:
                raise PasswordWanted(question)
        return 7

    return run


def test_each_question_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(passwords, "someone_is_there", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda question: asked.append(question) or "x")
    assert with_answers(command("a", "b")) == 7
    assert asked == ["a", "b"]
    assert ANSWERS == {}


@pytest.mark.parametrize("there", [False, True], ids=["no terminal", "Ctrl-D"])
def test_without_an_answer_the_question_is_an_error(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def getpass_at_end(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr(passwords, "someone_is_there", lambda: there)
    monkeypatch.setattr(getpass, "getpass", getpass_at_end)
    with pytest.raises(PasswordWanted):
        with_answers(command("a"))
