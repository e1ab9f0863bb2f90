# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of ansible-playbook, which mean here what they mean there, and those that would mean something else."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .._core import UsageError
from .._inventory import AnsibleOptions, extra_text
from .suggestions import check_variables
from .terminal.screen import say

_TEXTS: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (("-l", "--limit"), "limit", "PATTERN", "only these hosts of the inventory"),
    (("-u", "--user"), "user", "USER", "user who logs in on the hosts"),
    (("--private-key", "--key-file"), "private_key", "FILE", "private key for ssh"),
    (("--ssh-common-args",), "ssh_common_args", "ARGS", "arguments for ssh"),
    (("--ssh-extra-args",), "ssh_extra_args", "ARGS", "further arguments for ssh"),
    (("--become-user",), "become_user", "USER", "user that --become leads to. Default: root."),
    (("--become-method",), "become_method", "NAME", "way of --become. Default: sudo."),
    (("--become-password-file", "--become-pass-file"), "become_password_file", "FILE", "file with the password for --become"),
    (("--connection-password-file", "--conn-pass-file"), "connection_password_file", "FILE", "file with the password for ssh"),
)
_LISTS: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (("-e", "--extra-vars"), "extra_vars", "VARS", "variables: name=value, JSON or @FILE; flags of mlxlaunch are stronger. Repeatable."),
    (("--vault-password-file", "--vault-pass-file"), "vault_password_files", "FILE", "file with a vault's password. Repeatable."),
    (("--vault-id",), "vault_ids", "ID", "a vault's password: LABEL@FILE or LABEL@prompt. Repeatable."),
)
_SWITCHES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("-b", "--become"), "become", "run as another user on the hosts"),
    (("-k", "--ask-pass"), "ask_pass", "ask for the password for ssh"),
    (("-K", "--ask-become-pass"), "ask_become_pass", "ask for the password for --become"),
    (("-J", "--ask-vault-pass", "--ask-vault-password"), "ask_vault_pass", "ask for the vault's password"),
)
_CONNECTION = ("-c", "--connection")
#: All of these options.
FLAGS = frozenset(
    [
        *(flag for flags, *_more in (*_TEXTS, *_LISTS, *_SWITCHES) for flag in flags),
        *_CONNECTION,
        *("-v", "--inventory-file"),
    ]
)
_PROMPTS = ("prompt", "prompt_ask_vault_pass")
_DEFAULT_VAULT = "default"  # the label of a vault that has none


def file_name(word: str) -> str:
    """Return the name of a file as it is given, or refuse an empty one."""
    if not word:  # as a path it would be the current directory
        raise argparse.ArgumentTypeError("a name cannot be empty")
    return word


def add_ansible(parser: argparse.ArgumentParser) -> None:
    """Add the options; `ansible_of` reads them."""
    group = parser.add_argument_group("as ansible-playbook")
    for flags, name, metavar, text in _TEXTS:
        group.add_argument(*flags, dest=name, metavar=metavar, help=text)
    group.add_argument(*_CONNECTION, action=_Connection, metavar="KIND", help="kind of connection: ssh or local. Default: ssh.")
    for flags, name, metavar, text in _LISTS:
        kind = extra_text if name == "extra_vars" else file_name
        group.add_argument(*flags, dest=name, metavar=metavar, action="append", type=kind, default=[], help=text)
    for flags, name, text in _SWITCHES:
        group.add_argument(*flags, dest=name, action="store_true", help=text)
    text = "as --verbose; -vv and more also show Ansible's own output, on standard error"
    group.add_argument("-v", dest="verbosity", action=_Verbosity, nargs=0, default=0, help=text)


class _Connection(argparse.Action):
    """The kind of connection; with a number, `--connection` is mlx.launch's --connections-per-ip, abbreviated."""

    def __call__(self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _option: str | None = None) -> None:
        namespace.__dict__["connections_per_ip" if str(values).isdecimal() else self.dest] = values


class _Verbosity(argparse.Action):
    """One -v is ours, several are Ansible's too."""

    def __call__(self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_more: Any) -> None:
        namespace.verbose = True
        namespace.verbosity += 1


