# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module `signal` without enums: the part of it that is written in C, and has plain numbers.

The enums, and what they import, are a third of what a host's programs load of the standard library.
"""

from __future__ import annotations

try:
    import _signal as signal
except ImportError:  # a Python other than CPython
    import signal

__all__ = ["signal"]
