# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of a fetch. The modules that a call needs are imported by it."""

from __future__ import annotations


def fetch_find(agent, lease, folder, bounds, pattern):
    """Return a description of each file that a name or glob stands for; see `files.describe`.

    Args:
        lease: seconds of silence after which the controller is gone.
        folder: path of the directory that they are in.
        bounds: path of the directory that no link may lead out of, "" for `folder`.
        pattern: the glob below it, a list of names.
    """
    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.fetch import files

    agent.lease = lease
    with files.Folder(folder, bounds) as found:
        return [files.describe(agent, found, name) for name in found.find(pattern)]


def fetch_read(_server, folder, bounds, pieces):
    """Return pieces of files, in base64.

    Args:
        folder, bounds: as for `fetch_find`.
        pieces: [name, offset, length] of each.
    """
    import base64

    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.fetch import files

    with files.Folder(folder, bounds) as found:
        return [base64.b64encode(files.read(found, *piece)).decode("ascii") for piece in pieces]


FUNCTIONS = {function.__name__: function for function in (fetch_find, fetch_read)}
