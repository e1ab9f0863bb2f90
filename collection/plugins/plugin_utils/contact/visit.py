# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first contact with one host: its key confirmed, our key installed, and a Python found."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..hosts.bootstrap import STARTED
from ..hosts.connection import explain
from ..hosts.login_shell import in_sh
from ..job.errors import LaunchError, UsageError
from .commands import INSTALL_KEY, KEY_ADDED, KEY_THERE, LOOK_FOR_TOOLS, facts_in, lacks_tools
from .host_key import HostKey, algorithms
from .identity import Identity, expanded_home, find_identity
from .known_hosts import as_kept, fetched, fetching
from .outcome import NO_PYTHON, READY, UNKNOWN_KEY, UNREACHABLE, WANTS_PASSWORD, WRONG_KEY, WRONG_PASSWORD, Key, Meeting
from .ssh_config import SshConfig, words_to_jump
from .target import Programs, Target
from .tools import INSTALL, LIST, by_hand, newest
from .verdict import LET_IN, NEW_KEY, OTHER_KEY, REFUSED, Verdict, judge

_STRICT = ("-o", "StrictHostKeyChecking=yes")
#: A connection of its own: a shared one may have been opened with a password.
_ALONE = (*_STRICT, "-o", "ControlMaster=no", "-o", "ControlPath=none")
_BY_PASSWORD: tuple[str, ...] = ("-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1")
_BY_PASSWORD += ("-o", "PreferredAuthentications=keyboard-interactive,password")
_PASSWORDS = ("password", "keyboard-interactive")  # as sshd names the ways to log in
_NO_TOOLS = "the command line tools are missing, and cannot be installed"
_INSTALL_SECONDS = 3600.0  # 700 MB over a slow line, and their installation
_LIST_SECONDS = 300.0  # softwareupdate asks Apple


@dataclass(frozen=True)
class Wishes:
    """The extent of a first contact.

    Attributes:
        apply: write known hosts, install keys and tools; else only look.
        accepted: by host, the fingerprints that a person has confirmed.
    """

    apply: bool = False
    accepted: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True)
class Company:
    """What the visits of all hosts share.

    Attributes:
        programs: runs ssh and its companions.
        wishes: how far to go.
        news: for a person who waits, by host.
        meet_jump: meets a jump host once, given the words that reach it and those that give ssh a password.
        add_key: adds a line to a file of known hosts once, given the file, the name looked for, the line and its key.
    """

    programs: Programs
    wishes: Wishes
    news: dict[str, str]
    meet_jump: Callable[[tuple[str, ...], tuple[str, ...]], Meeting]
    add_key: Callable[[str, str, str, HostKey], None]


class _Unmet(Exception):
    """A first contact ends here."""

    def __init__(self, state: str, text: str, key: Key | None = None, commands: Sequence[Sequence[str]] = ()) -> None:
        super().__init__(text)
        self.state, self.text, self.key = state, text, key
        self.commands = tuple(tuple(words) for words in commands)


