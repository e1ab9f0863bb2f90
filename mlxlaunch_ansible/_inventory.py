# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the hosts come from: inventories, a hostfile in either schema, a list of names, or this machine.

With them go the options of Ansible's command line, which say how it reaches them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ._core import (
    LOCALHOST,
    Hostfile,
    UsageError,
    absolute,
    at_home,
    connection_variables,
    hostfile_from_data,
    hostfile_from_names,
    parse_env,
    parse_hostfile,
)
from ._core import plain as plainly

_HERE = ("localhost", LOCALHOST)
# A word of `-e`: name=value, where the value may have quotes.
_ASSIGNED = re.compile(r"""(?:^|\s)([A-Za-z_]\w*)=("[^"]*"|'[^']*'|\S*)""")
# Files of `-e` that are others in Ansible's process, or none.
_OF_THIS_PROCESS = ("/dev/", "/proc/")
#: Names of files that are others in each process, whatever kind they are.
OPEN_HERE = ("/dev/fd/", "/dev/stdin", "/proc/self/")
# Options that hold no secret, and that ansible-playbook takes as they are.
_TEXTS = ("limit", "user", "private_key", "connection", "become_user", "become_method", "connection_password_file", "become_password_file")
_PATHS = ("private_key", "vault_password_file")
_LISTS = {"vault_ids": "--vault-id", "vault_password_files": "--vault-password-file"}
# What ssh is given may be a secret, a password of a proxy for example.
_SSH = ("ssh_common_args", "ssh_extra_args")


class ReadText(str):
    """A text `@FILE` for `-e`, or the path of an inventory, that only this process can read, or only once.

    Attributes:
        content: what was in the file.
    """

    __slots__ = ("content",)
    content: str


def extra_text(text: str) -> str:
    """Return a text for `-e`; the file that it names is read now if Ansible could not: pipes, and /dev/stdin.

    Raises:
        UsageError: it cannot be read.
    """
    if not text.startswith("@"):
        return text
    path = Path(at_home(text[1:]))
    if not path.exists():
        raise UsageError(f"-e {text}: no such file")
    if path.is_file() and not str(path).startswith(_OF_THIS_PROCESS):
        return text
    return _read_now(text, path, f"-e {text}")


def _read_now(text: str, path: Path, where: str) -> ReadText:
    """Return a text with the content of its file, or raise UsageError that begins with `where`."""
    read = ReadText(text)
    try:
        read.content = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{where}: {exc.strerror}") from None
    except ValueError:
        raise UsageError(f"{where}: not UTF-8") from None
    if not read.content.strip():
        raise UsageError(f"{where}: there is nothing to read")
    return read


@dataclass(frozen=True)
class AnsibleOptions:
    """Options of ansible-playbook's command line, and of ours that mean the same.

    Attributes:
        limit: pattern for the hosts that take part.
        extra_vars: texts, each as `extra_text` returns it.
        user, private_key, connection: who logs in, with which key, by which kind of connection.
        become, become_user, become_method: whether and as whom commands run on hosts.
        ssh_common_args, ssh_extra_args: for ssh.
        vault_ids, vault_password_files: where vault's passwords are.
        connection_password_file, become_password_file: files with passwords.
        passwords: those that a person has typed: kind (connection, become, or the label of a vault) and text.
        verbosity: that of Ansible's own output, from 2.
        show: takes the lines of that output.
    """

    limit: str = ""
    extra_vars: tuple[str, ...] = ()
    user: str = ""
    private_key: str = ""
    connection: str = ""
    become: bool = False
    become_user: str = ""
    become_method: str = ""
    ssh_common_args: str = ""
    ssh_extra_args: str = ""
    vault_ids: tuple[str, ...] = ()
    vault_password_files: tuple[str, ...] = ()
    connection_password_file: str = ""
    become_password_file: str = ""
    passwords: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    verbosity: int = 0
    show: Callable[[str], None] | None = field(default=None, compare=False)

    @property
    def words(self) -> list[str]:
        """Words for ansible-playbook, but for the passwords that were typed."""
        texts = [(f"--{name.replace('_', '-')}", getattr(self, name)) for name in (*_TEXTS, *_SSH)]
        lists = [(flag, value) for name, flag in _LISTS.items() for value in getattr(self, name)]
        lists += [("--extra-vars", text) for text in self.extra_vars]
        options = [f"{flag}={value}" for flag, value in (*texts, *lists) if value]
        # From -vv on: one -v is ours alone.
        return options + ["--become"] * self.become + [f"-{'v' * self.verbosity}"] * (self.verbosity > 1)

    @property
    def variables(self) -> dict[str, Any]:
        """Variables that `extra_vars` set, as far as that can be known without Ansible: of a vault's file, nothing."""
        return variables_of(self.extra_vars)

    @property
    def record(self) -> dict[str, Any]:
        """What a record may have: no value of a variable, and no secret."""
        names = (*_TEXTS, "become", *_LISTS)
        known = {name: value for name in names if (value := getattr(self, name))}
        files = [f"@{absolute(str(Path(text[1:]).expanduser()))}" for text in self.extra_vars if _names_file(text)]
        return known | ({"extra_vars": files} if files else {})

    @property
    def not_recorded(self) -> list[str]:
        """What a repetition has to be given again, each by its name on the command line."""
        typed = [text for text in self.extra_vars if not _names_file(text)]
        names = sorted({name for text in typed for name in _variables_in(text)})
        flags = [f"--{name.replace('_', '-')}" for name in _SSH if getattr(self, name)]
        asked = [
            {"connection": "--ask-pass", "become": "--ask-become-pass"}.get(kind, "--ask-vault-pass") for kind, _text in self.passwords
        ]
        return [*(f"-e {name}" for name in names), *flags, *dict.fromkeys(asked)]


