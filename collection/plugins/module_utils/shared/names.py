# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that controller and hosts agree on."""

from __future__ import annotations

# Where a Python may be when PATH is that of a non-interactive ssh. On a Mac without the command line tools
# /usr/bin/python3 opens a dialog, hence it comes after Homebrew's.
PYTHONS = ("/opt/homebrew/bin/python3", "/usr/local/bin/python3", "/usr/bin/python3", "python3")
DAEMONS = ("prted", "orted")  # of mpirun, in the fifth and in the fourth series of Open MPI
MARKER = ".mlxlaunch.json"  # an environment that has it is complete
RESULTS = ".mlxlaunch-results"  # a directory that has it belongs to no project: it holds what was fetched
MARK = "MLXLAUNCH_JOB"  # variable by which the processes of a job are found
MARK_FORMAT = "%s.%s"  # its value: the job's id and the host's index
FOLDER_FORMAT = "%s-%s"  # name of a job's folder on a host: the same two
BOOT = "exec(z.decompress(sys.stdin.buffer.read("  # in the command of every program that is sent to a host
# Variables that MLX prefers to the names which a job sets (docs/src/usage/environment_variables.rst of MLX, 846d17622).
JACCL_ALIASES = ("JACCL_RANK", "JACCL_IBV_DEVICES", "JACCL_COORDINATOR", "JACCL_RING")
