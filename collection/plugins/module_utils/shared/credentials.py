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


def without_userinfo(text):
    """Return a text without users and passwords in its addresses."""
    return _USERINFO.sub(r"\g<1>" + HIDDEN + "@", text) if "://" in text else text


def without_credentials(text):
    """Return a text without users, passwords and queries in its addresses; some indexes take a token as a query."""
    return _QUERY.sub(r"\g<1>?" + HIDDEN, without_userinfo(text)) if "://" in text else text


def recordable(value):
    """Return data with no user and no password in an address of any text in it."""
    if isinstance(value, str):
        return without_userinfo(value)
    if isinstance(value, dict):
        return {recordable(name): recordable(item) for name, item in value.items()}
    return [recordable(item) for item in value] if isinstance(value, (list, tuple)) else value
