# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that another user has closed, as a deploy closes what it makes."""

from __future__ import annotations

import os


def closed_folder(path):
    """Return the message about the first directory on the way to a path that this user may not enter, "" for none."""
    parts = path.split("/")
    for at in range(2, len(parts) + 1):
        folder = "/".join(parts[:at])
        if not os.path.isdir(folder):
            return ""
        if not os.access(folder, os.X_OK):
            who = (folder, user(os.stat(folder).st_uid))
            return "%s is closed: it belongs to %s; deploy there with mlx_share: world (--share world), or become that user" % who
    return ""


def user(uid):
    """Return a user as messages name one."""
    return "user %s" % (user_name(uid) or uid)


def user_name(uid):
    """Return the name of a user, "" for one without."""
    import pwd  # only on the way to a message

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
