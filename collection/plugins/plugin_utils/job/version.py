# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of the collection, as in galaxy.yml, and its place; the versions of ansible-core that it is tested with.

A command of another version is refused. This file is read by any Python that some ansible-core runs with.
"""

from __future__ import annotations

import re
from pathlib import Path

VERSION = "1.0.0"
#: The first ansible-core that is tested, and the first one after these. The package requires one of them.
OLDEST_CORE, UNTESTED_CORE = (2, 19), (2, 22)
_PLACE = str(Path(__file__).parents[3])


def greeting() -> dict[str, str]:
    """Return what a worker tells the program that launched it."""
    return {"version": VERSION, "collection": _PLACE}


def is_too_old(core: str) -> bool:
    """Return whether an ansible-core, by its version, is older than those that the collection is made for."""
    return _numbers(core) < OLDEST_CORE


def is_untested(core: str) -> bool:
    """Return whether an ansible-core, by its version, is newer than those that are tested, or becomes so."""
    return _numbers(core) >= UNTESTED_CORE


def other_core(core: str) -> str:
    """Return one line on an ansible-core that is not tested: its version, and how to get one that is.

    Args:
        core: its version.
    """
    how = "older" if is_too_old(core) else "newer"
    first, beyond = (".".join(map(str, numbers)) for numbers in (OLDEST_CORE, UNTESTED_CORE))
    last = f"{UNTESTED_CORE[0]}.{UNTESTED_CORE[1] - 1}"
    return (
        f"ansible-core {core} is {how} than those that mlxlaunch.cluster {VERSION} is tested with, {first} to {last}; "
        f"pip install 'ansible-core>={first},<{beyond}' brings one of them"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def other_copy(version: str, place: str) -> str:
    """Return one line on another copy of the collection that Ansible does not use, as it has found this one first.

    Args:
        version: of that copy, "" when it does not tell.
        place: its directory.
    """
    return (
        f"mlxlaunch.cluster {VERSION} in {_PLACE} is used, and {version or 'another version'} in {place} is not; "
        "remove one of them, or put its directory first in ANSIBLE_COLLECTIONS_PATH"
    )


def mismatch(what: str, version: str, place: str) -> str:
    """Return one line on a program or collection that is of another version than this collection.

    Args:
        what: its name.
        version: its version, "" when it does not tell.
        place: its directory, "" when it does not tell.
    """
    other = f"{what} {version or 'of another version'}" + (f" in {place}" if place else "")
    return f"{other} does not fit the collection mlxlaunch.cluster {VERSION} in {_PLACE}; install both of one version, or remove the other"
