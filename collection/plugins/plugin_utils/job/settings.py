# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of settings of a launch, and their checks. Pure.

Made from `SETTINGS`, or checked against it, are the command line, the Python API, the role's variables, the action's
options and the table in docs/settings.md.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .backend_names import AUTO, check_backend
from .env import check_env, not_carried
from .errors import UsageError, option_name
from .structured import kind_of, structured
from .user_name import check_user_name

RUN, HOST = "run", "host"
AUTO_PORT = "auto"  # as the first port: a range that is free on every host
_EXPORT, _ENV_LIST = ("-x", "--x"), "mca_base_env_list"  # mpirun(1): two ways to set variables
COPY = "copy"  # as the environment: the one that launches
PRIVATE = "private"  # as who may read what is deployed: nobody else
SHARES = (PRIVATE, "group", "world")


@dataclass(frozen=True)
class Setting:
    """A setting.

    Attributes:
        name: the Python argument; with `mlx_` before it, the inventory variable.
        type: str, int, float, bool, list, dict, port, path (on the controller) or host_path (on the hosts).
        default: the value when none is given.
        doc: one sentence for a person.
        flags: its names on the command line; empty when it is a positional argument or cannot be set there.
        scope: RUN, one value per job, or HOST, one per host.
        metavar: the name of the value in `--help`.
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

    @property
    def shown(self) -> str:
        """The name in errors."""
        return option_name(self.flags[0], self.variable) if self.flags else self.variable

    @property
    def per_host(self) -> bool:
        """Whether its variable is read for each host."""
        return self.scope == HOST or self.type == "dict"

    def is_default(self, value: Any) -> bool:
        """Return whether a value is the default, in any form of nothing."""
        return value == self.default or not (value or self.default)

    @property
    def public(self) -> bool:
        """Whether its value may be recorded and shown as it is."""
        return self.type in _PUBLIC_TYPES or self.name in _PUBLIC

    @property
    def sentences(self) -> str:
        """The description and the default, where that is a number or a name and the description does not tell it."""
        told = self.type in ("int", "float") or self.name in ("group", "backend", "share")
        return f"{self.doc} Default: {self.default}." if told else self.doc


# Known to hold no secret, by type or by name. Not `env`, nor texts that may be an address or words of a program.
_PUBLIC_TYPES = ("int", "float", "bool", "port", "path", "host_path")
_PUBLIC = ("script", "group", "backend", "mpi_agent", "stdin", "exclude", "lock_extra", "lock_group", "share", "trust_owner", "ips", "rdma")

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
        "Environment variables for the ranks; cluster, group, host, play and command line are merged, in that order.",
        ("--env",),
        metavar="NAME=VALUE",
    ),
    Setting(
        "cwd",
        "host_path",
        "",
        "Working directory on the hosts; must exist there. Default: the current one where it exists, else home.",
        ("--cwd",),
        metavar="DIR",
    ),
    Setting(
        "python",
        "host_path",
        "",
        "Python that runs the script, by its path on the hosts; with an environment, the one it is made with, by path or version. "
        "Default: the path of the Python that launches; for an environment of a lock, the newest that a host has.",
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
        "host_path",
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
    Setting(
        "keep_runs",
        "int",
        200,
        "Run directories that stay on the controller, the newest ones, up to 180 days; 0 for all and always.",
        ("--keep-runs",),
        metavar="N",
    ),
    Setting("sync", "bool", True, "Bring script and environment to the hosts first.", ("--no-sync",)),
    Setting(
        "project_dir",
        "path",
        "",
        "Directory that goes to the hosts with the script in it; what .gitignore names stays. "
        "Default: the script, and what it imports from beside it.",
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
    Setting("lock_extra", "list", (), "Extras of the project in a uv.lock or pylock.toml, such as mlx.", ("--lock-extra",), metavar="NAME"),
    Setting("lock_group", "list", (), "Dependency groups of the same, such as train.", ("--lock-group",), metavar="NAME"),
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
        "host_path",
        "",
        "Directory on the hosts for all that is deployed. Default: /opt/mlxlaunch where root deploys, else one with the name of the user "
        "who launches: /Users/Shared/mlxlaunch-USER if all hosts are Macs, /opt/mlxlaunch-USER otherwise.",
        ("--root",),
        metavar="DIR",
    ),
    Setting(
        "share",
        "str",
        PRIVATE,
        "Who else on a host may read what is deployed: private for nobody, group, or world.",
        ("--share",),
        metavar="WHO",
    ),
    Setting(
        "trust_owner",
        "str",
        "",
        "User on the hosts whose files in root are trusted like one's own and those of the system's root. Default: none.",
        ("--trust-owner",),
        metavar="USER",
    ),
    Setting("keep", "int", 2, "Earlier environments and project versions that stay on the hosts.", ("--keep",), metavar="N"),
    Setting("ips", "list", (), "IPv4 addresses the host's ranks listen on. Default: the one by which it was reached.", (), HOST),
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
    keep_runs: int = 200
    sync: bool = True
    project_dir: str = ""
    exclude: tuple[str, ...] = ()
    environment: str = ""
    lock_extra: tuple[str, ...] = ()
    lock_group: tuple[str, ...] = ()
    wheelhouse: str = ""
    index_url: str = ""
    root: str = ""
    share: str = PRIVATE
    trust_owner: str = ""
    keep: int = 2


_NO_SCRIPT = "no script is given; name one (script, in an inventory mlx_script), or a command (command, mlx_command)"


def check_settings(given: Mapping[str, Any], *, job: bool = True) -> JobSettings:
    """Return checked settings, with defaults for those that are not given.

    Args:
        given: by name, as Python, YAML or a command line delivers them.
        job: they are for a job, which needs a script or a command.

    Raises:
        UsageError: naming the setting, its value and the values that would do.
    """
    unknown = set(given) - {setting.name for setting in RUN_SETTINGS}
    if unknown:
        raise UsageError(f"unknown setting: {', '.join(sorted(unknown))}")
    values = {setting.name: _check(setting, given.get(setting.name)) for setting in RUN_SETTINGS}
    exported, values["mpi_args"] = _exported(_split_again(values["mpi_args"]))
    values["env"] = exported | values["env"]
    checked = JobSettings(**values)
    if checked.trust_owner:
        check_user_name(checked.trust_owner, BY_NAME["trust_owner"].shown)
    if checked.command and not checked.command[0]:
        raise UsageError("the command is an empty word")
    if (job or (checked.script and checked.command)) and bool(checked.script) == bool(checked.command):
        raise UsageError("want a script, or a command, and not both" if checked.script else _NO_SCRIPT)
    program = checked.script or "".join(checked.command[:1])
    if program.endswith(".ipynb"):
        raise UsageError(f"{program} is a notebook, and a rank is a program; jupyter nbconvert --to script makes one of it")
    check_backend(checked.backend)
    _check_ranges(checked)
    _check_paths(checked)
    _check_stdin(checked)
    return checked


def _split_again(args: Iterable[str]) -> tuple[str, ...]:
    """Return the words of mpirun's arguments: each argument may hold several, as for mlx.launch."""
    words: list[str] = []
    for at, arg in enumerate(args, 1):
        try:
            words += shlex.split(arg)
        except ValueError:
            # Not shown: it may have a value of a variable.
            raise UsageError(f"{BY_NAME['mpi_args'].shown}: item {at}: a quote is not closed") from None
    return tuple(words)


