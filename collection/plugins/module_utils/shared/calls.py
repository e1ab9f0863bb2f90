# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The failure of a call, as the wings of the host side raise it."""

from __future__ import annotations

NOT_OURS = "set mlx_root to a directory that this user may write to, or become one who may"  # ends a message

MOST_NAMED = 1000  # paths that were edited, in an answer; a person is shown a few


class CallFailed(Exception):
    """A call could not be carried out; the text is for a person and names the path."""
