# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of everything that takes part in a launch on this machine, each with its place."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from ... import __version__
from ..._core import COLLECTION_VERSION, collection


def versions() -> Iterator[str]:
    """Yield a line each for the package, the collection, ansible-core and Python, then one for each misfit."""
    # Late, as they take their time and read Ansible's configuration.
    import ansible
    from ansible.errors import AnsibleError
    from ansible.release import __version__ as core

    from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.tasks import installation

    yield f"mlxlaunch {__version__} in {Path(__file__).parents[2]}"
    yield f"mlxlaunch.cluster {COLLECTION_VERSION} in {collection.__path__[0]}"
    yield f"ansible-core {core} in {ansible.__path__[0]}"
    yield f"Python {platform.python_version()} at {sys.executable}"
    try:
        from ansible.constants import COLLECTIONS_PATHS
    except AnsibleError as exc:
        yield "Ansible does not start: " + " ".join(str(exc).split())
    else:
        yield from installation.misfits(COLLECTIONS_PATHS)
