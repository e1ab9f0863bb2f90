# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of this machine by which hosts are reached, and the packages that have them.

An image for Ansible may lack them. meta/ee-bindep.txt names the same packages to whoever builds one; a test compares.
"""

from __future__ import annotations

import shutil

SSH, RSYNC = "ssh", "rsync"
#: By program: the package of Debian and its kin, and that of Fedora, RHEL and their kin.
PACKAGES = {SSH: ("openssh-client", "openssh-clients"), RSYNC: ("rsync", "rsync")}


def is_here(program: str) -> bool:
    """Return whether this machine has a program, given by name or path."""
    return shutil.which(program) is not None


def how_to_get(program: str) -> str:
    """Return what to do about one of `PACKAGES` that is missing."""
    debian, fedora = PACKAGES[program]
    where = debian if debian == fedora else f"Debian: {debian}, Fedora and RHEL: {fedora}"
    return f"install it ({where}), in an image for Ansible too"