def _names_file(text: str) -> bool:
    """Return whether a text for `-e` names a file that can be read again."""
    return text.startswith("@") and not isinstance(text, ReadText)


def variables_of(extra_vars: Sequence[str]) -> dict[str, Any]:
    """Return the variables that texts for `-e` set, as far as that can be known without Ansible."""
    return {name: value for text in extra_vars for name, value in _variables_in(text).items()}


def _variables_in(text: str) -> dict[str, Any]:
    """Return the variables of a text for `-e`, as far as they can be read here."""
    if isinstance(text, ReadText):
        return _mapping(text.content)
    if text.startswith("@"):
        try:
            text = Path(text[1:]).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError):
            return {}
        return _mapping(text)
    if text.lstrip().startswith(("{", "[")):
        return _mapping(text)
    found = {}
    for name, value in _ASSIGNED.findall(text):
        found[name] = value
        with suppress(ValueError):
            found[name] = "".join(shlex.split(value))
    return found


def _mapping(text: str) -> dict[str, Any]:
    import yaml  # late: few command lines have any

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:  # also of a tag that only Ansible knows
        return dict.fromkeys(re.findall(r"^(\w+):", text, re.MULTILINE))
    return {str(name): value for name, value in data.items()} if isinstance(data, dict) else {}


def ansible_options(given: Mapping[str, Any]) -> AnsibleOptions:
    """Return the options for arguments of the API, or raise UsageError naming the one of a wrong type.

    Args:
        given: by name; None stands for "not given".
    """
    plain: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name == "extra_vars":
            plain[name] = _extra_vars(value)
        elif name == "become":
            plain[name] = bool(value)
        elif value == "":
            continue  # as a path it would be the current directory
        elif isinstance(value, (str, os.PathLike)):
            text = str(Path(value).expanduser()) if name in _PATHS else os.fspath(value)
            plain |= {"vault_password_files": (text,)} if name == "vault_password_file" else {name: text}
        else:
            raise UsageError(f"{name}: {value!r} is not text")
    return AnsibleOptions(**plain)


def with_ansible(inventory: Inventory, given: Mapping[str, Any], settings: Mapping[str, Any]) -> Source:
    """Return the source of hosts for arguments of the API.

    Args:
        inventory: as for `resolve_inventory`.
        given: options of Ansible, by name.
        settings: those of the job, for its group.
    """
    options = ansible_options(given)
    group = settings.get("group") or options.variables.get("mlx_group") or "mlx"
    source = resolve_inventory(inventory, str(group))
    return replace(source, ansible=options) if given else source


def _extra_vars(value: Any) -> tuple[str, ...]:
    try:
        texts = [value] if isinstance(value, (str, Mapping)) else list(value)
        return tuple(extra_text(text) if isinstance(text, str) else json.dumps(dict(text)) for text in texts)
    except (TypeError, ValueError):
        raise UsageError("extra_vars: want a mapping of names to values that JSON can carry, or texts as -e takes them") from None


@dataclass(frozen=True)
class Source:
    """Hosts as Ansible takes them, and the hostfile they came from, if any.

    Attributes:
        paths: inventories on disk; those that can be read only once, or only here, have been read.
        data: an inventory as a mapping, to be written for Ansible, or None.
        hostfile: ranks in order, when a hostfile or a list of names says them.
        ansible: the options of Ansible's command line.
        slots: ranks on each host of an inventory, 0 for what the inventory says.
    """

    paths: tuple[str, ...] = ()
    data: Mapping[str, Any] | None = None
    hostfile: Hostfile | None = None
    ansible: AnsibleOptions = field(default_factory=AnsibleOptions)
    slots: int = 0

    @property
    def origin(self) -> dict[str, Any]:
        """Where the hosts come from, for the record of a job."""
        listed = [name for group in self.data.values() for name in group["hosts"]] if self.paths and self.data else []
        more = {"listed": listed, "slots": self.slots, "ansible": self.ansible.record, "again": self.ansible.not_recorded}
        return {"paths": list(self.paths), **{name: value for name, value in more.items() if value}}


# What `inventory` may be; a Source is what one of the others has been already.
StrPath = str | os.PathLike[str]
Inventory = StrPath | Mapping[str, Any] | Sequence[StrPath] | Sequence[Mapping[str, Any]] | Hostfile | Source


