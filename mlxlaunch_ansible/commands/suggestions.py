# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The word that somebody may have meant who mistyped it."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.work import OPTIONS

from .._core import BY_NAME, UsageError

_ALIKE = 0.6  # of difflib: one or two letters of a word
_SAME = 0.85  # for a variable, which may as well be the user's own
# Variables that are no settings of a job.
_VARIABLES: tuple[str, ...] = ("mlx_slots", "mlx_ips", "mlx_rdma", "mlx_hostfile", "mlx_hostfile_env", "mlx_hostfile_schema")
_VARIABLES += ("mlx_hostfile_path", "mlx_prepare_contact", "mlx_prepare_host_key")


def suggestion(word: str, known: Iterable[str], alike: float = _ALIKE) -> str | None:
    """Return the known word that is most like this one, None when none is."""
    import difflib  # late: few command lines have a mistake

    found = difflib.get_close_matches(word, sorted(known), 1, alike)
    return found[0] if found else None


def did_you_mean(words: Iterable[str], known: Iterable[str]) -> str:
    """Return the end of a message about unknown words, empty when nothing is like them."""
    known = list(known)
    found = [near for word in words if (near := suggestion(word, known))]
    return f"; did you mean {', '.join(found)}?" if found else ""


def check_variables(names: Iterable[str]) -> None:
    """Raise UsageError for a variable that is none of ours, though it looks like one that is misspelled."""
    known = {setting.variable for setting in BY_NAME.values()} | {f"mlx_prepare_{name}" for name in OPTIONS} | set(_VARIABLES)
    for name in names:
        if name.startswith("mlx") and name not in known:
            near = suggestion(name, known, _SAME)
            if near:
                raise UsageError(f"-e {name}: there is no such variable; did you mean {near}?")
