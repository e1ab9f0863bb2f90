# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meaning of a command line that was written for mlx.launch.

Source: `main` and `RemoteProcess` in mlx/_distributed_utils/launch.py, 0.32.4. There the command begins with the first
word that is no known option. --python is put before it, be it a script or not. Options may be abbreviated.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._core import UsageError, absolute, at_home
from .ansible_options import refusal
from .suggestions import did_you_mean

FLAGS = (
    *("--help", "--print-python", "--verbose", "--hosts", "--repeat-hosts", "--hostfile", "--backend", "--env", "--mpi-arg"),
    *("--connections-per-ip", "--starting-port", "--cwd", "--nccl-port", "--python"),
)
# Options that say where ranks run, which nobody means for a script.
_PLACES = {"--hosts": "hosts", "--hostfile": "hostfile", "--repeat-hosts": "repeat_hosts", "-n": "repeat_hosts"}
# Options of Python that take the place of a script.
_MODULE = ("-m", "-c")
# Other short options of Python, without and with a value. -i is that of an inventory, -n and -p are mlx.launch's own.
_OF_PYTHON, _WITH_VALUE = re.compile(r"-[bBdEIOPqRsSuvVx]+"), re.compile(r"-[WX].*")
_UNBUFFERED = ["-u"]  # as every rank is
_INTERPRETER = re.compile(r"(python|pypy)[0-9.]*t?")
# Options of older versions, which need no other word.
_OLD = ("--no-verify-script",)
_NO_SCRIPT = "no script is given; see mlxlaunch run --help"
_PROGRAMS = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # ELF, Mach-O, and Mach-O for several processors


def abbreviations(words: Sequence[str], known: Collection[str]) -> dict[str, list[str]]:
    """Return the abbreviations of mlx.launch's options among the words, by the option each means.

    Args:
        words: of a command line, those of a script too, which are not taken for options.
        known: our own options, in full.
    """
    found: dict[str, list[str]] = {}
    for flag in {word.partition("=")[0] for word in words} - set(known):
        meant = [full for full in FLAGS if full.startswith(flag)] if flag.startswith("--") else []
        if len(meant) == 1:
            found.setdefault(meant[0], []).append(flag)
    return found


@dataclass
class Words:
    """The words of a command line, taken apart.

    Attributes:
        options: those of ours, and unknown ones; before they are parsed, also the script and its arguments.
        of_python: options of Python, after --python.
        notes: on words that were left out, for a person.
    """

    options: list[str]
    of_python: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def take_apart(words: Sequence[str], with_value: Collection[str]) -> Words:
    """Return the words before the script without those that are Python's, and without options of older versions.

    After --python, a short option that Python has is Python's, as for mlx.launch, though ansible-playbook has it too.

    Args:
        words: of the command line, to `--`.
        with_value: our options that are followed by a value.
    """
    found, python, rest = Words([]), False, list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word in _OLD:
            found.notes.append(f"{word} is not needed any more; scripts are always checked")
        elif python and (_OF_PYTHON.fullmatch(word) or _WITH_VALUE.fullmatch(word)):
            found.of_python += [word, *([rest.pop(0)] if word in ("-W", "-X") and rest else [])]
        elif python and word[:2] in _MODULE and not word.startswith("--"):
            return Words(found.options, [*found.of_python, word, *rest], found.notes)
        else:
            python = python or _means(word.partition("=")[0], "--python")
            found.options += [word, *([rest.pop(0)] if _takes_next(word, with_value) and rest else [])]
    return Words(found.options + rest, found.of_python, found.notes)


def _means(flag: str, full: str) -> bool:
    return flag == full or (flag.startswith("--") and [one for one in FLAGS if one.startswith(flag)] == [full])


def _takes_next(word: str, with_value: Collection[str]) -> bool:
    return word in with_value or any(_means(word, full) for full in FLAGS if full in with_value)


@dataclass(frozen=True)
class Wanted:
    """The part of a command line that says what to run.

    Attributes:
        words: from the first that is no option of ours, to `--`.
        tail: after `--`; None without.
        python: the interpreter that was asked for, unless it is the one an environment is made with; else empty.
        cwd: working directory on the hosts, empty when none was asked for.
        of_python: options of Python, after --python.
    """

    words: Sequence[str]
    tail: Sequence[str] | None = None
    python: str = ""
    cwd: str = ""
    of_python: Sequence[str] = ()


