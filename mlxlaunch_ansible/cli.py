# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `mlxlaunch`: parse, call the API, print, return an exit status."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from . import __version__, _check_command, _drop_in, _dry_run_command, _hostfile_command, _rerun, _sync_command
from ._core import (
    BACKLOG,
    BY_NAME,
    COPY,
    LOCALHOST,
    RUN_SETTINGS,
    Describer,
    Hostfile,
    LaunchError,
    Setting,
    TerminalSink,
    UsageError,
    hostfile_from_names,
    make_prefix,
    parse_env,
    wants_colour,
)
from ._inventory import Inventory, read_hostfile
from ._job import Job, absolute_script
from ._keyboard import Keyboard, has_something
from ._result import Event
from ._signals import signals_end

_RUN_HELP = """\
Start one rank per host (or several), show their output live, and end all of them when one fails.

examples:
  mlxlaunch run -n 2 train.py                         two ranks on this machine
  mlxlaunch run -i inventory/hosts.yml train.py --lr 1e-3
  mlxlaunch run --hosts 10.0.0.7,10.0.0.8 train.py
  mlxlaunch run --hostfile hosts.json -- ./program --flag
  mlxlaunch run -i inventory/hosts.yml --project-dir . --environment uv.lock train.py
  mlxlaunch run -i inventory/hosts.yml --dry-run train.py     who would run where, with which environment
  mlxlaunch run --from-run 20260131-142501-9c41f0

Options of mlxlaunch come before the script; all that follows it belongs to the script.
A script that is here is brought to the hosts first, alone or with the directory around it (--project-dir), and so is
a Python environment (--environment); without one, Python is expected at the same path on every host.

What is typed, or comes from a pipe or file, is read by all ranks, or by one (--stdin RANK), which may have a terminal of its
own (--tty). All keys go there then, Ctrl-C too; Ctrl-\\ ends the job, and Ctrl-C once more kills it.

exit status:
  0 all ranks returned 0; else that of the first rank to fail (128+n for signal n)
  2 wrong usage, inventory or hostfile    3 a host is unreachable or not ready
  124 time limit    130 interrupted    143 terminated
"""

# Seconds without any news after which a person is told what is being waited for.
_PATIENCE = 2.0


