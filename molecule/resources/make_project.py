# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write something to deploy, in the checkout: `make_project.py DIRECTORY`.

A project, and a wheelhouse with one tiny wheel and a lock of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.unit.environments import lock_line, make_wheel

_TRAIN = """\
import tiny
from words import greeting

print(greeting.TEXT, tiny.VERSION)
"""
_HELLO = """\
from words import greeting

print(greeting.TEXT)
"""
_FILES = {
    "hello.py": _HELLO,
    "train.py": _TRAIN,
    "words/greeting.py": "TEXT = 'grüß dich'\n",
    ".gitignore": "*.log\n",
    "noise.log": "stays here\n",
    "weights.bin": "stays here\n",
}


def main() -> None:
    """Write it."""
    folder = Path(sys.argv[1])
    for name, text in _FILES.items():
        path = folder / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "project/train.py").chmod(0o755)
    (folder / "project/empty").mkdir(exist_ok=True)
    (folder / "requirements.lock").write_text(lock_line(make_wheel(folder / "wheelhouse", "tiny", "1.0")), encoding="utf-8")


if __name__ == "__main__":
    main()
