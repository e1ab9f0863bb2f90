# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of users that go into paths and commands. Pure."""

from __future__ import annotations

import re

from .errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}\Z")


def check_user_name(name: str, where: str) -> str:
    """Return the name of a user, or raise UsageError when it is not also a plain file name.

    Args:
        name: as the system or a person gives it.
        where: what to name in the message, and what to change.
    """
    if not _NAME.match(name):
        raise UsageError(f"{where}: {name!r} is no plain user name: want letters, digits and . _ @ + -, none of the signs first")
    return name
