# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory that `mlxlaunch init` writes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._core import LOCALHOST, LaunchError, UsageError

_HEAD = """\
# Machines for distributed MLX jobs, written by mlxlaunch init. Ansible reads it too.
# The first host has rank 0. Any setting of docs/settings.md can stand at a host, or below for all of them.
"""
_COPY = """\
# The Python environment of this machine goes to all hosts, as they do not have it at the same path."""
_NO_COPY = """\
# Every host has the Python of this machine at the same path. If not, copy its environment there:
# mlx_environment: copy"""
_PORT = re.compile(r"(?:\[(?P<ipv6>[\da-fA-F:.]+(?:%\w+)?)\]|(?P<name>[^:]+)):(?P<port>\d{1,5})")
_MOST_PORT = 65535


def host_of(word: str) -> tuple[str, dict[str, Any]]:
    """Return the inventory name and the variables of a host: NAME, USER@NAME, NAME:PORT or [IPv6]:PORT.

    Raises:
        UsageError: there is no such port.
    """
    user, _at, address = word.rpartition("@")
    found = _PORT.fullmatch(address)
    name = found["ipv6"] or found["name"] if found else address
    variables: dict[str, Any] = {"ansible_user": user} if user else {}
    if found:
        variables["ansible_port"] = int(found["port"])
        if not 1 <= variables["ansible_port"] <= _MOST_PORT:
            raise UsageError(f"{word}: {found['port']} is no port; want 1 to {_MOST_PORT}")
    if name == LOCALHOST:
        variables["ansible_connection"] = "local"
    return name, variables


def inventory_text(hosts: Mapping[str, Mapping[str, Any]], variables: Mapping[str, Any], *, copy: bool) -> str:
    """Return an inventory with comments.

    Args:
        hosts: variables of each host, rank 0 first.
        variables: those of all hosts.
        copy: whether hosts need the environment of this machine.
    """
    lines = [_HEAD + "mlx:", "  hosts:"]
    for name, own in hosts.items():
        lines.append(f"    {_yaml(name)}:")
        lines += _indented(own, 6)
    note = [f"    {line}" for line in (_COPY if copy else _NO_COPY).splitlines()]
    own = {**variables, "mlx_environment": "copy"} if copy and "mlx_environment" not in variables else variables
    lines += ["  vars:", *note, *_indented(own, 4)]
    return "\n".join(lines) + "\n"


def _indented(variables: Mapping[str, Any], by: int) -> list[str]:
    return [f"{' ' * by}{_yaml(name)}: {_yaml(value)}" for name, value in variables.items()]


def _yaml(value: Any) -> str:
    """Return a value as one line of YAML, in which a text with the braces of a template is marked to be none."""
    import yaml  # late: few commands need it

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        tag = "!unsafe" if "{{" in value or "{%" in value or "{#" in value else "tag:yaml.org,2002:str"
        return dumper.represent_scalar(tag, value)

    Dumper.add_representer(str, text)
    dumped = yaml.dump(value, Dumper=Dumper, default_flow_style=True, width=10**6, allow_unicode=True)
    return str(dumped).removesuffix("...\n").strip()


def check_free(path: str) -> None:
    """Raise UsageError when there is a file at a path."""
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already, and stays as it is; mlxlaunch check -i {path} looks at it, -o FILE writes another")


def write_new(path: str, text: str) -> None:
    """Write a file that is not there yet, whole or not at all.

    Raises:
        UsageError: it is there.
        LaunchError: it cannot be written.
    """
    part = Path(f"{path}.part-{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        os.link(part, path)  # which replaces nothing, whoever was faster
    except FileExistsError:
        check_free(path)
    except OSError as exc:
        raise LaunchError(f"{path}: cannot be written: {exc.strerror or exc}") from None
    finally:
        with suppress(OSError):
            part.unlink()