class Visit:
    """The first contact with one host, in a thread of its own.

    Args:
        target: the host.
        company: what all visits share.
    """

    def __init__(self, target: Target, company: Company) -> None:
        self._target = target
        self._company = company
        self._programs = company.programs
        self._apply = company.wishes.apply
        self._config = SshConfig({})
        self._done: list[str] = []
        self._output = ""

    def run(self) -> Meeting:
        """Return how far it has come."""
        name, facts = self._target.name, dict[str, Any]()
        unmet = _Unmet(READY, "")
        try:
            facts = self._meet()
        except _Unmet as exc:
            unmet = exc
        except (LaunchError, OSError) as exc:
            unmet = _Unmet(UNREACHABLE, str(exc))
        user = self._config.user
        return Meeting(name, unmet.state, unmet.text, user, unmet.key, tuple(self._done), facts, unmet.commands)

    def _meet(self) -> dict[str, Any]:
        if self._target.local:
            return self._greet()
        verdict = self._look()
        if verdict.state != LET_IN:
            verdict = self._on_the_way(verdict)
        if verdict.state == NEW_KEY:
            self._confirm()
            verdict = self._look()
        elif verdict.state in (LET_IN, REFUSED) and (given := self._given()):  # ssh knows one, which need not be the given one
            self._refuse_other(self._fetch(given)[1], given)
        if verdict.state == REFUSED:
            self._install(verdict)
            verdict = self._look()
        if verdict.state != LET_IN:
            raise self._unmet(verdict)
        return self._greet()

    # -- the steps

    def _look(self) -> Verdict:
        """Try to log in as a launch does."""
        way = self._target.by_key
        options = _ALONE if self._target.by_password or self._done else _STRICT
        command = self._target.hello or in_sh(f"echo {STARTED} >&2")
        status, self._output = self._programs.run_ssh(way.argv(command, options), self._target.program)
        return judge(status, self._output)

    def _on_the_way(self, verdict: Verdict) -> Verdict:
        """Meet the jump hosts, which may be why this one was not reached; return how it goes then."""
        words = self._target.by_key.words
        status, output = self._programs.run([words[0], "-G", *words[1:]])
        if status:
            raise _Unmet(UNREACHABLE, explain(output, status))
        self._config = SshConfig.of(output)
        before = self._target.by_password.before if self._target.by_password else ()
        for jump in self._config.jumps:
            met = self._company.meet_jump(words_to_jump(words, jump), before)
            if met.state != READY:
                raise _Unmet(UNREACHABLE, f"it is reached by way of {met.host}, which comes first")
        return self._look() if self._config.jumps else verdict

    def _confirm(self) -> None:
        """Add the host's key to those that ssh knows, if it is one that a person has given or confirmed."""
        config = self._config
        file = expanded_home(config.known_hosts(lambda path: Path(expanded_home(path)).exists()))
        if not file:
            raise _Unmet(UNREACHABLE, "ssh is to keep no host keys (UserKnownHostsFile), so that none can be confirmed; let it keep a file")
        given = self._given()
        line, key = self._fetch(given)
        self._refuse_other(key, given)
        if not given and not config.accepts_new:
            raise _Unmet(UNKNOWN_KEY, "its host key is not known to ssh", Key(key.name, key.fingerprint, config.known_as))
        if not self._apply:
            raise _Unmet(UNKNOWN_KEY, f"its host key {key.fingerprint} would be added to {file}")
        self._company.add_key(file, config.known_as, as_kept(line, config, self._programs.run), key)
        shown = "host key" if given else f"host key {key.fingerprint}, which ssh is configured to accept (accept-new),"
        self._done.append(f"{shown} added to {file}")

    def _given(self) -> tuple[str, ...]:
        """Return the keys that a person has given or confirmed."""
        return (*self._target.given, *(self._company.wishes.accepted or {}).get(self._target.name, ()))

    @staticmethod
    def _refuse_other(key: HostKey, given: Sequence[str]) -> None:
        """Raise _Unmet for a key that is none of the given ones, if there are any."""
        if given and not key.is_one_of(given):
            text = f"its host key is {key.fingerprint} ({key.name}), and not the given one; find out why before you go on"
            raise _Unmet(WRONG_KEY, text)

    def _fetch(self, given: Sequence[str]) -> tuple[str, HostKey]:
        """Return the line that ssh would keep and the key: the one that ssh asks for, or another that was given."""
        found = self._fetch_one("")
        if not given or found[1].is_one_of(given):
            return found
        others = (self._fetch_one(kinds, found) for kinds in algorithms(given))
        return next((other for other in others if other[1].is_one_of(given)), found)

    def _fetch_one(self, kinds: str, default: tuple[str, HostKey] | None = None) -> tuple[str, HostKey]:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "known_hosts"))
            status, output = self._programs.run_ssh(self._target.by_key.argv(in_sh(":"), fetching(path, kinds)))
            found = fetched(path) or default
        if found is None:
            raise _Unmet(UNREACHABLE, explain(output, status))
        return found

    def _install(self, verdict: Verdict) -> None:
        """Let the host take our key, with the password."""
        if not self._config.values:
            self._on_the_way(verdict)
        user = self._config.user
        if not any(method in verdict.text for method in _PASSWORDS):
            text = f"it takes no password, so add your public key to ~{user}/.ssh/authorized_keys there"
            raise _Unmet(UNREACHABLE, f"{_reason(verdict)}: {text}")
        identity = find_identity(self._config, self._programs.run, make=self._apply)
        if not self._apply:
            raise _Unmet(WANTS_PASSWORD, f"it does not take your key yet; --apply installs {_name(identity)} with a password, asked once")
        way = self._target.by_password
        if identity and identity.made:
            self._done.append(f"made the key {identity.path}, as ssh had none")
        if way is None or identity is None:
            raise _Unmet(WANTS_PASSWORD, f"it does not take your key yet, and no password of {user} is known; give -k")
        argv = way.argv(INSTALL_KEY, (*_ALONE, *_BY_PASSWORD))
        status, output = self._programs.run_ssh(argv, f"{identity.public}\n".encode())
        if KEY_ADDED in output:
            self._done.append(f"{_name(identity)} installed for {user}")
        elif KEY_THERE not in output and judge(status, output).state == REFUSED:
            raise _Unmet(WRONG_PASSWORD, f"the password of {user} is wrong there")
        elif KEY_THERE not in output:
            raise _Unmet(UNREACHABLE, f"your key could not be installed: {explain(output, status)}")

    def _unmet(self, verdict: Verdict) -> _Unmet:
        if verdict.state == OTHER_KEY:
            return _Unmet(WRONG_KEY, _changed(verdict, self._config.known_as))
        if verdict.state == REFUSED and self._done:
            text = "your key is installed, and sshd does not take it: nobody else may write to the home directory there (chmod go-w ~)"
            return _Unmet(UNREACHABLE, f"{text}; AuthorizedKeysFile in sshd_config is the other reason")
        return _Unmet(UNREACHABLE, verdict.text)

    # -- on the host

    def _greet(self) -> dict[str, Any]:
        """Return what the host says of itself, in a Python of its own; without one, see to it."""
        if not self._target.hello:
            return {}
        if self._target.local:
            _status, self._output = self._programs.run(["/bin/sh", "-c", self._target.hello], self._target.program)
        facts = facts_in(self._output)
        if facts is None:
            _status, tools = self._programs.run_ssh(self._argv(LOOK_FOR_TOOLS))
            if not lacks_tools(tools):
                raise _Unmet(NO_PYTHON, explain(self._output, None))
            self._install_tools()
            _status, self._output = self._programs.run_ssh(self._argv(self._target.hello), self._target.program)
            facts = facts_in(self._output)
        if facts is None:
            raise _Unmet(NO_PYTHON, explain(self._output, None))
        return dict(facts)

    def _argv(self, command: str) -> list[str]:
        return ["/bin/sh", "-c", command] if self._target.local else self._target.by_key.argv(command, _STRICT)

    def _install_tools(self) -> None:
        """Let softwareupdate install Apple's command line tools."""
        if not self._apply:
            raise _Unmet(NO_PYTHON, "the command line tools are missing, without which python3 opens a dialog; --apply installs them")
        status, output = self._as_root(LIST)
        label = newest(output)
        if label is None:
            if status:
                raise _Unmet(NO_PYTHON, f"{_NO_TOOLS}: {explain(output, status)}", commands=by_hand())
            raise _Unmet(NO_PYTHON, f"{_NO_TOOLS}: softwareupdate offers none; see developer.apple.com/download/all")
        self._company.news[self._target.name] = f"installing {label}, which takes minutes"
        status, output = self._as_root(INSTALL, f"{label}\n".encode(), _INSTALL_SECONDS)
        _status, found = self._programs.run_ssh(self._argv(LOOK_FOR_TOOLS))
        if lacks_tools(found):
            raise _Unmet(NO_PYTHON, f"{label} were not installed: {explain(output, status)}", commands=by_hand(label))
        self._done.append(f"installed {label}")

    def _as_root(self, command: str, data: bytes = b"", seconds: float = _LIST_SECONDS) -> tuple[int, str]:
        try:
            argv = self._target.root(command) if self._target.root else ()
        except UsageError as exc:
            raise _Unmet(NO_PYTHON, f"{_NO_TOOLS}: {exc}", commands=by_hand()) from None
        return self._programs.run_ssh(argv, data, seconds)


def _name(identity: Identity | None) -> str:
    return "a new key" if identity is None else identity.path or "your agent's key"


def _reason(verdict: Verdict) -> str:
    """Return what ssh says without the hint for a launch."""
    return verdict.text.partition(": ssh was refused")[0]


def _changed(verdict: Verdict, known_as: str) -> str:
    """Return the line for a host with another key than the known one."""
    place = f"{verdict.file}:{verdict.line}" if verdict.file else "the known one"
    sent = f" ({verdict.sent})" if verdict.sent else ""
    command = shlex.join(["ssh-keygen", "-R", verdict.known_as or known_as, *(["-f", verdict.file] if verdict.file else [])])
    return (
        f"its host key{sent} is not the one in {place}: somebody may be in between. If the host was installed anew, run "
        f"{command}, and prepare it again"
    )
