# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command line means that was written for mlx.launch.

Source: `main` and `RemoteProcess` in mlx/_distributed_utils/launch.py, 0.32.4. It takes options it does not know, and the first
word that is none, for the command; --python stands before that, be it a script or not; a unique beginning of an option will do.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ._core import UsageError

FLAGS = (
    *("--help", "--print-python", "--verbose", "--hosts", "--repeat-hosts", "--hostfile", "--backend", "--env", "--mpi-arg"),
    *("--connections-per-ip", "--starting-port", "--cwd", "--nccl-port", "--python"),
)
# Where ranks run: what nobody means for a script, as far as one can tell.
_PLACES = {"--hosts": "hosts", "--hostfile": "hostfile", "--repeat-hosts": "repeat_hosts", "-n": "repeat_hosts"}
# Options of Python that take the place of a script.
_MODULE = (["-m"], ["-c"])
_PROGRAMS = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # ELF, Mach-O, and Mach-O for several processors


def abbreviations(words: Sequence[str], known: Collection[str]) -> dict[str, list[str]]:
    """Return the beginnings of mlx.launch's options that stand among the words, by the option each means.

    Args:
        words: of a command line, including those of a script, which nobody takes for options.
        known: our own options, in full.
    """
    found: dict[str, list[str]] = {}
    for flag in {word.partition("=")[0] for word in words} - set(known):
        meant = [full for full in FLAGS if full.startswith(flag)] if flag.startswith("--") else []
        if len(meant) == 1:
            found.setdefault(meant[0], []).append(flag)
    return found


def what_to_run(words: Sequence[str], tail: Sequence[str] | None, python: str, cwd: str, options: Sequence[str]) -> dict[str, Any]:
    """Return the settings that say what runs: script and args, or command.

    Args:
        words: from the first on that is no option of ours, to `--`.
        tail: after `--`; None without.
        python: the interpreter that was asked for; empty when none was, or when it only says what an environment is made with.
        cwd: working directory on the hosts, empty when none was asked for.
        options: options that are none of ours, before `words`.
    """
    if options:
        if list(options) not in _MODULE or not words:
            raise UsageError(f"unrecognized arguments: {' '.join(options)}")
        if not python:
            raise UsageError(f"{options[0]} is an option of Python; say of which with --python, or run -- python {options[0]} ...")
        return {"command": [python, *options, *words, *_after(tail)]}
    if not words:
        if not tail:
            raise UsageError("no script is given; see mlxlaunch run --help")
        words, tail = tail, None
        if not python:
            return {"command": list(words)}
    if python and words[0].startswith("-"):
        return {"command": [python, *words]}
    if python or is_script(words[0]):
        return {"script": _path(words[0], cwd), "args": [*words[1:], *_after(tail)]}
    return {"command": [*words, *_after(tail)]}


def _path(script: str, cwd: str) -> str:
    """Return where a script is: here, or else on the hosts, as seen from where it runs there."""
    return os.path.abspath(script if Path(script).exists() else Path(cwd, script))


def _after(tail: Sequence[str] | None) -> list[str]:
    return [] if tail is None else ["--", *tail]


def is_script(word: str) -> bool:
    """Return whether Python has to run it, as opposed to a program, which the system can run.

    What is not here, a path on the hosts perhaps or a name to be found in their PATH, is told by its ending.
    """
    if word.endswith((".py", ".pyw", ".pyc", ".pyz")):
        return True
    try:
        with Path(word).open("rb") as source:
            first = source.readline(1000)
    except IsADirectoryError:
        return True
    except OSError:
        return False
    if first.startswith(b"#!"):
        return b"python" in first
    return not first.startswith(_PROGRAMS)


def misplaced(args: Sequence[str], given: Sequence[str]) -> str | None:
    """Return a note when an option that says where to run stands after the script, where mlx.launch would see it.

    Args:
        args: of the script, to `--`.
        given: names of what was given before the script.
    """
    for word in args:
        flag = word.partition("=")[0]
        if _PLACES.get(flag, flag) not in given and flag in _PLACES:
            return f"{flag} stands after the script and is given to it; mlx.launch would take it, so write it before the script"
    return None