def resolve_inventory(inventory: Inventory, group: str = "mlx") -> Source:
    """Return the source of hosts that `inventory` means.

    Args:
        inventory: path of an Ansible inventory or of an MLX hostfile, or a host list of Ansible, which has a comma; a
            sequence of these; a mapping that is either of them; a list of host names or addresses, one rank each; a
            list of hostfile entries.
        group: inventory group that hosts of a hostfile or list become.

    Raises:
        UsageError: naming the file, the host and the field.
    """
    if isinstance(inventory, Source):
        return inventory
    if isinstance(inventory, Hostfile):
        return _from_hostfile(inventory, group)
    given = os.fsdecode(inventory) if isinstance(inventory, bytes) else plainly(inventory)
    if isinstance(given, str):
        return _from_sources([given], group)
    _check_plain(given)
    if isinstance(given, Mapping):
        if not given:
            raise UsageError("inventory: no hosts")
        if isinstance(given.get("hosts"), list):
            return _from_hostfile(hostfile_from_data(given, "inventory"), group)
        return Source(data=given)
    if any(map(_is_inventory, inventory if isinstance(inventory, Sequence) else given)):
        return _from_sources([item for item in given if isinstance(item, str)], group)
    if given and all(isinstance(item, str) for item in given):
        return _from_hostfile(hostfile_from_names(given), group)
    return _from_hostfile(hostfile_from_data(given, "inventory"), group)


def _check_plain(given: Any) -> None:
    """Raise UsageError unless it is a mapping or list that can be written for Ansible."""
    if not isinstance(given, (dict, list)):
        raise UsageError(f"inventory: want a path, a mapping or a list, not a value of type {type(given).__name__}")
    try:
        json.dumps(given)
    except (TypeError, ValueError) as exc:
        raise UsageError(f"inventory: a value is neither text, number, list nor mapping: {exc}") from None


def _is_inventory(item: object) -> bool:
    """Return whether an item of a list is an inventory; the name of a host has neither `/` nor a comma."""
    return isinstance(item, os.PathLike) or (isinstance(item, str) and ("/" in item or "," in item or Path(item).is_file()))


def read_hostfile(path: str | os.PathLike[str]) -> Hostfile:
    """Return the MLX hostfile at `path`, or raise UsageError naming it."""
    name = os.fspath(path)
    try:
        text = _content(at_home(name))
    except OSError as exc:
        raise UsageError(f"{name}: cannot read the hostfile: {exc.strerror}") from None
    except ValueError as exc:
        raise UsageError(f"{name}: not JSON: {exc}") from None
    return parse_hostfile(text, name)


def _from_sources(sources: Sequence[str], group: str) -> Source:
    """Return the source for inventories as -i takes them: paths, and lists of hosts, which join the group."""
    if "" in sources:  # as a path it would be the current directory
        raise UsageError("inventory: a name cannot be empty")
    paths = [at_home(source) for source in sources if "," not in source or Path(source).exists()]
    for path in paths:
        if not Path(path).exists():
            hint = "" if "/" in path else f"; to name a host, write {path}, with a comma"
            raise UsageError(f"{path}: no such inventory{hint}")
    paths = [_as_ansible_can_read(path) for path in paths]
    if len(sources) == 1 and paths and (paths[0].endswith(".json") or isinstance(paths[0], ReadText)) and _looks_like_hostfile(paths[0]):
        return _from_hostfile(read_hostfile(paths[0]), group)
    listed = [name.strip() for source in sources if "," in source and source not in paths for name in source.split(",")]
    hosts = {name: {"ansible_connection": "local"} if name in _HERE else {} for name in listed if name}
    if not paths and not hosts:
        raise UsageError(f"{', '.join(sources)}: a list of hosts without a host")
    return Source(
        tuple(path if isinstance(path, ReadText) else absolute(path) for path in paths), {group: {"hosts": hosts}} if hosts else None
    )


def _as_ansible_can_read(path: str) -> str:
    """Return the path of an inventory; what another process could not read is read now: pipes, and /dev/stdin."""
    if Path(path).is_dir() or (Path(path).is_file() and not path.startswith(OPEN_HERE)) or path == os.devnull:
        return path
    return _read_now(path, Path(path), path)


def _content(path: str) -> str:
    return path.content if isinstance(path, ReadText) else Path(path).read_text(encoding="utf-8")


def _looks_like_hostfile(path: str) -> bool:
    try:
        data = json.loads(_content(path).removeprefix("\ufeff"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, list) or (isinstance(data, dict) and isinstance(data.get("hosts"), list))


def _from_hostfile(hostfile: Hostfile, group: str) -> Source:
    hosts = {entry.ssh: connection_variables(entry.ssh) for entry in hostfile.entries}
    variables = {"mlx_env": parse_env(hostfile.envs, "hostfile: envs")} if hostfile.envs else {}
    return Source(data={group: {"hosts": hosts, "vars": variables}}, hostfile=hostfile)
