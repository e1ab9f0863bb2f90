# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands for a host's login shell, whichever that is: sh, bash, dash, zsh, fish, csh or tcsh. Pure."""

from __future__ import annotations

import re
import shlex

# In single quotes too, csh and tcsh take `!` and line breaks for themselves, and fish a backslash before these two.
_SHELLS_OWN = re.compile(r"[!\x00-\x1f\x7f]|\\(?=[\\']|\Z)")
_PARTS = re.compile(r"[^\x00-\x7f]+|[\x00-\x7f]")
# Prints characters given by their numbers, and words that are no numbers as they are: not all awks know bytes above 127.
_PRINT = 'LC_ALL=C awk -v c=%c -v s=%s "BEGIN{for(i=1;i<ARGC;i++)if(ARGV[i]+0)printf c,ARGV[i]+0;else printf s,ARGV[i]}"'


def in_sh(script: str) -> str:
    """Return the command by which any login shell runs a script in sh; quote words in it by `shell_word`."""
    return f"exec /bin/sh -c {shlex.quote(script)}"


def shell_word(text: str) -> str:
    """Return a word of a script for `in_sh`, such as a path."""
    if not _SHELLS_OWN.search(text):
        return shlex.quote(text)
    return f'"$({_PRINT} {" ".join(_number(part) for part in _PARTS.findall(text))})"'


def _number(part: str) -> str:
    return str(ord(part)) if part.isascii() else part
