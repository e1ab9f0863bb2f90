# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts without the credentials in their addresses, as they are recorded and shown. Pure."""

from __future__ import annotations

import re

HIDDEN = "***"
# A password with a raw `@` is still one: the last `@` before the path counts.
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#\"<>]*@")
_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s?#\"<>]*)\?[^\s#\"'<>]+")

_WITH_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s?#\"<>]*\?)([^\s#\"'<>]+)")
_PAIR = re.compile(r"([^=&;]+)=([^&;]+)")
# Names in a query whose values are secret, as in presigned addresses; `tokenizer` and `max_tokens` are none.
_SECRET = re.compile(
    r"token(?![a-z])|secret|passw|credential|signature|(?:api|access|private)[._-]?key|(?:^|[._-])(?:key|sig|auth|pwd|pass|jwt)(?:$|[._-])",
    re.IGNORECASE,
)


def without_userinfo(text):
    """Return a text without users and passwords in its addresses."""
    return _USERINFO.sub(r"\g<1>" + HIDDEN + "@", text) if "://" in text else text


def without_credentials(text):
    """Return a text without users, passwords and queries in its addresses; some indexes take a token as a query."""
    return _QUERY.sub(r"\g<1>?" + HIDDEN, without_userinfo(text)) if "://" in text else text


def without_secrets(text):
    """Return a text whose addresses have no users and passwords, and no values of secrets by their names in queries."""
    return _WITH_QUERY.sub(_of_query, without_userinfo(text)) if "://" in text else text


def _of_query(address):
    return address.group(1) + _PAIR.sub(_of_pair, address.group(2))


def _of_pair(pair):
    return "%s=%s" % (pair.group(1), HIDDEN) if _SECRET.search(pair.group(1)) else pair.group(0)


def lacks_secret(text):
    """Return whether a text has lost something by `without_secrets`."""
    return "://" in text and ("://%s@" % HIDDEN in text or "=%s" % HIDDEN in text)


def recordable(value):
    """Return data with no user, no password and no secret by its name in an address of any text in it."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {recordable(name): recordable(item) for name, item in value.items()}
    return [recordable(item) for item in value] if isinstance(value, (list, tuple)) else value
