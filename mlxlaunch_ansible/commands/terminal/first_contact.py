# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first contact of a command: attempts with their progress, and questions on the terminal in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..._contact.contact import ContactResult, HostKeys, meet, start_contact, with_password
from ..._core import UsageError
from ..._inventory import Source
from .questions import person
from .screen import say, show_progress
from .signals import signals_end

HOST_KEY_HELP = "key of a host, or its fingerprint (SHA256:...), to compare with in place of asking. Repeatable."


def meet_hosts(source: Source, settings: Mapping[str, Any], host_keys: HostKeys, *, apply: bool) -> ContactResult:
    """Meet all hosts, asking whoever sits at the terminal; say what was changed.

    Args:
        source: the hosts.
        settings: group, python, connect_timeout, lease, verbose.
        host_keys: keys that were given.
        apply: add host keys, install keys and tools; else only look, and ask nobody.
    """

    def attempt(right: HostKeys, password: str) -> ContactResult:
        with start_contact(with_password(source, password), settings, right, apply=apply) as run, signals_end(run):
            show_progress(run, "contact_finished", verbose=bool(settings.get("verbose")))
            result = run.wait()
        for line in result.done:
            say(f"mlxlaunch: {line}")
        return result

    asked = person() if apply else None
    return meet(attempt, asked, host_keys, ask_password=not has_password(source))


def has_password(source: Source) -> bool:
    """Return whether a password for ssh was given, typed or in a file."""
    ansible = source.ansible
    return bool(ansible.connection_password_file) or any(kind == "connection" for kind, _text in ansible.passwords)


def host_keys_of(words: Sequence[str] | None) -> dict[str, list[str]]:
    """Return the keys of hosts in values of --host-key, NAME=KEY.

    Raises:
        UsageError: one has no name or no key.
    """
    found: dict[str, list[str]] = {}
    for word in words or ():
        name, _equals, key = word.partition("=")
        if not name or not key:
            raise UsageError(f"--host-key {word}: want NAME=FINGERPRINT (SHA256:...), or NAME=KEY, a line of the host's .pub file")
        found.setdefault(name, []).append(key)
    return found
