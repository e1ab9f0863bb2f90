# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lock that is no requirements file is turned into, and where its packages come from. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_PYPI = re.compile(r"https://pypi\.(?:org)/simple")
HOW_TO_SELECT = "name it with lock_extra or lock_group (--lock-extra, --lock-group)"


@dataclass(frozen=True)
class Exported:
    """A lock as requirements.

    Args:
        text: a requirements file with hashes.
        index_options: arguments for pip and uv that name the indexes of the packages.
        warnings: what a person may miss in it.
    """

    text: str
    index_options: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def index_options(indexes: Iterable[str]) -> tuple[str, ...]:
    """Return the options that name the indexes from which packages were locked: addresses or local directories.

    PyPI is named by none: it is what pip and uv ask, unless they are configured to ask a mirror.
    """
    every = list(dict.fromkeys(index.rstrip("/") for index in indexes))
    first = "--extra-index-url" if any(map(_PYPI.fullmatch, every)) else "--index-url"
    words: list[str] = []
    for index in every:
        if "://" not in index:
            words += ["--find-links", index]
        elif not _PYPI.fullmatch(index):
            words += [first, index]
            first = "--extra-index-url"
    return tuple(words)


def phrase_choices(extras: Sequence[str], groups: Sequence[str]) -> str:
    """Return extras and groups as a message names them: extra mlx, group train; "" for none."""
    return ", ".join([*(f"extra {name}" for name in extras), *(f"group {name}" for name in groups)])


def left_out(name: str, paths: Sequence[str]) -> str:
    """Return the warning about packages of a lock that are local directories."""
    return f"{name}: {', '.join(paths)} not in the environment: local code goes with the project (--project-dir)"


def only_source(name: str, package: str) -> str:
    """Return the complaint about a package that has no wheel at all."""
    return (
        f"{name}: {package} has no wheel, only its source; build one (`pip wheel --no-deps --wheel-dir wheels {package}`), "
        "and lock again with --find-links wheels"
    )
