# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the controller's resolver for addresses."""

from __future__ import annotations

import socket


def resolve_ipv4(name: str) -> list[str]:
    """Return the IPv4 addresses of a name, or raise OSError."""
    found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    return [str(item[4][0]) for item in found]