class _Parser(argparse.ArgumentParser):
    """One line for a mistake; the whole usage is for --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(UsageError.returncode, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    options, tail = _split(words)
    parser = _make_parser(options)
    parsed, unknown = parser.parse_known_args(options)
    if unknown and parsed.function is not _run:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    parsed.unknown = unknown
    try:
        return int(parsed.function(parsed, tail))
    except LaunchError as exc:
        print(f"mlxlaunch: {exc}", file=sys.stderr)
        return exc.returncode
    except KeyboardInterrupt:  # before there was a job to end
        return 128 + signal.SIGINT


def _split(words: list[str]) -> tuple[list[str], list[str] | None]:
    """Return the words before the first `--` and those after it, None when there is none."""
    if "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _make_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser; `words` may have options abbreviated as mlx.launch allows it."""
    parser = _Parser(prog="mlxlaunch", description="Launch distributed MLX jobs on a cluster of Macs.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"mlxlaunch {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    run = commands.add_parser(
        "run",
        help="run a script or a command on every rank",
        description=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="%(prog)s [-i INVENTORY | --hostfile FILE | --hosts A,B | -n N] [options] SCRIPT [ARGS...]\n"
        "       %(prog)s [...] [options] -- COMMAND [ARGS...]",
    )
    also = _drop_in.abbreviations(words, _FLAGS)
    _add_hosts(run, also)
    _add_settings(run, also=also)
    run.add_argument("--from-run", metavar="JOB", help="run again what this job ran: its id, or its run directory")
    run.add_argument("--dry-run", action="store_true", help="ask no host and run nothing; print what would be done")
    run.add_argument("--json", action="store_true", help="with --dry-run: as one JSON document")
    run.add_argument(
        "--print-python",
        *also.get("--print-python", ()),
        action="store_true",
        help="print the path of the Python the ranks would use, and exit",
    )
    run.add_argument("script", nargs=argparse.REMAINDER, help="script and its arguments")
    run.set_defaults(function=_run)
    sync = commands.add_parser(
        "sync",
        help="bring script and environment to the hosts",
        description=_sync_command.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="%(prog)s [-i INVENTORY | --hostfile FILE | --hosts A,B] [options] [SCRIPT]",
    )
    _add_hosts(sync)
    _add_settings(sync, _sync_command.SETTINGS)
    sync.add_argument("script", nargs="?", default="", help="script")
    sync.set_defaults(function=_sync)
    check = _check_command.add_parser(commands)
    _add_hosts(check)
    _add_settings(check, _check_command.SETTINGS)
    check.set_defaults(function=_check)
    _hostfile_command.register(commands, _add_hosts, _inventory)
    return parser


Also = Mapping[str, Sequence[str]]  # other names of options
_FLAGS = {flag for setting in RUN_SETTINGS for flag in setting.flags} | {"--inventory", "--hostfile", "--hosts", "--repeat-hosts"}
_FLAGS |= {"--from-run", "--dry-run", "--json", "--print-python", "--help"}


def _add_hosts(parser: argparse.ArgumentParser, also: Also = MappingProxyType({})) -> None:
    hosts = parser.add_argument_group("where to run")
    hosts.add_argument("-i", "--inventory", metavar="INVENTORY", help="Ansible inventory; its group mlx, or --group, has the hosts")
    hosts.add_argument(
        "--hostfile", *also.get("--hostfile", ()), metavar="FILE", help="MLX hostfile (JSON), either schema; rank is position"
    )
    hosts.add_argument("--hosts", *also.get("--hosts", ()), metavar="A,B", help="names or addresses to ssh to, separated by commas")
    repeat = also.get("--repeat-hosts", ())
    hosts.add_argument(
        "-n", "--repeat-hosts", *repeat, metavar="N", type=int, help="ranks per host of --hosts; without it, on this machine"
    )


def _add_settings(parser: argparse.ArgumentParser, names: Collection[str] = BY_NAME, also: Also = MappingProxyType({})) -> None:
    group = parser.add_argument_group("settings")
    for setting in RUN_SETTINGS:
        if setting.flags and setting.name in names:
            others = [other for flag in setting.flags for other in also.get(flag, ())]
            group.add_argument(*setting.flags, *others, dest=setting.name, help=_help(setting), **_argument(setting))


def _argument(setting: Setting) -> dict[str, Any]:
    if setting.type == "bool":
        return {"action": "store_false" if setting.default else "store_true", "default": None}
    if setting.type in ("dict", "list"):
        return {"action": "append", "metavar": setting.metavar}
    return {"metavar": setting.metavar}


def _help(setting: Setting) -> str:
    default = f" Default: {setting.default}." if setting.type in ("int", "float") or setting.name in ("group", "backend") else ""
    repeat = " Repeatable." if setting.type in ("dict", "list") else ""
    return (setting.doc + repeat + default).replace("%", "%%")


def _run(parsed: argparse.Namespace, tail: list[str] | None) -> int:
    if parsed.print_python:
        print(parsed.python or sys.executable)
        return 0
    if parsed.json and not parsed.dry_run:
        raise UsageError("--json goes with --dry-run; of a job, events.jsonl in its run directory tells everything")
    if not parsed.from_run:
        _say_what_differs(parsed)
    options = {**_surroundings(), "dry_run": parsed.dry_run}
    job = _again(parsed, tail, options) if parsed.from_run else Job(_inventory(parsed), _settings(parsed, tail), None, options)
    if parsed.dry_run:
        with job, signals_end(job):
            return _dry_run_command.show(job, as_json=parsed.json)
    keyboard = Keyboard(job, 0 if sys.stdin else os.open(os.devnull, os.O_RDONLY))
    screen = _Screen(job, keyboard, prefix=bool(parsed.prefix), verbose=bool(parsed.verbose))
    with job, signals_end(job, lambda: screen.stopping, lambda: _resize(job)), keyboard:
        return screen.show()


def _say_what_differs(parsed: argparse.Namespace) -> None:
    """Do as mlx.launch with options that exclude each other, and say so."""
    if parsed.hostfile is not None and parsed.inventory is None:
        for name, flag in (("hosts", "--hosts"), ("repeat_hosts", "--repeat-hosts")):
            if getattr(parsed, name) is not None:
                setattr(parsed, name, None)
                print(f"mlxlaunch: note: {flag} does not count, as --hostfile says where ranks run", file=sys.stderr)
    given = [name for name in ("inventory", "hostfile", "hosts", "repeat_hosts") if getattr(parsed, name) is not None]
    note = _drop_in.misplaced(parsed.script, given)
    if note:
        print(f"mlxlaunch: note: {note}", file=sys.stderr)


def _resize(job: Job) -> None:
    size = _terminal_size()
    if size:
        job.resize(*size)


def _surroundings() -> dict[str, Any]:
    """Return what a job has to know of the place it is launched from."""
    stdin = "all" if has_something() else "none"
    return {"terminal": _terminal_size(), "term": os.environ.get("TERM", ""), "default_stdin": stdin}


def _again(parsed: argparse.Namespace, tail: list[str] | None, options: dict[str, Any]) -> Job:
    """Start what an earlier job ran."""
    given = {name for name, value in _given(parsed).items() if value is not None} - {"env", "log_dir", "prefix", "verbose", "stdin", "tty"}
    given |= {name for name in ("inventory", "hostfile", "hosts", "repeat_hosts") if getattr(parsed, name) is not None}
    if given or parsed.script or tail or parsed.unknown:
        raise UsageError(
            "--from-run says everything that is to be run; only --env, --log-dir, --prefix, --verbose, --stdin and --tty go with it"
        )
    env = parse_env(parsed.env) if parsed.env else {}
    rerun = _rerun.load(parsed.from_run, parsed.log_dir, env)
    for note in rerun.notes:
        print(f"mlxlaunch: {note}", file=sys.stderr)
    settings = {**rerun.settings, **{name: value for name, value in _given(parsed).items() if value is not None}, "env": env or None}
    return Job(rerun.inventory, settings, None, {**options, "ranks": rerun.ranks})


def _sync(parsed: argparse.Namespace, _tail: list[str] | None) -> int:
    return _sync_command.show(_inventory(parsed), {**_given(parsed), "script": absolute_script(parsed.script)})


def _check(parsed: argparse.Namespace, tail: list[str] | None) -> int:
    if tail:
        raise UsageError("a check runs nothing; want nothing after --")
    settings = {**_given(parsed), "script": absolute_script(parsed.script)}
    if parsed.env:
        settings["env"] = parse_env(parsed.env)
    job = Job(_inventory(parsed), settings, None, {}, "check.yml")
    screen = _check_command.Screen(job, as_json=parsed.json, verbose=bool(parsed.verbose))
    with job, signals_end(job):
        return screen.show()


def _given(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return what the flags say, paths as seen from here."""
    given = {setting.name: getattr(parsed, setting.name, None) for setting in RUN_SETTINGS if setting.flags}
    for name, value in given.items():
        if value and BY_NAME[name].type == "path" and value != COPY:
            given[name] = os.path.abspath(value)
    return given


def _settings(parsed: argparse.Namespace, tail: list[str] | None) -> dict[str, Any]:
    settings = _given(parsed)
    if parsed.env:
        settings["env"] = parse_env(parsed.env)
    # With an environment it says what that is made with, and the environment's own runs what is to run.
    python = "" if parsed.environment else parsed.python or ""
    return settings | _drop_in.what_to_run(parsed.script, tail, python, parsed.cwd or "", parsed.unknown)


def _inventory(parsed: argparse.Namespace) -> Inventory:
    given = [name for name in ("inventory", "hostfile", "hosts") if getattr(parsed, name) is not None]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]}: hosts can come from one of them only")
    if parsed.repeat_hosts is not None and parsed.repeat_hosts < 1:
        raise UsageError(f"--repeat-hosts {parsed.repeat_hosts}: want 1 or more")
    if parsed.repeat_hosts is not None and given and given != ["hosts"]:
        raise UsageError(f"--repeat-hosts goes with --hosts; with --{given[0]}, set mlx_slots or repeat the entry")
    if parsed.inventory is not None:
        return str(parsed.inventory)
    if parsed.hostfile is not None:
        return read_hostfile(parsed.hostfile)
    return _named_hosts(parsed.hosts, parsed.repeat_hosts or 1)


def _named_hosts(names: str | None, repeat: int) -> Hostfile:
    return hostfile_from_names((names if names is not None else LOCALHOST).split(","), repeat)


def _terminal_size() -> tuple[int, int] | None:
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return None
    return (size.columns, size.lines) if size.columns else None


class _Screen:
    """Show a job on this process's standard output and error."""

    def __init__(self, job: Job, keyboard: Keyboard, *, prefix: bool, verbose: bool) -> None:
        self._job = job
        self._keyboard = keyboard
        self.stopping = False
        self._hosts: dict[int, str] = {}
        self._taken = threading.Event()
        colours = [wants_colour(fd) for fd in (1, 2)]
        self._sink = TerminalSink(
            (1, 2),
            self._describe(Describer(colours[1], verbose)),
            self._prefix(make_prefix(self._hosts, colours[0])) if prefix else None,
            self._taken.set,
        )

    def _prefix(self, of: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        """Return what comes before a line of (rank, stream): nothing on a rank's own terminal."""
        return lambda source: b"" if source[0] == self._job.tty_rank else of(source)

    def _describe(self, describer: Describer) -> Callable[[dict[str, Any]], str | None]:
        """Return what describes an event, also for a terminal on which a newline does not go back to the left."""

        def describe(event: dict[str, Any]) -> str | None:
            text = describer(event)
            return text.replace("\n", "\r\n") + "\r" if text and self._keyboard.raw else text

        return describe

    def _data(self, event: Event) -> bytes:
        return event.data.replace(b"\n", b"\r\n") if self._keyboard.raw and event.rank != self._job.tty_rank else event.data

    def show(self) -> int:
        """Show everything until the end; return the exit status."""
        for event in self._events():
            if event.event == "rank_started" and event.rank is not None and event.host:
                self._hosts[event.rank] = event.host
            self.stopping = self.stopping or event.event == "job_stopping"
            if self.stopping or (event.event == "rank_exited" and event.rank == self._job.tty_rank):
                self._keyboard.release()
            self._sink.break_lines_by(b"\r\n" if self._keyboard.raw else b"\n")
            if event.event == "rank_output":
                self._sink.output(event.to_json(), self._data(event))
            else:
                self._sink.event(event.to_json())
            self._wait_for_reader()
        self._sink.close()
        result = self._job.wait()
        if result.run_dir is None:
            print(f"mlxlaunch: {result.message}; nothing was started", file=sys.stderr)
        return result.returncode

    def _events(self) -> Iterator[Event]:
        patience: float | None = _PATIENCE
        while True:
            deadline = self._sink.deadline()
            try:
                event = self._job.next_event(patience if deadline is None else max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                self._sink.tick(time.monotonic())
                if deadline is None:
                    print("mlxlaunch: waiting for Ansible to read the inventory", file=sys.stderr, flush=True)
                    patience = None
                continue
            if event is None:
                return
            patience = None
            yield event

    def _wait_for_reader(self) -> None:
        """Take no further events while the terminal, or whatever reads us, is behind."""
        while self._sink.backlog > BACKLOG and not self._sink.broken:
            self._taken.wait(1.0)
            self._taken.clear()
        if self._sink.broken and self._job.running:
            self._job.terminate(128 + signal.SIGPIPE, "nobody reads the output any more")


if __name__ == "__main__":
    sys.exit(main())
