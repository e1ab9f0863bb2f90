# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options for what is deployed, and where."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that modules extend, by the names that Ansible looks for."""

    DOCUMENTATION = r"""
options:
  project_dir:
    description:
      - Directory on the controller that goes to the hosts with the script in it.
      - What C(.gitignore) files name stays, as do C(.git), virtual environments and caches.
      - Without it, the script goes with the modules that it imports from beside it.
    type: path
    default: ""
  exclude:
    description:
      - Patterns, as in C(.gitignore), of what else stays on the controller.
    type: list
    elements: str
    default: []
  environment:
    description:
      - "Python environment to make on the hosts: a lock file with hashes (requirements format, C(pylock.toml), or C(uv.lock)
        beside its C(pyproject.toml)), or V(copy) for the one that Ansible runs in."
      - Without it, ranks run with the Python of C(mlx_python) as it is.
    type: path
    default: ""
  lock_extra:
    description:
      - Extras of the project in a C(uv.lock) or C(pylock.toml) that the environment has too.
    type: list
    elements: str
    default: []
  lock_group:
    description:
      - Dependency groups of the project in a C(uv.lock) or C(pylock.toml) that the environment has too.
    type: list
    elements: str
    default: []
  wheelhouse:
    description:
      - Directory on the controller that is filled with the wheels of the lock and sent, for hosts that reach no index.
    type: path
    default: ""
  index_url:
    description:
      - Package index. Without it, what C(uv) or C(pip) is configured to use.
    type: str
    default: ""
  keep:
    description:
      - Earlier environments and project versions that stay on the hosts.
    type: int
    default: 2
"""

    ROOT = r"""
options:
  root:
    description:
      - Directory on the hosts for all that is deployed, the same on every host. It is made when it is not there.
      - "Without it, C(/opt/mlxlaunch) where root deploys, else one with the name of the user who launches:
        C(/Users/Shared/mlxlaunch-USER) if all hosts are Macs, C(/opt/mlxlaunch-USER) otherwise."
    type: str
    default: ""
  trust_owner:
    description:
      - User on the hosts whose files in C(root) are trusted like one's own and those of the system's root.
    type: str
    default: ""
"""
