"""A lab: real hosts on one Linux machine, for tests, molecule, benchmarks and people.

A lab is one process, the lab init, which is PID 1 of a pid namespace and owns a network namespace in which
the controller lives. Its children are the hosts: each has its own processes, files, name, network and sshd.

    the machine               lab (pid, mount, network)            hosts (pid, mount, network, uts, ipc)
    pytest ---- owner pipe -- lab init -- lan0 198.18.0.1/24 ----- node1 eth0 198.18.0.11, sshd, overlay of /
           ---- control ----/          \\- lan1 198.18.1.1/24 ----- node1 eth1 198.18.1.11
                                                                   node2 ...

Nothing has a name outside of these namespaces, so labs do not disturb each other or the machine. When the lab
init ends, because it is told to or because its owner died and the pipe closed, the kernel takes it all away.
"""

from __future__ import annotations

from .host import Host, Process
from .lab import Lab
from .needs import LabError, NoMacError, missing, packages

__all__ = ["Host", "Lab", "LabError", "NoMacError", "Process", "missing", "packages"]
