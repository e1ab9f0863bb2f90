# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in the user's cache directory.

They are never needed: one that is missing or cannot be written costs time only.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

from ....module_utils.shared import folders
from ....module_utils.shared.manifest import to_bytes

_OTHERS = 0o022  # write for group and others


def cache_file(kind: str, owner: str, suffix: str) -> Path:
    """Return the place of a file in the cache.

    Args:
        kind: name of the directory for files of one kind.
        owner: what the file is about, an absolute path for example; its name is a digest of that.
        suffix: end of its name.
    """
    if sys.platform == "darwin":
        folder = Path(os.path.expanduser("~/Library/Caches"))  # noqa: PTH111 - raises nothing for a user without a home
    else:
        # As the XDG Base Directory specification has it, a relative path is none.
        given = os.environ.get("XDG_CACHE_HOME", "")
        folder = Path(given if given.startswith("/") else os.path.expanduser("~/.cache"))  # noqa: PTH111 - as above
    if not folder.is_absolute():
        folder = Path(os.devnull)  # nothing is found there, and nothing kept
    return folder / "mlxlaunch" / kind / f"{hashlib.sha256(to_bytes(owner)).hexdigest()[:32]}{suffix}"


def read_own(path: Path) -> bytes:
    """Return the content of a file in the cache that only this user can have written; b"" for any other."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            return b"" if found.st_uid != os.geteuid() or found.st_mode & _OTHERS else file.read()
    except OSError:
        return b""


def keep(path: Path, data: bytes) -> None:
    """Write a file in the cache for this user alone, whole or not at all.

    Nothing happens where that cannot be done.
    """
    temporary = ""
    try:
        folders.make_folders(str(path.parent), folders.PRIVATE)
        fd, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)  # with mode 0600
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except OSError:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
