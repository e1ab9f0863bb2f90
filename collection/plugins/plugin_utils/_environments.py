# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the Python environment that is to be on all hosts, from a lock file or as a copy of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..module_utils._environment import environment_key
from ._errors import UsageError
from ._lock import Lock, read_lock
from ._own_environment import OwnEnvironment, own_environment, reasons_not_to_copy
from ._settings import COPY, JobSettings
from ._wheelhouse import Run, Wheels, fill_wheelhouse, pip_platforms

Facts = Mapping[str, Mapping[str, Any]]


class Differ(Exception):
    """The hosts cannot have the same environment; `problems` says why, by host."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(", ".join(problems))
        self.problems = problems


class Environment(Protocol):
    """What a deploy asks of an environment.

    Attributes:
        copies: whether this machine's own files are sent.
        key: name of its directory on the hosts, known after `agree`.
        source: directory to copy, when it copies.
        wheels: what to send to be installed from, after `prepare`; None when hosts get it from an index.
    """

    copies: bool
    key: str
    source: Path
    wheels: Wheels | None

    def question(self, wanted: str) -> dict[str, str]:
        """Return what to ask a host about its base interpreter; `wanted` is its own setting."""

    def agree(self, facts: Facts) -> None:
        """Come to one key for all hosts, or raise Differ."""

    def prepare(self, facts: Facts, run: Run, say: Callable[[str], object]) -> None:
        """Do here what has to be done before hosts can make it; `run` runs a program, `say` is told how it goes."""

    def details(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a host has to be told to make it."""


def environment_from(settings: JobSettings) -> Environment:
    """Return the environment that the settings ask for, or raise UsageError naming what is wrong with it."""
    if settings.environment == COPY:
        return Copied(own_environment())
    return Locked(read_lock(settings.environment), settings.wheelhouse, settings.index_url)


class Locked:
    """An environment made on each host from a lock.

    Args:
        lock: what is in it.
        wheelhouse: directory here for the wheels, or "".
        index_url: where they come from, or "".
    """

    copies = False

    def __init__(self, lock: Lock, wheelhouse: str, index_url: str) -> None:
        self.key = ""
        self.source = Path()
        self.wheels: Wheels | None = None
        self._lock = lock
        self._wheelhouse = wheelhouse
        self._index_url = index_url
        self._wanted: dict[str, str] = {}

    def question(self, wanted: str) -> dict[str, str]:
        return {"wanted": wanted, "lock": self._lock.sha256}

    def agree(self, facts: Facts) -> None:
        self.key = _one_key(self._lock.sha256, facts)

    def prepare(self, facts: Facts, run: Run, say: Callable[[str], object]) -> None:
        if self._wheelhouse:
            python = next(iter(facts.values()))["python"]
            # Hosts with another release of the same system may need other wheels.
            for platforms in {tuple(pip_platforms(host["python"]["platform"])) for host in facts.values()}:
                found = fill_wheelhouse(self._lock, self._wheelhouse, python["version"], platforms, self._index_url, say, run)
                self.wheels = self.wheels.joined(found) if self.wheels else found

    def details(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "python": facts["python"]["path"],
            "lock": self._lock.text,
            "lock_sha256": self._lock.sha256,
            "wanted": facts["python"]["wanted"],
            "base": facts["python"],
            "index_url": "" if self.wheels else self._index_url,
            "index_options": [] if self.wheels else list(self._lock.index_options),
        }


class Copied:
    """A copy of the environment that runs this; what hosts wish for does not count.

    Args:
        own: what it is.
    """

    copies = True

    def __init__(self, own: OwnEnvironment) -> None:
        self.key = ""
        self.source = Path(own.prefix)
        self.wheels: Wheels | None = None
        self._own = own

    def question(self, wanted: str) -> dict[str, str]:  # noqa: ARG002
        return {"wanted": self._own.base, "lock": self._own.digest}

    def agree(self, facts: Facts) -> None:
        reasons = reasons_not_to_copy(self._own, {host: known["python"] for host, known in facts.items()})
        if reasons:
            raise UsageError(f"environment: copy: {'; '.join(reasons)}")
        self.key = _one_key(self._own.digest, facts)

    def prepare(self, facts: Facts, run: Run, say: Callable[[str], object]) -> None:
        pass

    def details(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "python": facts["python"]["path"],
            "source": self._own.prefix,
            "base": self._own.base,
            "version": self._own.version,
            "digest": self._own.digest,
            "lock_sha256": self._own.digest,
            "wanted": self._own.base,
        }


def _one_key(content: str, facts: Facts) -> str:
    keys: dict[str, str] = {host: environment_key(content, known["python"], known) for host, known in facts.items()}
    if len(set(keys.values())) > 1:
        usual = most_frequent(list(keys.values()))
        example = next(host for host, key in keys.items() if key == usual)
        raise Differ({host: _difference(facts[host], example, facts[example]) for host, key in keys.items() if key != usual})
    return next(iter(keys.values()))


def most_frequent(values: Sequence[str]) -> str:
    """Return the value that most have; of two that as many have, the one that came first."""
    return max(dict.fromkeys(values), key=values.count)


def _difference(mine: Mapping[str, Any], other_name: str, other: Mapping[str, Any]) -> str:
    def phrase(facts: Mapping[str, Any]) -> str:
        return f"Python {facts['python']['version']} on {facts['system']} {facts['machine']}"

    text = f"has {phrase(mine)} ({mine['python']['path']}), {other_name} has {phrase(other)}"
    return f"{text}: they cannot have the same environment; name a Python that all hosts have (mlx_python)"
