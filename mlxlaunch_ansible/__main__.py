# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m mlxlaunch_ansible`: the command of this Python's environment, whatever is on the PATH."""

from __future__ import annotations

from .cli import entry

entry()
