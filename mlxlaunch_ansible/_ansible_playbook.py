# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-playbook`, a quarter faster: for a process that lives for one play, garbage collection only costs.

Measured with ansible-core 2.19 and a job of one local rank, median of 10: 0.74 s, and 0.58 s this way.

The first argument is a directory for what multiprocessing keeps on disk: the socket by which workers of ansible-core 2.21
reach this process. In the user's temporary directory it would stay when this process is killed.
"""

from __future__ import annotations

import atexit
import gc
import os
import socket
import sys
import tempfile
from multiprocessing import util

_OURS = "mlxlaunch.cluster.mlx_hostfile"


def main() -> None:
    """Run ansible-playbook's own entry point with this process's arguments, and exit without tidying up memory."""
    gc.disable()
    _keep_in(sys.argv[1])
    life = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    life.connect(f"{sys.argv[1]}/e")  # whoever started this learns by it when this process and its workers are gone
    from ansible.cli.playbook import main as playbook

    _read_hostfiles()
    code: object = 0
    try:
        playbook(["ansible-playbook", *sys.argv[2:]])
    except SystemExit as exc:
        code = exc.code
    # What Ansible wants done at exit (it removes temporary files there), and then no more.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


def _read_hostfiles() -> None:
    """Have MLX hostfiles in an inventory read, such as one in a directory beside group_vars, whatever ansible.cfg enables.

    Not so when the environment says what is enabled: that is a program of ours with an inventory of its own, or a user's last word.
    """
    from ansible import constants

    if "ANSIBLE_INVENTORY_ENABLED" not in os.environ and _OURS not in constants.INVENTORY_ENABLED:
        constants.INVENTORY_ENABLED = [_OURS, *constants.INVENTORY_ENABLED]


def _keep_in(folder: str) -> None:
    """Make multiprocessing's directory there; only that one, for all else the user's choice of a place stands."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    util.get_temp_dir()
    tempfile.tempdir = before


if __name__ == "__main__":
    main()
