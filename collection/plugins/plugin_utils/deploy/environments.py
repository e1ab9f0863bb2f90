# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of a deploy: made from a lock, or a copy of the one that runs this."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

from ...module_utils.shared.environment_digest import environment_key
from ..hosts.fleet import HostsFailed
from ..job.errors import UsageError
from ..job.settings import COPY, JobSettings
from .lockfile import Lock, read_lock
from .own_environment import OwnEnvironment, difference, own_environment, reasons_not_to_copy
from .wheelhouse import Run, Wheels, fill_wheelhouse, pip_platforms

Facts = Mapping[str, Mapping[str, Any]]


class EnvironmentMismatch(HostsFailed):
    """The hosts cannot have the same environment; `problems` says why, by host."""


class Environment(Protocol):
    """The kind of environment that the settings ask for."""

    @property
    def digest(self) -> str:
        """Digest of its source: of the lock, or of the files to copy."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person may miss in it."""

    @property
    def source(self) -> Path | None:
        """Directory whose files are copied, None when hosts make it themselves."""

    def request(self, wanted: str) -> dict[str, str]:
        """Return the request for a host's base interpreter; `wanted` is the host's own setting."""

    def resolve_key(self, facts: Facts) -> str:
        """Return the name of its directory on all hosts, or raise EnvironmentMismatch."""

    def prepare(self, facts: Facts, run: Run, progress: Callable[[str], object]) -> Wheels | None:
        """Return the wheels that hosts install from, None when they use an index; `run` runs a program here."""

    def details(self, facts: Mapping[str, Any], wheels: Wheels | None) -> dict[str, Any]:
        """Return the arguments with which a host makes it."""


def environment_from(settings: JobSettings) -> Environment:
    """Return the environment that the settings ask for, or raise UsageError naming its fault."""
    if settings.environment == COPY:
        if settings.lock_extra or settings.lock_group:
            raise UsageError("lock_extra and lock_group choose from a lock, and `copy` takes the whole environment; leave them out")
        return Copied(own_environment())
    return Locked(read_lock(settings.environment, settings.lock_extra, settings.lock_group), settings.wheelhouse, settings.index_url)


@dataclass(frozen=True)
class Locked:
    """An environment made on each host from a lock.

    Args:
        lock: its packages.
        wheelhouse: directory here for the wheels, or "".
        index_url: where they come from, or "".
    """

    lock: Lock
    wheelhouse: str
    index_url: str

    @property
    def digest(self) -> str:
        return self.lock.sha256

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.lock.warnings

    @property
    def source(self) -> Path | None:
        return None

    def request(self, wanted: str) -> dict[str, str]:
        return {"wanted": wanted, "lock": self.digest}

    def resolve_key(self, facts: Facts) -> str:
        return _one_key(self.digest, facts)

    def prepare(self, facts: Facts, run: Run, progress: Callable[[str], object]) -> Wheels | None:
        if not self.wheelhouse:
            return None
        # Hosts with another release of the same system may need other wheels.
        alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for host, known in facts.items():
            alike.setdefault(tuple(sorted(known["python"]["platform"].items())), []).append(host)
        found: list[Wheels] = []
        problems: dict[str, str] = {}
        for hosts in alike.values():
            try:
                found.append(self._fill(facts[hosts[0]]["python"], run, progress))
            except UsageError as exc:
                if len(alike) == 1:
                    raise
                problems |= dict.fromkeys(hosts, str(exc))
        if problems:
            raise EnvironmentMismatch(problems)
        return reduce(Wheels.joined, found)

    def _fill(self, python: Mapping[str, Any], run: Run, progress: Callable[[str], object]) -> Wheels:
        """Return the wheels for hosts with such a Python; UsageError names the one that is not to be had."""
        platforms = pip_platforms(python["platform"])
        return fill_wheelhouse(self.lock, self.wheelhouse, python["version"], platforms, self.index_url, progress, run)

    def details(self, facts: Mapping[str, Any], wheels: Wheels | None) -> dict[str, Any]:
        return {
            "python": facts["python"]["path"],
            "lock": self.lock.text,
            "lock_sha256": self.digest,
            "wanted": facts["python"]["wanted"],
            "base": facts["python"],
            "index_url": "" if wheels else self.index_url,
            "index_options": [] if wheels else list(self.lock.index_options),
        }


@dataclass(frozen=True)
class Copied:
    """A copy of the environment that runs this; the hosts' own settings for Python do not count.

    Args:
        own: that environment.
    """

    own: OwnEnvironment

    @property
    def digest(self) -> str:
        return self.own.digest

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    @property
    def source(self) -> Path | None:
        return Path(self.own.prefix)

    def request(self, wanted: str) -> dict[str, str]:  # noqa: ARG002
        return {"wanted": self.own.base, "lock": self.digest}

    def resolve_key(self, facts: Facts) -> str:
        if reasons := reasons_not_to_copy(self.own):
            raise UsageError(f"environment: copy: {'; '.join(reasons)}")
        differences = {host: difference(self.own, known["python"]) for host, known in facts.items()}
        if problems := {host: f"environment: copy: {text}" for host, text in differences.items() if text}:
            raise EnvironmentMismatch(problems)
        return _one_key(self.digest, facts)

    def prepare(self, facts: Facts, run: Run, progress: Callable[[str], object]) -> Wheels | None:  # noqa: ARG002
        return None

    def details(self, facts: Mapping[str, Any], wheels: Wheels | None) -> dict[str, Any]:  # noqa: ARG002
        return {
            "python": facts["python"]["path"],
            "source": self.own.prefix,
            "base": self.own.base,
            "version": self.own.version,
            "digest": self.digest,
            "lock_sha256": self.digest,
            "wanted": self.own.base,
        }


def _one_key(content: str, facts: Facts) -> str:
    keys: dict[str, str] = {host: environment_key(content, known["python"], known) for host, known in facts.items()}
    if len(set(keys.values())) > 1:
        usual = most_frequent(list(keys.values()))
        example = next(host for host, key in keys.items() if key == usual)
        raise EnvironmentMismatch({host: _difference(facts[host], example, facts[example]) for host, key in keys.items() if key != usual})
    return next(iter(keys.values()))


def most_frequent(values: Sequence[str]) -> str:
    """Return the most frequent value; of two that are equally frequent, the first."""
    return max(dict.fromkeys(values), key=values.count)


def _difference(mine: Mapping[str, Any], other_name: str, other: Mapping[str, Any]) -> str:
    def phrase(facts: Mapping[str, Any]) -> str:
        return f"Python {facts['python']['version']} on {facts['system']} {facts['machine']}"

    text = f"has {phrase(mine)} ({mine['python']['path']}), {other_name} has {phrase(other)}"
    return f"{text}: they cannot have the same environment; name a Python that all hosts have (mlx_python)"
