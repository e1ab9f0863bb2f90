# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of this user by which ssh logs in on hosts, and its making where there is none."""

from __future__ import annotations

import os
import pwd
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..job.errors import UsageError
from .host_key import HostKey
from .ssh_config import SshConfig

_OWN_NAME = "id_ed25519"  # of the key that is made; ssh looks for it without being told
_MAKING = threading.Lock()  # several hosts have the same one
_MADE: set[str] = set()  # by this process, whichever host was first to need it

Run = Callable[[Sequence[str]], tuple[int, str]]  # runs a program here: exit status, output and errors


@dataclass(frozen=True)
class Identity:
    """A key pair.

    Attributes:
        path: file with the private key; "" for one that only an agent has.
        public: the line for authorized_keys.
        made: whether this process has made it.
    """

    path: str
    public: str
    made: bool = False


def find_identity(config: SshConfig, run: Run, *, make: bool) -> Identity | None:
    """Return the first key that ssh can use for a host without asking anybody.

    Args:
        config: ssh's settings for the host.
        run: runs ssh-keygen and ssh-add.
        make: make one where there is none; else the answer is None then.

    Raises:
        UsageError: no key can be used without a passphrase, or a configured file is not there.
    """
    with _MAKING:
        agent = _Agent(config, run)
        locked = ""
        for path in (_expanded(name, config) for name in config.identities):
            if not Path(path).is_file():
                continue
            public, usable = _read(path, agent, run)
            if public and usable:
                return Identity(path, public, path in _MADE)
            locked = locked or path
        if not config.is_on("identitiesonly") and agent.keys:
            return Identity("", agent.keys[0])
        if locked:
            raise UsageError(
                f"{locked}: ssh cannot use this key without a person: run ssh-add {locked} first, or chmod 600 if others may read it"
            )
        return _make(config, run, really=make)


class _Agent:
    """The keys that ssh-agent has; asked when they are first needed."""

    def __init__(self, config: SshConfig, run: Run) -> None:
        self._run = run
        self._keys: list[str] | None = None
        self.keychain = config.is_on("usekeychain")  # macOS: passphrases come from there

    @property
    def keys(self) -> list[str]:
        if self._keys is None:
            status, output = self._run(["ssh-add", "-L"])
            self._keys = [line for line in output.splitlines() if HostKey.of(line)] if status == 0 else []
        return self._keys

    def has(self, public: str) -> bool:
        return HostKey.of(public) in map(HostKey.of, self.keys)


def _read(path: str, agent: _Agent, run: Run) -> tuple[str, bool]:
    """Return the public key of a file, and whether ssh can use the private one without asking."""
    public = ""
    with suppress(OSError, ValueError):
        public = Path(f"{path}.pub").read_text(encoding="utf-8").strip()
    status, output = run(["ssh-keygen", "-y", "-P", "", "-f", path])
    found = next((line for line in output.splitlines() if HostKey.of(line)), "")
    public = public if HostKey.of(public) and "\n" not in public else found
    return public, status == 0 or (bool(public) and (agent.keychain or agent.has(public)))


def _make(config: SshConfig, run: Run, *, really: bool) -> Identity | None:
    wanted = [path for name in config.identities if Path(path := _expanded(name, config)).name == _OWN_NAME]
    if not wanted:
        missing = _expanded(next(iter(config.identities), _OWN_NAME), config)
        raise UsageError(
            f"{missing}: ssh is to use this key, and it is not there; correct the name, or run ssh-keygen -t ed25519 -f {missing}"
        )
    path = wanted[0]
    if not really:
        return None
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    status, output = run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path])
    if status:
        raise UsageError(f"{path}: ssh-keygen could not make a key: {(output.strip().splitlines() or ['no reason'])[-1]}")
    _MADE.add(path)
    return Identity(path, Path(f"{path}.pub").read_text(encoding="utf-8").strip(), made=True)


def _expanded(name: str, config: SshConfig) -> str:
    """Return a file of ssh's configuration by its path; `ssh -G` leaves the home directory and tokens to the reader."""
    user = pwd.getpwuid(os.geteuid())
    tokens = {"%%": "%", "%d": user.pw_dir, "%u": user.pw_name, "%h": config.first("hostname"), "%r": config.user}
    text = name
    for token, value in tokens.items():
        text = text.replace(token, value)
    return f"{user.pw_dir}{text[1:]}" if text.startswith("~/") else os.path.abspath(text)


def expanded_home(path: str) -> str:
    """Return a path with the home directory for `~/`, as ssh takes it: that of the account, whatever HOME says."""
    return f"{pwd.getpwuid(os.geteuid()).pw_dir}{path[1:]}" if path.startswith("~/") else path
