# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a job that also decide whether its hosts are ready."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that modules extend, by the names that Ansible looks for."""

    DOCUMENTATION = r"""
options:
  backend:
    description:
      - Distributed backend.
      - V(auto) is what mlx.launch would take, V(nccl) where MLX on the controller can use CUDA, else V(ring).
        A hostfile that is used as inventory sets C(mlx_backend).
    type: str
    choices: [auto, ring, mpi, nccl, jaccl, jaccl-ring]
    default: auto
  cwd:
    description:
      - Working directory on the hosts; it must exist there.
      - Without it, the directory of the playbook run where a host has it, else the home directory.
    type: str
    default: ""
  python:
    description:
      - Python that runs the script, by its path on the hosts, for hosts without C(mlx_python).
      - With O(environment), the one that it is made with, by path or by version such as V(3.12).
      - Without it, the path of the Python that runs Ansible; for an environment of a lock, the newest that a host has.
    type: str
    default: ""
  starting_port:
    description:
      - First port the ring listens on; counts up by rank, address and connection. With jaccl, rank 0 listens on it.
      - With V(auto), a range of ports is found that is free on every host, between 20000 and 32000.
    type: raw
    default: 32323
  connections_per_ip:
    description:
      - Connections between neighbours of the ring, per address.
    type: int
    default: 1
  nccl_port:
    description:
      - Port rank 0 listens on, with the backend nccl.
    type: int
    default: 12345
  mpirun:
    description:
      - Path of mpirun on the hosts, for the backend mpi.
      - Without it, mpirun beside the Python, in the environment for example, else Homebrew's or the system's.
    type: str
    default: ""
  hostfile:
    description:
      - An MLX hostfile, as data, that says which hosts run which ranks. Its hosts must be in the inventory.
      - For programs that launch. Without it, ranks follow from the group and C(mlx_slots).
    type: raw
  terminal:
    description:
      - Columns and lines of the terminal on which the job is watched.
      - For programs that launch. Without it, those of Ansible's own terminal, if it has one.
    type: list
    elements: int
"""

    # Apart from the others as mlxlaunch.cluster.job.control: deploy has no other option of a job.
    CONTROL = r"""
options:
  control:
    description:
      - Path of a socket on the controller to which output and events go, and from which input and signals come.
      - For programs that launch. Without it, output goes to the terminal.
    type: path
"""
