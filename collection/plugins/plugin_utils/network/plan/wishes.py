# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wishes of whoever asks for a plan of the network. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import PurePosixPath
from typing import Any

from ...job.errors import UsageError, option_name
from ...job.settings import Setting, check_value

AUTO, THUNDERBOLT, ETHERNET = "auto", "thunderbolt", "ethernet"
RING, JACCL, JACCL_RING, MESH = "ring", "jaccl", "jaccl-ring", "mesh"
_CHOICES = {
    "over": (AUTO, THUNDERBOLT, ETHERNET),
    "backend": (AUTO, RING, JACCL, JACCL_RING),
    "require": ("", RING, MESH),
    "schema": ("list", "object"),
    "state": ("present", "absent"),
}
PRESENT, ABSENT = "present", "absent"
_BOOLEANS = ("ignore_unreachable", "apply", "measure")
_PATHS = ("output_hostfile", "output_vars", "record", "svg")
_TEXTS = ("interface", "subnet", *_PATHS)
#: The names of all wishes, as options of the action and, with `mlx_network_` before them, as variables of the role.
NAMES = (*_CHOICES, *_TEXTS, *_BOOLEANS)
_INTERFACE = re.compile(r"[A-Za-z0-9][\w.:@-]{0,63}")
_SMALLEST = 30  # the prefix that one cable needs


@dataclass(frozen=True)
class Wishes:
    """What a plan is to be like, and where its results go.

    Attributes:
        over: thunderbolt, ethernet, or auto for Thunderbolt where it connects all hosts.
        backend: ring, jaccl, jaccl-ring, or auto for the best that is possible.
        require: topology that has to be there: ring, mesh, or empty.
        schema: of the hostfile: list or object.
        interface: interface for Ethernet on every host, or empty to choose by routes.
        subnet: block of addresses for cables, or None to choose a free one.
        output_hostfile, svg: files on the controller, or empty.
        output_vars, record: directories on the controller, or empty.
        ignore_unreachable: plan without the hosts that cannot be asked.
        apply: give the ports of the plan their addresses.
        state: present, or absent to take back an earlier setup.
        measure: measure the links of the plan.
    """

    over: str = AUTO
    backend: str = AUTO
    require: str = ""
    schema: str = "object"
    interface: str = ""
    subnet: IPv4Network | None = None
    output_hostfile: str = ""
    output_vars: str = ""
    record: str = ""
    svg: str = ""
    ignore_unreachable: bool = False
    apply: bool = False
    state: str = PRESENT
    measure: bool = False


def check_wishes(given: Mapping[str, Any]) -> Wishes:
    """Return checked wishes; None and an empty text stand for "not given".

    Raises:
        UsageError: naming the option, its value and the values that would do.
    """
    values = {name: value for name, value in given.items() if value not in (None, "")}
    for name, choices in _CHOICES.items():
        if name in values and values[name] not in choices:
            raise UsageError(f"{shown(name)} {values[name]!r}: want {' or '.join(choice for choice in choices if choice)}")
    for name in _TEXTS:
        if name in values and (not isinstance(values[name], str) or "\0" in values[name]):
            raise UsageError(f"{shown(name)} {values[name]!r}: want text")
    if "interface" in values and not _INTERFACE.fullmatch(values["interface"]):
        raise UsageError(f"{shown('interface')} {values['interface']!r}: want the name of an interface, such as en0")
    if "subnet" in values:
        values["subnet"] = _subnet(values["subnet"])
    for name in _BOOLEANS:
        if name in values:
            values[name] = check_value(Setting(name, "bool", False, name), values[name], shown(name))
    wishes = Wishes(**values)
    _check_together(wishes)
    return wishes


def shown(name: str) -> str:
    """Return the name of a wish in errors."""
    return option_name(f"--{name.replace('_', '-')}", f"mlx_network_{name}")


def _subnet(text: str) -> IPv4Network:
    try:
        network = IPv4Network(text, strict=False)
    except ValueError:
        raise UsageError(f"{shown('subnet')} {text!r}: want a block of IPv4 addresses, such as 10.99.0.0/22") from None
    if network.prefixlen > _SMALLEST or network.prefixlen < 8:
        raise UsageError(f"{shown('subnet')} {text}: want a prefix from /8 to /{_SMALLEST}: each cable takes four addresses")
    if network.is_multicast or network.is_loopback or network.is_link_local or network.network_address.is_unspecified:
        raise UsageError(f"{shown('subnet')} {text}: these addresses have another use; want private ones, such as 10.99.0.0/22")
    return network


def _check_together(wishes: Wishes) -> None:
    places: dict[PurePosixPath, str] = {}
    for name in _PATHS:
        if text := getattr(wishes, name):
            other = places.setdefault(PurePosixPath(text), name)
            _refuse(other != name, f"{shown(other)} and {shown(name)} {text}: one would replace the other; name two places")
    if wishes.state == ABSENT:
        undoing = option_name("--undo", f"mlx_network_state={ABSENT}")
        staying = f"{shown('apply')} and {shown('measure')} are for one that is to stay"
        _refuse(wishes.apply or wishes.measure, f"{undoing} takes a setup back; {staying}")
    if wishes.over == ETHERNET:
        over = f"{shown('over')} {ETHERNET}"
        _refuse(wishes.backend in (JACCL, JACCL_RING), f"{over} {shown('backend')} {wishes.backend}: jaccl needs RDMA over Thunderbolt")
        _refuse(bool(wishes.require), f"{over} {shown('require')} {wishes.require}: a ring or mesh of cables is one of Thunderbolt")
        _refuse(wishes.subnet is not None, f"{over} {shown('subnet')}: addresses are chosen for Thunderbolt cables only")
    if wishes.interface and (wishes.over == THUNDERBOLT and wishes.backend == RING):
        uses = f"{shown('over')} {ETHERNET}, and for the coordinator of jaccl"
        raise UsageError(f"{shown('interface')} is for {uses}; a ring over Thunderbolt has its own")


def _refuse(wrong: bool, text: str) -> None:
    if wrong:
        raise UsageError(text)
