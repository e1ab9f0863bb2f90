# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The passwords that Ansible asks for, asked on the person's own terminal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from ..._runner import ANSWERS, PasswordWanted


def with_answers(command: Callable[[], int]) -> int:
    """Run a command, once more for each question of Ansible's that a person answers; nothing has run before that.

    Raises:
        PasswordWanted: nobody is there to answer.
    """
    while True:
        try:
            return command()
        except PasswordWanted as wanted:
            if wanted.question in ANSWERS or not someone_is_there():
                raise
            import getpass  # late: most commands ask nothing

            try:
                ANSWERS[wanted.question] = getpass.getpass(wanted.question)
            except EOFError:
                raise wanted from None


def someone_is_there() -> bool:
    """Return whether this process has a terminal and may read it: a process in the background would be stopped."""
    with contextlib.suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False
