# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first contact with hosts: one attempt, and the questions to a person that lead to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.outcome import READY, WANTS_PASSWORD

from .._inventory import Source
from .._job import Running
from .._request import CONTACT, JobRequest, Surroundings
from .._session import Session
from .._settings import as_given

_NOT_READY = 3
Met = Mapping[str, Any]  # a host, as the event contact_finished has it
HostKeys = Mapping[str, Sequence[str]]  # by host, its keys or their fingerprints


@dataclass(frozen=True)
class ContactResult:
    """The end of a first contact.

    Attributes:
        returncode: 0 when all hosts can be reached as a launch reaches them; 2 when nobody could say whether a host's
            key is right; 3 when a host is in the way; 130 and 143 when it was interrupted.
        message: a line for a person, for each host in trouble.
        hosts: as the event contact_finished has them.
    """

    returncode: int
    message: str
    hosts: tuple[Met, ...]

    def in_state(self, state: str) -> list[Met]:
        """Return the hosts that were left in a state."""
        return [host for host in self.hosts if host["state"] == state]

    @property
    def done(self) -> list[str]:
        """Lines on what was changed, on this machine and on hosts; hosts with the same change share one."""
        return [f"{', '.join(names)}: {text}" for text, names in by_change(self.hosts).items()]


def by_change(hosts: Sequence[Met]) -> dict[str, list[str]]:
    """Return the names of the hosts with each change, by its text."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        for text in host["done"]:
            found.setdefault(text, []).append(host["host"])
    return found


class ContactRun(Running):
    """An attempt that was started."""

    def wait(self, timeout: float | None = None) -> ContactResult:
        """Wait for the end and return the result. Raises as `Job.wait`."""
        told = self.outcome(timeout).details
        return ContactResult(told["returncode"], told["message"], tuple(told["hosts"]))


class Person(Protocol):
    """The one whom questions are put to."""

    def confirm(self, hosts: Sequence[Met]) -> HostKeys:
        """Return the fingerprints that are right, of hosts whose keys ssh does not know."""

    def password(self, hosts: Sequence[Met]) -> str:
        """Return the password with which all of these hosts can be logged in to, "" for none."""


def start_contact(source: Source, settings: Mapping[str, Any], host_keys: HostKeys, *, apply: bool) -> ContactRun:
    """Start an attempt to meet all hosts.

    Args:
        source: the hosts, with a password if one is known.
        settings: group, python, connect_timeout, lease, verbose.
        host_keys: keys that are right.
        apply: install keys and tools; else only look.
    """
    own = {"apply": apply, "host_keys": {name: list(keys) for name, keys in host_keys.items()}}
    request = JobRequest.of(source, as_given(settings), Surroundings.here(), playbook=CONTACT, own=own)
    return ContactRun(Session(request).start())


def meet(
    attempt: Callable[[HostKeys, str], ContactResult], person: Person | None, host_keys: HostKeys, *, ask_password: bool = True
) -> ContactResult:
    """Return the result of attempts, between which a person is asked once about each key, and once for a password.

    Args:
        attempt: makes one, with keys that are right and a password, "" for the one that is known.
        person: is asked; None when nobody can be.
        host_keys: keys that were given before.
        ask_password: whether none is known yet.
    """
    right, asked, password = dict(host_keys), set[str](), ""
    while True:
        result = attempt(right, password)
        if person is None:
            return result
        unknown = [host for host in result.hosts if host["key"] and host["host"] not in asked]
        if unknown:
            asked |= {host["host"] for host in unknown}
            confirmed = person.confirm(unknown)
            right |= confirmed
            if confirmed:
                continue
        wanting = result.in_state(WANTS_PASSWORD)
        if wanting and ask_password and not password:
            password = person.password(wanting)
            if password:
                continue
        return _without_declined(result)


def _without_declined(result: ContactResult) -> ContactResult:
    """Return a result in which keys that a person has not confirmed are no question any more."""
    declined = [host["host"] for host in result.hosts if host["key"]]
    if not declined:
        return result
    lines = [f"{host['host']}: {host['text']}" for host in result.hosts if host["state"] != READY and not host["key"]]
    lines.append(f"{', '.join(declined)}: the host key was not confirmed, and nothing was changed there")
    return replace(result, returncode=_NOT_READY, message="\n".join(lines))


def with_password(source: Source, password: str) -> Source:
    """Return the hosts with a password for ssh that a person has typed."""
    others = tuple(pair for pair in source.ansible.passwords if pair[0] != "connection")
    return replace(source, ansible=replace(source.ansible, passwords=(*others, ("connection", password)))) if password else source