def with_exports(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the variables that mpirun's arguments set (-x NAME=VALUE) among those of `env`.

    Every user of a host can read mpirun's command line there; `env` goes another way, to the same ranks.
    """
    exported, _words = _exported(_split_again(_check(BY_NAME["mpi_args"], given.get("mpi_args"))))
    return {**given, "env": exported | _check(BY_NAME["env"], given.get("env"))} if exported else dict(given)


def _exported(words: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the variables that mpirun's arguments give a value, and the arguments without these."""
    env, kept, rest = {}, [], iter(words)
    shown = BY_NAME["mpi_args"].shown
    for word in rest:
        value = next(rest, "") if word in _EXPORT else ""
        if "=" in value:
            env[value.partition("=")[0]] = value.partition("=")[2]
        elif _ENV_LIST in word:
            better = f"give variables by {BY_NAME['env'].shown} or -x"
            raise UsageError(f"{shown} {_ENV_LIST}: {better}; mpirun's command line can be read by every user")
        else:
            kept += [word, value] if value else [word]
    return check_env(env, f"{shown} -x"), tuple(kept)


def _check_stdin(settings: JobSettings) -> None:
    stdin, tty = BY_NAME["stdin"].shown, BY_NAME["tty"].shown
    if settings.stdin not in ("", "all", "none") and not (settings.stdin.isascii() and settings.stdin.isdecimal()):
        raise UsageError(f"{stdin} {settings.stdin}: want all, none, or the number of a rank")
    if settings.tty and settings.stdin == "none":
        raise UsageError(f"{tty} and {stdin} none: a terminal is for a rank that reads; say which with {stdin} RANK")


def _check_kept(settings: JobSettings) -> None:
    for name in ("keep", "keep_runs"):
        if getattr(settings, name) < 0:
            raise UsageError(f"{BY_NAME[name].shown} {getattr(settings, name)}: want 0 or more")


def _check_ranges(settings: JobSettings) -> None:
    for name in ("starting_port", "nccl_port"):
        port = getattr(settings, name)
        if port is not None and not 1 <= port <= 65535:
            raise UsageError(f"{BY_NAME[name].shown} {getattr(settings, name)}: a port is a number from 1 to 65535")
    if settings.connections_per_ip < 1:
        raise UsageError(f"{BY_NAME['connections_per_ip'].shown} {settings.connections_per_ip}: want 1 or more")
    _check_kept(settings)
    _check_choice("mpi_agent", settings.mpi_agent, ("channel", "ssh"))
    _check_choice("share", settings.share, SHARES)
    for name in ("grace", "timeout"):
        if getattr(settings, name) < 0:
            raise UsageError(f"{BY_NAME[name].shown} {getattr(settings, name):g}: want 0 or more seconds")
    for name in ("lease", "connect_timeout"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{BY_NAME[name].shown} {getattr(settings, name):g}: want 1 or more seconds")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(f"{BY_NAME[name].shown} {value}: want {', '.join(choices[:-1])} or {choices[-1]}")


def _check_paths(settings: JobSettings) -> None:
    root, mpirun = BY_NAME["root"].shown, BY_NAME["mpirun"].shown
    if settings.root and not settings.root.startswith(("/", "~/")):
        raise UsageError(f"{root} {settings.root}: want an absolute path; it is the same on every host")
    if not settings.root.isprintable():
        raise UsageError(f"{root} {settings.root!r}: want a path without control characters")
    if settings.mpirun and not settings.mpirun.startswith("/"):
        raise UsageError(f"{mpirun} {settings.mpirun}: want an absolute path; it is the same on every host")


def _check(setting: Setting, value: Any) -> Any:
    return check_value(setting, value, setting.shown)


def check_value(setting: Setting, value: Any, where: str) -> Any:
    """Return the value of one setting, checked, or its default; raise UsageError that begins with `where`."""
    if value is None or (value == "" and setting.type != "str"):
        value = setting.default
    if setting.type == "dict":
        return env_of(value, where)
    if setting.type == "list":
        value = structured(value, setting.variable, where)
    _check_carried(value, where)
    try:
        return _CONVERT[setting.type](value)
    except (TypeError, ValueError, OverflowError):
        shown = repr(value) if setting.public else _kind(value)
        hint = " (true and false want quotes)" if setting.type == "list" and _has_truth(value) else ""
        raise UsageError(f"{where}: {shown} is not {_WANTED[setting.type]}{hint}") from None


def _check_carried(value: Any, where: str) -> None:
    """Raise UsageError for a text, or an item of a list, that no process can be given; it may be a secret."""
    for at, text in enumerate(value if isinstance(value, (list, tuple)) else [value], 1):
        if isinstance(text, str) and (why := not_carried(text)):
            raise UsageError(f"{where}: {f'item {at}' if text is not value else 'the text'} {why}")


def env_of(value: Any, where: str) -> dict[str, str]:
    """Return environment variables from a mapping, or from its text; raise UsageError that begins with `where`."""
    value = structured(value, BY_NAME["env"].variable, where)
    if not isinstance(value, Mapping):
        # Not shown: it may have a secret in it.
        raise UsageError(f"{where}: {kind_of(value)} is not a mapping of names to values")
    return check_env(value, where)


def _kind(value: Any) -> str:
    """Return the kind of a wrong value that is not shown; of a list, also that of its first item that is no word."""
    if isinstance(value, str):
        return "text with a quote that is not closed"
    odd = [kind_of(item) for item in value if not _is_word(item)] if isinstance(value, (list, tuple)) else []
    return f"a list with {odd[0]} in it" if odd else kind_of(value)


def _has_truth(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, (list, tuple)) and any(isinstance(item, bool) for item in value))


def _is_word(item: Any) -> bool:
    try:
        _text(item)
    except TypeError:
        return False
    return True


def _text(value: Any) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise TypeError
    return str(value)


def _words(value: Any) -> tuple[str, ...]:
    """Return a list of words; a text is split as a shell splits words, nothing more, and a number is one word."""
    if isinstance(value, str):
        value = shlex.split(value)
    if isinstance(value, (int, float)):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray)):
        raise TypeError
    return tuple(_text(item) for item in value)


