# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Globs over paths, for the host that lists files and the controller that checks its list. Pure.

A path, and a glob, is a list of names. `*` and `?` stand for characters within a name, the name `**` for any number of
names, at the end for at least one. A name that begins with a dot is matched only by a name of the glob that does so.
Matching takes linear memory and at most quadratic time, whatever names a host makes up.
"""

from __future__ import annotations

ANY = "**"
MOST = 100000  # files that one glob may stand for: their list is one message


def is_glob(name):
    """Return whether a name stands for several."""
    return "*" in name or "?" in name


def depth(pattern):
    """Return the number of names of the longest paths that a glob matches, None for any number."""
    return None if ANY in pattern else len(pattern)


def sees_hidden(pattern):
    """Return whether a glob matches any name that begins with a dot."""
    return any(name.startswith(".") for name in pattern)


def matches(pattern, names):
    """Return whether a glob matches a path; both are lists of names."""
    if pattern and pattern[-1] == ANY:
        pattern = [*pattern, "*"]
    return _matches(pattern, names, ANY, matches_name, lambda name: not name.startswith("."))


def matches_name(pattern, name):
    """Return whether one name of a glob matches a name."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _matches(pattern, name, "*", lambda wanted, found: wanted in ("?", found), lambda _character: True)


def _matches(pattern, items, star, matches_one, may_skip):
    """Match items one by one; a star takes as few as it can, and one more of them whenever the rest does not match.

    To go back to the latest star suffices: what an earlier one could take in addition, the latest one can take as well.
    """
    at, place, back = 0, 0, None
    while at < len(items):
        if place < len(pattern) and pattern[place] == star:
            back = (place, at)
            place += 1
        elif place < len(pattern) and matches_one(pattern[place], items[at]):
            place, at = place + 1, at + 1
        elif back and may_skip(items[back[1]]):
            back = (back[0], back[1] + 1)
            place, at = back[0] + 1, back[1]
        else:
            return False
    return all(left == star for left in pattern[place:])
