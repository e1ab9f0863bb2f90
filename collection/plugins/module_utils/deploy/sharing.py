# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modes by which other users of this host may read what is deployed, or may not.

A directory of a version, or of an environment, has the mode that is wanted; what is in it keeps the modes that belong
to its digest. So a version has the same digest whoever may read it, and to open or close one is a change of few modes.
Everything is made closed, and opened when it is complete.
"""

from __future__ import annotations

import os
import stat

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.flock import lock_path

_MODES = {"private": 0o700, "group": 0o750, "world": 0o755}


def wrong_modes(root, trees, records, share):
    """Return [(path, mode it should have)] of what is here, is ours, and has another mode.

    Args:
        root: directory of all that is deployed.
        trees: directories of versions and environments, some levels below it.
        records: files beside them.
        share: private, group or world.
    """
    mode = _MODES[share]
    above = {folder for tree in trees for folder in _above(root, tree)} if share != "private" else ()
    files = [*records, *map(lock_path, trees)]
    wanted = [(path, mode, True) for path in sorted(above)]
    wanted += [(path, mode, False) for path in trees] + [(path, mode & 0o644, False) for path in files]
    return [(path, right) for path, right in (_right_mode(*each) for each in wanted) if right is not None]


def _above(root, tree):
    """Yield the directories from the root to a tree, which it is reached through."""
    folder = os.path.dirname(tree)
    while len(folder) >= len(root.rstrip("/")):
        yield folder
        folder = os.path.dirname(folder)


def _right_mode(path, mode, at_least):
    """Return (path, mode it should have, None when it needs no change).

    Args:
        at_least: whether it may have more, as what others have made open.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return path, None
    now = stat.S_IMODE(found.st_mode)
    right = now | mode if at_least else mode | now & ~0o777
    # Of what another user has deployed, that user decides.
    return path, None if found.st_uid != os.geteuid() or now == right or stat.S_ISLNK(found.st_mode) else right


def set_modes(wrong):
    """Set modes as `wrong_modes` returned them."""
    for path, mode in wrong:
        os.chmod(path, mode)