def _boolean(value: Any) -> bool:
    """Return a truth value; texts are those that Ansible takes for one."""
    if isinstance(value, str):
        value = _TRUTH.get(value.strip().lower())
    if value not in (True, False):
        raise ValueError
    return bool(value)


def _whole(value: Any) -> int:
    """Return a whole number; a text may be one in any form, such as 1e3, as for Ansible."""
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not number.is_integer():
        raise ValueError
    return int(number)


def _port(value: Any) -> int | None:
    return None if value == AUTO_PORT else _whole(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise ValueError
    return float(value)


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "path": _text,
    "host_path": _text,
    "list": _words,
    "bool": _boolean,
    "int": _whole,
    "port": _port,
    "float": _number,
}
_WANTED = {
    "str": "text",
    "path": "a path",
    "host_path": "text",
    "list": "a list of words",
    "bool": "yes or no",
    "int": "a whole number",
    "port": "a whole number, or auto",
    "float": "a number",
}
_TRUTH = dict.fromkeys(("yes", "on", "true", "1", "y", "t"), True) | dict.fromkeys(("no", "off", "false", "0", "n", "f"), False)


def check_slots(value: Any, host: str) -> int:
    """Return a host's number of ranks, or raise UsageError naming it."""
    try:
        slots = _whole(value)
    except (TypeError, ValueError, OverflowError):
        slots = 0
    if slots < 1:
        raise UsageError(f"{host}: mlx_slots: {value!r}: want 1 or more ranks")
    return slots
