# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: every setting of a launch, once. Pure.

The command line, the Python API, the role's variables, the action's options and the table in docs/settings.md
are all made from, or checked against, `SETTINGS`.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._backends import AUTO, check_backend, check_env
from ._errors import UsageError

RUN, HOST = "run", "host"
AUTO_PORT = "auto"  # as the first port: a range that is free on every host
COPY = "copy"  # as the environment: the one that launches


@dataclass(frozen=True)
class Setting:
    """One thing that can be set.

    Attributes:
        name: the Python argument; with `mlx_` before it, the inventory variable.
        type: str, int, float, bool, list, dict or path (of a file or directory on the controller).
        default: what counts when nobody says anything.
        doc: one sentence for a person.
        flags: how the command line calls it; empty when it is a positional argument or not settable there.
        scope: RUN, one value per job, or HOST, one per host.
        metavar: what `--help` calls the value.
    """

    name: str
    type: str
    default: Any
    doc: str
    flags: tuple[str, ...] = ()
    scope: str = RUN
    metavar: str = ""

    @property
    def variable(self) -> str:
        """The name in inventory and playbooks."""
        return f"mlx_{self.name}"


SETTINGS = (
    Setting("script", "str", "", "Script to run on every rank: one that is here, or else by its path on the hosts."),
    Setting("args", "list", (), "Arguments for the script."),
    Setting("command", "list", (), "Any command to run in place of Python and a script."),
    Setting("group", "str", "mlx", "Inventory group whose hosts run the ranks, in inventory order.", ("--group",), metavar="NAME"),
    Setting(
        "backend",
        "str",
        AUTO,
        "Distributed backend. As with mlx.launch, `auto` is what the hostfile says, else `nccl` where the MLX that launches "
        "can use CUDA, else `ring`.",
        ("--backend",),
        metavar="NAME",
    ),
    Setting(
        "env",
        "dict",
        {},
        "Environment variables for the ranks; cluster, group, host and command line are merged, in that order.",
        ("--env",),
        metavar="NAME=VALUE",
    ),
    Setting(
        "cwd",
        "str",
        "",
        "Working directory on the hosts; must exist there. Default: the current one where it exists, else home.",
        ("--cwd",),
        metavar="DIR",
    ),
    Setting(
        "python",
        "str",
        "",
        "Python that runs the script, by its path on the hosts; with an environment, the one it is made with, by path or version. "
        "Default: the path of the Python that launches.",
        ("--python",),
        HOST,
        metavar="PATH",
    ),
    Setting(
        "starting_port",
        "port",
        32323,
        "First port the ring listens on; counts up by rank, address and connection. With jaccl, rank 0 listens on it. "
        "`auto` finds a range that is free on every host.",
        ("--starting-port", "-p"),
        metavar="PORT",
    ),
    Setting(
        "connections_per_ip", "int", 1, "Connections between neighbours of the ring, per address.", ("--connections-per-ip",), metavar="N"
    ),
    Setting(
        "mpirun",
        "str",
        "",
        "Path of mpirun on the hosts. Default: beside the Python, in the environment for example, else Homebrew's or the system's.",
        ("--mpirun",),
        metavar="PATH",
    ),
    Setting("mpi_args", "list", (), "Arguments for mpirun, split as a shell splits words.", ("--mpi-arg",), metavar="ARGS"),
    Setting(
        "mpi_agent",
        "str",
        "channel",
        "How mpirun reaches the other hosts: channel, the connections that are there; or ssh, as each host is set up for it.",
        ("--mpi-agent",),
        metavar="NAME",
    ),
    Setting("nccl_port", "int", 12345, "Port rank 0 listens on, with nccl.", ("--nccl-port",), metavar="PORT"),
    Setting("prefix", "bool", False, "Put [rank host] before each line of output.", ("--prefix",)),
    Setting("verbose", "bool", False, "Tell more: hosts as they become ready, process ids, the ring's own messages.", ("--verbose",)),
    Setting(
        "stdin",
        "str",
        "",
        "Who reads what is written to the launcher's standard input: all, none, or a rank. Default: all on the command line, when it is a "
        "terminal or has something, and none in Python. With ansible-playbook always none, as Ansible gives its workers no standard input.",
        ("--stdin",),
        metavar="WHO",
    ),
    Setting(
        "tty",
        "bool",
        False,
        "Give the rank that reads standard input a terminal, for line editing and Ctrl-C there; its stderr then comes with its stdout. "
        "Ctrl-\\ ends the job.",
        ("--tty",),
    ),
    Setting("grace", "float", 10.0, "Seconds a rank has between TERM and KILL.", ("--grace",), metavar="SECONDS"),
    Setting(
        "lease", "float", 30.0, "Seconds of silence after which a host, or the launcher, is given up.", ("--lease",), metavar="SECONDS"
    ),
    Setting("connect_timeout", "float", 30.0, "Seconds a host may take until it is ready.", ("--connect-timeout",), metavar="SECONDS"),
    Setting("timeout", "float", 0.0, "Seconds the ranks may run; 0 for no limit.", ("--timeout",), metavar="SECONDS"),
    Setting(
        "log_dir",
        "path",
        "",
        "Directory on the controller that gets one run directory per job. Default: mlxlaunch/runs in the user's state directory.",
        ("--log-dir",),
        metavar="DIR",
    ),
    Setting("sync", "bool", True, "Bring script and environment to the hosts first, where they are not there yet.", ("--no-sync",)),
    Setting(
        "project_dir",
        "path",
        "",
        "Directory that goes to the hosts with the script in it; what .gitignore names stays. Default: the script alone.",
        ("--project-dir",),
        metavar="DIR",
    ),
    Setting("exclude", "list", (), "Patterns, as in .gitignore, of what else stays here.", ("--exclude",), metavar="PATTERN"),
    Setting(
        "environment",
        "path",
        "",
        "Python environment to make on the hosts: a lock file with hashes, or `copy` for the one that launches. Default: none, see python.",
        ("--environment",),
        metavar="LOCK",
    ),
    Setting(
        "wheelhouse",
        "path",
        "",
        "Directory here that is filled with the wheels of the lock and sent, for hosts that reach no index.",
        ("--wheelhouse",),
        metavar="DIR",
    ),
    Setting("index_url", "str", "", "Package index. Default: what uv or pip is configured to use.", ("--index-url",), metavar="URL"),
    Setting(
        "root",
        "str",
        "",
        "Directory on the hosts for all that is deployed. Default: /Users/Shared/mlxlaunch if all hosts are Macs, else /opt/mlxlaunch.",
        ("--root",),
        metavar="DIR",
    ),
    Setting("keep", "int", 2, "Earlier environments and project versions that stay on the hosts.", ("--keep",), metavar="N"),
    Setting("ips", "list", (), "IPv4 addresses the host's ranks listen on. Default: ansible_host, or what its name resolves to.", (), HOST),
    Setting("slots", "int", 1, "Ranks on the host.", (), HOST),
    Setting("rdma", "list", (), "RDMA devices to each rank, for jaccl: a name, a list of names, or null for itself.", (), HOST),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
RUN_SETTINGS = tuple(setting for setting in SETTINGS if setting.scope == RUN or setting.name == "python")


@dataclass(frozen=True)
class JobSettings:
    """The settings of one job, checked. Field names are those of `SETTINGS` with scope RUN, and `python`."""

    script: str = ""
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    group: str = "mlx"
    backend: str = AUTO
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""
    python: str = ""
    starting_port: int | None = 32323  # None: auto
    connections_per_ip: int = 1
    mpirun: str = ""
    mpi_args: tuple[str, ...] = ()
    mpi_agent: str = "channel"
    nccl_port: int = 12345
    prefix: bool = False
    verbose: bool = False
    stdin: str = ""
    tty: bool = False
    grace: float = 10.0
    lease: float = 30.0
    connect_timeout: float = 30.0
    timeout: float = 0.0
    log_dir: str = ""
    sync: bool = True
    project_dir: str = ""
    exclude: tuple[str, ...] = ()
    environment: str = ""
    wheelhouse: str = ""
    index_url: str = ""
    root: str = ""
    keep: int = 2


def check_settings(given: Mapping[str, Any], *, job: bool = True) -> JobSettings:
    """Return checked settings; what is not given has its default.

    Args:
        given: by name, as Python, YAML or a command line delivers them.
        job: they are for a job, which needs something to run.

    Raises:
        UsageError: naming the setting, its value and what is wanted.
    """
    unknown = set(given) - {setting.name for setting in RUN_SETTINGS}
    if unknown:
        raise UsageError(f"unknown setting: {', '.join(sorted(unknown))}")
    values = {setting.name: _check(setting, given.get(setting.name)) for setting in RUN_SETTINGS}
    values["mpi_args"] = _split_again(values["mpi_args"])
    checked = JobSettings(**values)
    if checked.command and not checked.command[0]:
        raise UsageError("the command is an empty word")
    if (job or (checked.script and checked.command)) and bool(checked.script) == bool(checked.command):
        raise UsageError("want a script, or a command, and not both" if checked.script else "no script is given")
    check_backend(checked.backend)
    _check_ranges(checked)
    _check_stdin(checked)
    return checked


def _split_again(args: Iterable[str]) -> tuple[str, ...]:
    """Return the words of mpirun's arguments: each argument may hold several, as for mlx.launch."""
    words: list[str] = []
    for arg in args:
        try:
            words += shlex.split(arg)
        except ValueError:
            raise UsageError(f"--mpi-arg {arg!r}: a quote is not closed") from None
    return tuple(words)


def _check_stdin(settings: JobSettings) -> None:
    if settings.stdin not in ("", "all", "none") and not (settings.stdin.isascii() and settings.stdin.isdecimal()):
        raise UsageError(f"--stdin {settings.stdin}: want all, none, or the number of a rank")
    if settings.tty and settings.stdin == "none":
        raise UsageError("--tty and --stdin none: a terminal is for a rank that reads; say which with --stdin RANK")


def _check_ranges(settings: JobSettings) -> None:
    for name in ("starting_port", "nccl_port"):
        port = getattr(settings, name)
        if port is not None and not 1 <= port <= 65535:
            raise UsageError(f"{BY_NAME[name].flags[0]} {getattr(settings, name)}: a port is a number from 1 to 65535")
    if settings.connections_per_ip < 1:
        raise UsageError(f"--connections-per-ip {settings.connections_per_ip}: want 1 or more")
    if settings.keep < 0:
        raise UsageError(f"--keep {settings.keep}: want 0 or more")
    if settings.root and not settings.root.startswith("/"):
        raise UsageError(f"--root {settings.root}: want an absolute path; it is the same on every host")
    if settings.mpirun and not settings.mpirun.startswith("/"):
        raise UsageError(f"--mpirun {settings.mpirun}: want an absolute path; it is the same on every host")
    if settings.mpi_agent not in ("channel", "ssh"):
        raise UsageError(f"--mpi-agent {settings.mpi_agent}: want channel or ssh")
    for name in ("grace", "timeout"):
        if getattr(settings, name) < 0:
            raise UsageError(f"--{name} {getattr(settings, name):g}: want 0 or more seconds")
    for name in ("lease", "connect_timeout"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{BY_NAME[name].flags[0]} {getattr(settings, name):g}: want 1 or more seconds")


def _check(setting: Setting, value: Any) -> Any:
    if value is None or (value == "" and setting.type != "str"):
        value = setting.default
    where = setting.flags[0] if setting.flags else setting.variable
    try:
        return _env(value, where) if setting.type == "dict" else _CONVERT[setting.type](value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{where}: {value!r} is not {_WANTED[setting.type]}") from None


def _text(value: Any) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool) or "\0" in str(value):
        raise ValueError
    return str(value)


def _words(value: Any) -> tuple[str, ...]:
    """A list is taken as it is; a text is split as a shell splits words, nothing more."""
    if isinstance(value, str):
        value = shlex.split(value)
    if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray)):
        raise TypeError
    return tuple(_text(item) for item in value)


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        value = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(value.lower())
    if value not in (True, False):
        raise ValueError
    return bool(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError
    return int(value)


def _port(value: Any) -> int | None:
    return None if value == AUTO_PORT else _whole(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise ValueError
    return float(value)


def _env(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError
    return check_env(value, where)


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "path": _text,
    "list": _words,
    "bool": _boolean,
    "int": _whole,
    "port": _port,
    "float": _number,
}
_WANTED = {
    "str": "text",
    "path": "a path",
    "list": "a list of words (true and false want quotes)",
    "bool": "yes or no",
    "int": "a whole number",
    "port": "a whole number, or auto",
    "float": "a number",
    "dict": "a mapping of names to values",
}


def check_slots(value: Any, host: str) -> int:
    """Return a host's number of ranks, or raise UsageError naming it."""
    try:
        slots = _whole(value)
    except (TypeError, ValueError, OverflowError):
        slots = 0
    if slots < 1:
        raise UsageError(f"{host}: mlx_slots: {value!r}: want 1 or more ranks")
    return slots
