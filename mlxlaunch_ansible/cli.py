# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch`: parse, call the command's `main`, return its exit status."""

from __future__ import annotations

import gc

gc.disable()  # nothing is thrown away while modules are imported: a tenth of their time

import argparse
import atexit
import os
import signal
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from ._core import LaunchError, UsageError, without_credentials
from ._runner import open_closed_streams
from .commands import mlx_launch_compat
from .commands.suggestions import did_you_mean
from .commands.terminal.passwords import with_answers
from .commands.terminal.screen import print_for_programs, say

gc.enable()

#: The modules in `commands` of that name, in the order of the help.
_COMMANDS = ("run", "init", "sync", "check", "prepare", "network", "config", "hostfile", "runs")
_TAKE_A_TAIL = ("run", "check")  # a check says itself what it would be told with one


class _Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line; the whole usage is for --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(UsageError.returncode, f"{self.prog}: {message}; see {self.prog} --help\n")


class _Versions(argparse.Action):
    """An option that prints the versions, and ends the program as --help does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print them."""
        from .commands.terminal.versions import versions

        print_for_programs("\n".join(versions()))
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    open_closed_streams()
    options, tail = _split(sys.argv[1:] if argv is None else argv)
    parser, of_command = _make_parser(options)
    if not options and tail is None:
        parser.print_help(sys.stderr)
        return UsageError.returncode
    _check_command(parser, options, of_command)
    words = mlx_launch_compat.Words(options)
    if options[:1] == ["run"]:
        words = mlx_launch_compat.take_apart(options[1:], _flags(of_command["run"], with_value=True))
        words.options.insert(0, "run")
    try:
        parsed, unknown = parser.parse_known_args(words.options)
        parsed.tail, parsed.of_python, parsed.notes = tail, words.of_python, words.notes
        mlx_launch_compat.check_options(unknown, _flags(of_command[options[0]]))
        if tail is not None and options[0] not in _TAKE_A_TAIL:
            raise UsageError(f"{options[0]}: nothing can follow --")
        return with_answers(lambda: int(parsed.main(parsed)))
    except LaunchError as exc:
        say(f"mlxlaunch: {without_credentials(str(exc))}")
        return exc.returncode
    except KeyboardInterrupt:  # before there was a job to end
        return 128 + signal.SIGINT


def _split(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Return the words before the first `--` and those after it, None when there is none."""
    if "--" not in words:
        return list(words), None
    at = words.index("--")
    return list(words[:at]), list(words[at + 1 :])


def _check_command(parser: argparse.ArgumentParser, words: Sequence[str], known: Collection[str]) -> None:
    """Report a command that there is not, or an unknown option in its place, with the one that may have been meant."""
    if words and words[0].startswith("-") and words[0] not in (flags := _flags(parser)):
        flag = words[0].partition("=")[0]  # a value may be a secret
        parser.error(f"unrecognized arguments: {flag}{did_you_mean([flag], flags) or '; a command comes first'}")
    if words and not words[0].startswith("-") and words[0] not in known:
        near = did_you_mean(words[:1], known) or f"; the commands are {', '.join(known)}"
        parser.error(f"{words[0]}: no such command{near}")


def _flags(parser: argparse.ArgumentParser, *, with_value: bool = False) -> set[str]:
    """Return the options of a parser, or only those that are followed by a value."""
    return {flag for action in parser._actions if not with_value or action.nargs != 0 for flag in action.option_strings}


def _make_parser(words: Sequence[str]) -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """Return the parser, and those of the commands.

    Of the words, `run` takes options abbreviated as mlx.launch allows it.
    """
    parser = _Parser(prog="mlxlaunch", description="Launch distributed MLX jobs on a cluster of Macs.", allow_abbrev=False)
    parser.add_argument("--version", action=_Versions, nargs=0, help="show the versions of all that is used, and where it is")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    # One that is named is the only one that is needed: each takes time to import.
    for name in words[:1] if {*words[:1]} & {*_COMMANDS} else _COMMANDS:
        command = import_module(f".commands.{name}", __package__)
        command.add_parser(commands, *([words] if name == "run" else []))
    return parser, commands.choices


def entry() -> NoReturn:
    """Run the command line of this process, and end it without tidying up memory, a tenth of a short job's time."""
    atexit.register(_forget_what_stderr_did_not_take)
    code = main()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads any more, which Python reports in its own way
        sys.exit(code)
    os._exit(code)


def _forget_what_stderr_did_not_take() -> None:
    """Leave nothing for Python to write at the end: it would fail once more, and be the exit status (120)."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


if __name__ == "__main__":
    entry()
