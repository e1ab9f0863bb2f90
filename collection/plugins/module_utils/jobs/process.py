# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of this host, and the mark that its job has put into its environment."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import MARK


class Process:
    """A living process.

    Attributes:
        name: of its command.
        parent, group, session: process ids; where ps does not tell the session it is the group.
        start: text that tells it from another one that had the same process id.
    """

    __slots__ = ("group", "name", "parent", "session", "start")

    def __init__(self, name, parent, group, session, start):
        self.name = name
        self.parent = parent
        self.group = group
        self.session = session
        self.start = start

    def __eq__(self, other):
        return isinstance(other, Process) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None


def mark_in(words):
    """Return the mark among the words NAME=VALUE of an environment, given as bytes; "" when there is none."""
    sign = MARK.encode() + b"="
    return next((word[len(sign) :].decode("utf-8", "replace") for word in words if word.startswith(sign)), "")
