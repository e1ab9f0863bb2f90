# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next step for an error of a connection or of RDMA. Pure.

Sources: the guide in mlx#3207, messages of mlx#4180 and mlx#4209, and reports about Macs. Numbers differ between
systems, so a host sends the name of an errno.
"""

from __future__ import annotations

_BY_NAME = {
    "EADDRNOTAVAIL": "the address has vanished, as after a restart or a new plug; run mlxlaunch network --apply again",
    "ETIMEDOUT": "a firewall or a VPN drops the packets, or the cable is out; look at both on the two hosts",
    "ECONNREFUSED": "the other end does not listen; a firewall there may refuse Python",
    "EHOSTUNREACH": "no way there; on macOS 15 or newer allow Python in System Settings, Privacy, Local Network",
    "ENETUNREACH": "there is no route; run mlxlaunch network --apply again",
    "EPROTO": "something else has this address; look for it with arp -a",
    "ENXIO": "the interface is gone; plug the cable in again",
    "ENODEV": "the interface is gone; plug the cable in again",
}
_BY_TEXT = (
    ("RTR failed with errno 22", "a bridge still has the port; run mlxlaunch network --apply again"),
    ("RTR failed with errno 16", "RDMA has a stale state; restart the Mac"),
    ("protection domain", "the RDMA port is down, or was opened too often; restart the Mac"),
    ("No IPv4-mapped GID", "the port has no IPv4 address; run mlxlaunch network --apply again"),
    ("No module named", "install MLX there, or name a Python that has it with mlx_python"),
    ("Couldn't bind", _BY_NAME["EADDRNOTAVAIL"]),
)


def explain(name: str, text: str) -> str:
    """Return an error with the next step.

    Args:
        name: of the errno, or empty.
        text: the error as it was reported.
    """
    step = _BY_NAME.get(name) or next((step for sign, step in _BY_TEXT if sign.lower() in text.lower()), "")
    said = text or name or "failed"
    return f"{said}: {step}" if step else said
