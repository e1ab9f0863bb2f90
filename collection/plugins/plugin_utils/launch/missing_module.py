# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hint for a rank that did not find a module or a file."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_MISSING = re.compile(r"ModuleNotFoundError: No module named '([^'.]+)")
_NO_FILE = re.compile(r"FileNotFoundError: \[Errno 2\] No such file or directory: '([^'/][^']*)'$")


def import_hint(tail: Sequence[str], *, brought: bool, alone: bool) -> str:
    """Return what would bring the module that a rank did not find, "" when it ended for another reason.

    Args:
        tail: its last lines.
        brought: whether the launch has brought its script to the hosts.
        alone: whether that was the script with what it imports, and not a directory.
    """
    found = next((match[1] for line in reversed(tail) if (match := _MISSING.match(line))), "")
    if not found or not brought:
        return ""
    environment = "bring it with --environment (mlx_environment)"
    if found in importlib.metadata.packages_distributions():
        return f"{found} is installed here, and not where the rank ran; {environment}"
    if alone:
        directory = "name its directory with --project-dir (mlx_project_dir)"
        return f"{found} is not among what went with the script; if it is yours, {directory}, else {environment}"
    return f"{found} is neither in the project as it was sent, nor installed where the rank ran; if it is a package, {environment}"


def file_hint(tail: Sequence[str], *, brought: bool, alone: bool, here: str) -> str:
    """Return what would bring the file that a rank did not find, "" when it ended for another reason.

    Args:
        tail, brought, alone: as for `import_hint`.
        here: the directory where the launch was typed, in which its relative name may be that of a file.
    """
    found = next((match[1] for line in reversed(tail) if (match := _NO_FILE.match(line))), "")
    if not (found and brought and alone and here) or found.startswith("../") or not _is_there(Path(here, found)):
        return ""
    return f"{found} is in {here} here, and did not go with the script; bring that directory with --project-dir . (mlx_project_dir)"


def _is_there(path: Path) -> bool:
    with suppress(OSError):  # the name is a host's
        return path.exists()
    return False
