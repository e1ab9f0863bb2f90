# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection with a supervisor, which runs the ranks of a host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .bootstrap import supervisor
from .connection import Connection, Process, start_process


class Channel(Connection):
    """A connection with the supervisor at its other end.

    Args:
        host: the inventory name.
        argv: the command whose standard input and output are the channel.
        start: starts it.
    """

    def __init__(self, host: str, argv: Sequence[str], start: Callable[[Sequence[str]], Process] = start_process) -> None:
        super().__init__(host, start(argv), supervisor())
