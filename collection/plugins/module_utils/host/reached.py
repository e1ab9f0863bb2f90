# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPv4 address by which this host was reached, for the data of a job whose user has named none.

Only the host knows it: a name may be one of ssh's configuration, or lead to a port that is forwarded. sshd tells it in
the third word of SSH_CONNECTION, see ssh(1).
"""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import programs
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import sockets

_MAPPED = "::ffff:"


def data_address(planned, environ=None):
    """Return (address, others, problem): of the others that this host has, each with its interface.

    Args:
        planned: the address by which the controller connects; when it is this host's own, that is it.
        environ: variables in place of those of this process.
    """
    if _is_ipv4(planned) and programs.owns(planned):
        return planned, [], ""
    words = (os.environ if environ is None else environ).get("SSH_CONNECTION", "").split()
    reached = unmapped(words[2]) if len(words) == 4 else ""  # not behind sudo
    own = [pair for pair in programs.own_addresses() if not pair[1].startswith(("127.", "169.254."))]
    if not _is_ipv4(reached):
        interface = programs.interface_of(reached) if reached else ""
        near = [address for name, address in own if name == interface] or [address for _name, address in own]
        if len(near) != 1:
            how = "was reached by %s, and" % reached if reached else "behind become"
            return "", [], "%s cannot tell which IPv4 address is for the data; it has %s; set mlx_ips" % (how, programs.describe(own))
        reached = near[0]
    return reached, ["%s %s" % pair for pair in own if pair[1] != reached], ""


def unmapped(address):
    """Return an address as sshd tells it, an IPv4 address without the prefix that it has on an IPv6 socket."""
    return address[len(_MAPPED) :] if address.startswith(_MAPPED) else address


def _is_ipv4(text):
    try:
        sockets.inet_pton(sockets.AF_INET, text)
    except OSError:
        return False
    return True
