# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sink through which whoever wants a piece of work sees its events and output."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..caller import terminal
from ..caller.control import Control
from ..job.settings import JobSettings
from ..output.describe import Describer, make_prefix
from ..output.display_sink import DisplaySink
from ..output.sinks import Sink
from ..output.socket_sink import SocketSink
from ..output.terminal_sink import TerminalSink


def view(
    control: Control | None, show: Callable[..., None], settings: JobSettings, wake: Callable[[], None], host_of: Mapping[int, str]
) -> Sink:
    """Return the sink for the launching program, the terminal of ansible-playbook, or Ansible's display.

    Args:
        control: the launching program's socket, if there is one.
        show: Ansible's display.
        settings: those of the work.
        wake: called from another thread when the sink takes news again.
        host_of: the host of each rank, for prefixes.
    """
    if control:
        return SocketSink(control.socket, wake)
    fds = terminal.descriptors()
    colours = [terminal.wants_colour(fd) for fd in fds] if fds else [False, False]
    prefix = make_prefix(host_of, colours[0]) if settings.prefix else None
    describe = Describer(colours[1], settings.verbose)
    if fds:
        return TerminalSink(fds, describe, prefix, wake)
    return DisplaySink(show, describe, prefix, wake, whole_lines=terminal.under_runner())
