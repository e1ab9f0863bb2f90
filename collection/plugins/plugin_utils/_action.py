# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what is around the work of every action here."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator

from ansible.errors import AnsibleActionFail

from ._errors import LaunchError
from ._orphan import leave_when_orphaned


@contextlib.contextmanager
def in_a_worker() -> Iterator[None]:
    """Do an action's work in Ansible's worker: its failure is the task's, and it ends with the process that wanted it."""
    parent = os.getppid()
    gc.enable()  # it may take days; whoever launched the play may have turned it off for a quick start
    try:
        yield
    except LaunchError as exc:
        raise AnsibleActionFail(str(exc), result={"returncode": exc.returncode}) from None
    finally:
        leave_when_orphaned(parent)
