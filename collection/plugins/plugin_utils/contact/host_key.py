# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's public key as people compare it, by its line or its fingerprint. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..job.errors import UsageError

_FINGERPRINT = re.compile(r"SHA256:([A-Za-z0-9+/]{43})=?")
_KIND = re.compile(r"(sk-)?(ssh|ecdsa)-[A-Za-z0-9@.-]+")
#: Names of algorithms by which ssh asks for a key of a kind; each other kind is asked for by its own name.
_ALGORITHMS = {"ssh-rsa": "rsa-sha2-512,rsa-sha2-256"}
_LONGEST = 16384  # characters of a line; a key of 16384 bits has 2800
WANTED = "want a line of the host's .pub file, or a fingerprint as ssh shows it (SHA256:...)"


@dataclass(frozen=True)
class HostKey:
    """A public key.

    Attributes:
        kind: its algorithm, `ssh-ed25519` for example.
        blob: the key itself, in base64.
    """

    kind: str
    blob: str

    @classmethod
    def of(cls, line: str) -> Self | None:
        """Return the key in a line of a .pub file or of known_hosts, None when there is none in it."""
        words = line.split() if len(line) <= _LONGEST else []
        for kind, blob in itertools.pairwise(words):
            if _KIND.fullmatch(kind) and _bytes(blob):
                return cls(kind, blob)
        return None

    @property
    def fingerprint(self) -> str:
        """The fingerprint as ssh shows it, `SHA256:` and 43 characters."""
        digest = hashlib.sha256(_bytes(self.blob)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    @property
    def name(self) -> str:
        """The kind as ssh calls it in its messages: ED25519, ECDSA, RSA."""
        return self.kind.removeprefix("sk-").removeprefix("ssh-").partition("-")[0].partition("@")[0].upper()

    def is_one_of(self, given: Sequence[str]) -> bool:
        """Return whether it is one of the given keys, which `given_keys` has checked."""
        return any(text == self.fingerprint or HostKey.of(text) == self for text in given)


def given_keys(value: Any, what: str) -> tuple[str, ...]:
    """Return the keys of a host that a person has given, as fingerprints and lines.

    Args:
        value: one text, or a list of them.
        what: names the value in a message.

    Raises:
        UsageError: one is neither a fingerprint nor a public key.
    """
    given = []
    for text in value if isinstance(value, (list, tuple)) else [value] if value else []:
        found = _FINGERPRINT.fullmatch(text.strip()) if isinstance(text, str) else None
        if found:
            given.append(f"SHA256:{found[1]}")
        elif isinstance(text, str) and HostKey.of(text):
            given.append(text)
        else:
            raise UsageError(f"{what}: {WANTED}, not {str(text)[:60]!r}")
    return tuple(given)


def algorithms(given: Sequence[str]) -> tuple[str, ...]:
    """Return what to ask a host for, beside the key that it sends by itself, so that a given key can be compared.

    Each is a value of HostKeyAlgorithms of ssh_config(5).
    """
    if not given:
        return ()
    kinds = [key.kind for text in given if (key := HostKey.of(text))]
    if any(text.startswith("SHA256:") for text in given):  # may be that of any key
        kinds += ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
    return tuple(_ALGORITHMS.get(kind, kind) for kind in dict.fromkeys(kinds))


def _bytes(blob: str) -> bytes:
    try:
        return base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return b""