def check_options(unknown: Sequence[str], known: Iterable[str]) -> None:
    """Raise UsageError for options that are not ours, with the one that may have been meant."""
    if not unknown:
        return
    refused = refusal(unknown)
    if refused:
        raise UsageError(refused)
    if unknown[0] in _MODULE:
        raise UsageError(f"{unknown[0]} is an option of Python; say of which with --python, or run -- python {unknown[0]} ...")
    names = [word.partition("=")[0] for word in unknown if word.startswith("--")]
    raise UsageError(f"unrecognized arguments: {option_names(unknown)}{did_you_mean(names, known)}")


def what_to_run(wanted: Wanted) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of the program to run, script and args, or command; and notes for a person."""
    words, tail, python = list(wanted.words), wanted.tail, wanted.python
    if not (words or tail or wanted.of_python):
        raise UsageError(_NO_SCRIPT)
    notes = []
    after_dashes = not words and not wanted.of_python
    if after_dashes:
        words, tail = list(tail or ()), None
    if wanted.of_python and not python:
        raise UsageError(f"{wanted.of_python[0]} after --python is Python's, and an environment has its own; write -- python ...")
    if python and words and is_interpreter(words[0], python):
        notes.append(f"{words[0]} stands after --python {python} once more, and is left out")
        words = words[1:]
        if not words:
            raise UsageError(_NO_SCRIPT)
    if words[:1] == [""]:  # as a path it would be the current directory
        raise UsageError(_NO_SCRIPT)
    if python and (words[:1] == [] or words[0].startswith("-") or list(wanted.of_python) not in ([], _UNBUFFERED)):
        return {"command": [python, *wanted.of_python, *words, *_after(tail)]}, notes
    if not python and after_dashes and not _is_unrunnable(words[0]):
        return {"command": words}, notes
    if python or is_script(words[0]):
        notes += _notes_on_script(words[0], python, after_dashes=after_dashes)
        return {"script": _path(words[0], wanted.cwd), "args": [*words[1:], *_after(tail)]}, notes
    return {"command": [*words, *_after(tail)]}, notes


def is_interpreter(word: str, python: str) -> bool:
    """Return whether a word, where a script is expected, is the interpreter once more.

    Raises:
        UsageError: it is another one.
    """
    if word == python:
        return True
    if not _INTERPRETER.fullmatch(Path(word).name) or (Path(word).exists() and is_script(word)):
        return False
    if "/" in word and "/" in python:
        raise UsageError(f"--python {python} would be given {word} as its script; leave out one of the two")
    return True


def _is_unrunnable(word: str) -> bool:
    """Return whether a word after `--` is a script that is here, which the system cannot run as a program."""
    return Path(word).is_file() and is_script(word) and not os.access(word, os.X_OK)


def _notes_on_script(word: str, python: str, *, after_dashes: bool) -> list[str]:
    if after_dashes and not python:
        return [f"{word} cannot be run as a program, so it runs as a script; without -- it always does"]
    if python and Path(word).is_file() and not is_script(word):
        return [f"{word} is no Python script, and --python runs it with Python all the same; to run it as a program, leave --python out"]
    return []


def _path(script: str, cwd: str) -> str:
    """Return the path of a script: here, or else on the hosts, relative to its working directory there."""
    here = at_home(script)
    if Path(here).exists():
        return absolute(here)
    return script if script.startswith("~") else absolute(str(Path(cwd, script)))


def option_names(words: Sequence[str]) -> str:
    """Return unknown options for a message, without values: one may be a secret whose option is misspelled."""
    return " ".join(word.partition("=")[0] for word in words if word.startswith("-")) or "too many words"


def _after(tail: Sequence[str] | None) -> list[str]:
    return [] if tail is None else ["--", *tail]


def is_script(word: str) -> bool:
    """Return whether a word is a script for Python, as opposed to a program, which the system can run.

    A file that is not here, but on the hosts or in their PATH, is judged by its ending. A directory is one. So is a
    pipe, which is refused later: it may have nothing to read, or only once.
    """
    if word.endswith((".py", ".pyw", ".pyc", ".pyz")):
        return True
    try:
        path = Path(at_home(word))
        if not stat.S_ISREG(path.stat().st_mode):
            return True
        with path.open("rb") as source:
            first = source.readline(1000)
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
