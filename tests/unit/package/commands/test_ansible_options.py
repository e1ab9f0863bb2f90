"""The options of ansible-playbook: what is given to it, what is asked for, and what is refused."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Iterator
from typing import Any

import pytest

from mlxlaunch_ansible import UsageError
from mlxlaunch_ansible._inventory import AnsibleOptions
from mlxlaunch_ansible.commands import ansible_options
from mlxlaunch_ansible.commands.ansible_options import FLAGS, add_ansible, ansible_of, refusal


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_ansible(parser)
    return parser.parse_args(words)


def words_of(*words: str) -> list[str]:
    return ansible_of(parse(*words)).words


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A terminal on which somebody answers `secret`, and the questions."""
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "secret"

    monkeypatch.setattr(os, "open", lambda *_arguments: os.dup(0))
    monkeypatch.setattr(getpass, "getpass", answer)
    yield asked
    monkeypatch.undo()


#: The words of a command line, and those that ansible-playbook gets.
ROWS: list[tuple[list[str], list[str]]] = [
    ([], []),
    (["-l", "a:!b"], ["--limit=a:!b"]),
    (["--user", "ada"], ["--user=ada"]),
    (["-uada"], ["--user=ada"]),
    (["--key-file", "k"], ["--private-key=k"]),
    (["-c", "local"], ["--connection=local"]),
    (["-b", "--become-user=eve", "--become-method", "doas"], ["--become-user=eve", "--become-method=doas", "--become"]),
    (["--ssh-common-args=-J jump"], ["--ssh-common-args=-J jump"]),
    (["--ssh-extra-args", "-4"], ["--ssh-extra-args=-4"]),
    (["-e", "a=1 b=2", "--extra-vars", f"@{__file__}"], ["--extra-vars=a=1 b=2", f"--extra-vars=@{__file__}"]),
    (["--vault-pass-file", "f", "--vault-id", "x@g"], ["--vault-id=x@g", "--vault-password-file=f"]),
    (["--conn-pass-file=f", "--become-pass-file=g"], ["--connection-password-file=f", "--become-password-file=g"]),
    (["-v"], []),
    (["-vv"], ["-vv"]),
    (["-v", "-vvv"], ["-vvvv"]),
]


@pytest.mark.parametrize(("given", "passed"), ROWS, ids=[" ".join(row[0]).replace(__file__, "v.yml") for row in ROWS])
def test_options_are_given_to_ansible(given: list[str], passed: list[str]) -> None:
    try:
        assert words_of(*given) == passed
    except SystemExit:  # a value that begins with a dash wants =, as with ansible-playbook
        assert given == ["--ssh-extra-args", "-4"]


def test_one_v_is_verbose() -> None:
    assert parse("-v").verbose is True


def test_connection_with_a_number_is_that_of_mlx_launch() -> None:
    parsed = parse("--connection", "4")
    assert (parsed.connections_per_ip, parsed.connection) == ("4", None)


def test_every_flag_is_known() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_ansible(parser)
    assert {flag for action in parser._actions for flag in action.option_strings} | {"--inventory-file"} == FLAGS


@pytest.mark.parametrize(
    ("given", "questions", "kinds"),
    [
        ("-J", ["Vault password: "], ["default"]),
        ("-k", ["SSH password: "], ["connection"]),
        ("-K", ["BECOME password: "], ["become"]),
        ("-kK", ["SSH password: ", "BECOME password[defaults to SSH password]: "], ["connection", "become"]),
        ("--vault-id dev@prompt", ["Vault password (dev): "], ["dev"]),
    ],
)
def test_passwords_are_asked_for(given: str, questions: list[str], kinds: list[str], terminal: list[str]) -> None:
    options = ansible_of(parse(*given.split()))
    assert terminal == questions
    assert options.passwords == tuple((kind, "secret") for kind in kinds)
    assert options.words == []
    assert "secret" not in repr(options)
    assert options.not_recorded


def test_empty_answer_is_ssh_s_password_or_none(terminal: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["secret", ""])
    monkeypatch.setattr(getpass, "getpass", lambda _question: next(answers))
    assert ansible_of(parse("-k", "-K")).passwords == (("connection", "secret"), ("become", "secret"))
    monkeypatch.setattr(getpass, "getpass", lambda _question: "")
    with pytest.raises(UsageError, match="--ask-vault-pass: no password was given"):
        ansible_of(parse("-J"))


@pytest.mark.parametrize(
    ("flag", "instead"), [("-J", "--vault-password-file"), ("-k", "--connection-password-file"), ("-K", "--become-pass")]
)
def test_nobody_to_ask_is_a_mistake(flag: str, instead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_arguments: Any) -> int:
        raise OSError

    monkeypatch.setattr(ansible_options.os, "open", missing)
    with pytest.raises(UsageError, match=f"asks for a password on a terminal, and there is none; use {instead}"):
        ansible_of(parse(flag))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-f"], "-f is for ansible-playbook; all hosts take part"),
        (["-f10"], "-f is for"),
        (["--forks=5"], "--forks is for"),
        (["-C"], "use mlxlaunch run --dry-run"),
        (["-T"], "--connect-timeout"),
        (["-t"], "no tags"),
        (["--skip-tags"], "no tags"),
        (["--sudo"], "use --become"),
    ],
)
def test_option_that_would_mean_something_else_is_refused(words: list[str], text: str) -> None:
    assert text in (refusal(words) or "")


def test_other_options_are_not_refused() -> None:
    assert refusal(["--bakend", "-x", "--tagsoup"]) is None


def test_nothing_is_asked_without_options() -> None:
    assert ansible_of(parse()) == AnsibleOptions()