def ansible_of(parsed: argparse.Namespace) -> AnsibleOptions:
    """Return the options that were given; passwords are asked for on the person's own terminal.

    Raises:
        UsageError: nobody is there to be asked, or a variable is misspelled.
    """
    options = AnsibleOptions(
        extra_vars=tuple(parsed.extra_vars),
        become=parsed.become,
        connection=parsed.connection or "",
        vault_ids=tuple(word for word in parsed.vault_ids if not _prompted(word)),
        vault_password_files=tuple(_path(word) for word in parsed.vault_password_files),
        passwords=tuple(_passwords(parsed)),
        verbosity=parsed.verbosity,
        show=say,
        **{name: _text(name, getattr(parsed, name)) for _flags, name, *_more in _TEXTS},
    )
    check_variables(options.variables)
    return options


def _text(name: str, value: str | None) -> str:
    return _path(value) if value and name.endswith(("_file", "_key")) else value or ""


def _path(word: str) -> str:
    return str(Path(word).expanduser())


def _prompted(vault_id: str) -> bool:
    return vault_id.rpartition("@")[2] in _PROMPTS


def _passwords(parsed: argparse.Namespace) -> Iterable[tuple[str, str]]:
    """Yield the passwords to ask for, each with its kind, in Ansible's order."""
    labels = [word.rpartition("@")[0] or _DEFAULT_VAULT for word in parsed.vault_ids if _prompted(word)]
    for label in labels:
        yield label, ask(f"Vault password ({label}): ", "--vault-id", "label@FILE")
    if parsed.ask_vault_pass:
        yield _DEFAULT_VAULT, ask("Vault password: ", "--ask-vault-pass", "--vault-password-file")
    of_ssh = ""
    if parsed.ask_pass:
        of_ssh = ask("SSH password: ", "--ask-pass", "--connection-password-file")
        yield "connection", of_ssh
    if parsed.ask_become_pass:
        also = "[defaults to SSH password]" if of_ssh else ""
        yield "become", ask(f"BECOME password{also}: ", "--ask-become-pass", "--become-password-file", of_ssh)


def ask(question: str, flag: str, instead: str, default: str = "") -> str:
    """Return the answer to a question, which is not shown while it is typed.

    Args:
        question: as Ansible puts it.
        flag: asks for it.
        instead: names what would do without a terminal.
        default: the meaning of an empty answer.

    Raises:
        UsageError: there is no terminal, or no answer.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        raise UsageError(f"{flag} asks for a password on a terminal, and there is none; use {instead}") from None
    os.close(terminal)
    try:
        answer = getpass.getpass(question) or default
    except EOFError:
        answer = ""
    if not answer:
        raise UsageError(f"{flag}: no password was given")
    return answer


#: Options of ansible-playbook that would mean something else here, or nothing, and what to use.
_REFUSED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("-f", "--forks"), "all hosts take part at the same time"),
    (("-t", "--tags", "--skip-tags"), "a launch has no tags"),
    (("-C", "--check"), "use mlxlaunch run --dry-run, or mlxlaunch check"),
    (("-D", "--diff"), "use --verbose"),
    (("-T",), "use --connect-timeout"),
    (("--list-hosts", "--list-tasks", "--list-tags", "--syntax-check"), "use mlxlaunch run --dry-run"),
    (("--step", "--start-at-task", "--force-handlers", "--flush-cache"), "a launch has no tasks to choose from"),
    (("--scp-extra-args", "--sftp-extra-args"), "use --ssh-common-args; files go by ssh and rsync"),
    (("-M", "--module-path"), "set ANSIBLE_LIBRARY"),
    (("-a", "--args"), "arguments stand after the script"),
    (("-s", "--sudo"), "use --become"),
    (("-U", "--sudo-user"), "use --become-user"),
)


def refusal(options: Sequence[str]) -> str | None:
    """Return why an option of ansible-playbook among unknown ones is not taken, None when there is none."""
    for flags, text in _REFUSED:
        for word in options:
            name = word.partition("=")[0]
            if name in flags or (not word.startswith("--") and word[:2] in flags):
                return f"{name if name in flags else word[:2]} is for ansible-playbook; {text}"
    return None
