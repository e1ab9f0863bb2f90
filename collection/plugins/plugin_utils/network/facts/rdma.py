# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RDMA devices of a host, from ibv_devices, ibv_devinfo and rdma_ctl. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .answers import HostAnswers

ACTIVE, DOWN = "PORT_ACTIVE", "PORT_DOWN"
MOST = 256
_DEVICE = re.compile(r"^[ \t]*(\S{1,64})[ \t]+[0-9a-f]{16}[ \t]*$", re.IGNORECASE | re.MULTILINE)
_HCA = re.compile(r"^hca_id:[ \t]*(\S{1,64})", re.MULTILINE)
_STATE = re.compile(r"^[ \t]*state:[ \t]*(\S{1,64})", re.MULTILINE)


@dataclass(frozen=True)
class Rdma:
    """RDMA on one host.

    Attributes:
        devices: names, in the order of ibv_devices, which is that of ports and not sorted.
        states: state of the port, by device, where ibv_devinfo tells it.
        enabled: what rdma_ctl says; None when it says nothing.
    """

    devices: tuple[str, ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)
    enabled: bool | None = None

    def device(self, interface: str) -> str:
        """Return the device of an interface, or empty."""
        name = f"rdma_{interface}"
        return name if interface and name in self.devices else ""

    def state(self, interface: str) -> str:
        """Return the state of an interface's device, or empty."""
        return self.states.get(f"rdma_{interface}", "")


def parse_rdma(answers: HostAnswers) -> Rdma:
    """Return the RDMA of a host.

    `rdma_ctl status` is no proof: older Macs say "enabled" and have no device for ever (omlx#3037).
    """
    devices = tuple(_DEVICE.findall(answers.text("ibv_devices.txt"))[:MOST])
    return Rdma(devices, _states(answers.text("ibv_devinfo.txt")), _enabled(answers.text("rdma_ctl.txt")))


def _states(text: str) -> dict[str, str]:
    found = {}
    places = [(match.start(), match[1]) for match in _HCA.finditer(text)][:MOST]
    for at, (start, name) in enumerate(places):
        end = places[at + 1][0] if at + 1 < len(places) else len(text)
        if state := _STATE.search(text, start, end):
            found[name] = state[1]
    return found


def _enabled(text: str) -> bool | None:
    said = text.lower()
    if "disabled" in said or "not enabled" in said:
        return False
    return True if "enabled" in said else None
