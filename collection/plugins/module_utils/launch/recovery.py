# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rest of a job whose connection was lost: output, exits, and the proof that nothing is left running."""

from __future__ import annotations

import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.folder import find_folder, mark_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.processes import end_all
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.spool import Spool
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.status import Status
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.stream import CHUNK, STREAMS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire


class Recovery:
    """Everything of a job that a lost connection did not carry.

    Args:
        spec: its `RecoverySpec`.
        link: the `ControllerLink`.

    Attributes:
        status: the job's folder, None when there is none.
    """

    def __init__(self, spec, link):
        self._spec = spec
        self._link = link
        self.status = None

    def run(self):
        """Wait until the earlier supervisor is gone, then send everything."""
        spec = self._spec
        try:
            folder = find_folder(spec.job, spec.index)
            self.status = Status.reopen(folder, spec.patience) if folder else None
        except OSError as exc:
            self._link.send_json(wire.REFUSED, {"problems": ["the earlier supervisor is still at work: %s" % exc.strerror]})
            return
        names = {str(pid): name for pid, name in end_all(mark_of(spec.job, spec.index), set(), 0).items()}
        for rank, have in spec.have.items():
            self._send_rank(int(rank), have)
        self._link.send_json(wire.DONE, {"remaining": names, "known": self.status is not None})

    def _send_rank(self, rank, have):
        if self.status is None:
            return
        for name, kind in STREAMS.items():
            spool = Spool.reopen(os.path.join(self.status.folder, "rank%d.%s" % (rank, name)))
            self._send_stream(rank, kind, spool, have[name])
            spool.close()
        if rank in self.status.ranks:
            self._link.send_json(wire.EXITED, self.status.ranks[rank], rank)

    def _send_stream(self, rank, kind, spool, offset):
        while offset < spool.end:
            data = spool.read(offset, CHUNK)
            if not data:
                offset = spool.after_gap(offset)
                continue
            self._link.send(wire.encode(kind, data, rank, offset))
            self._link.flush(wait=True)
            offset += len(data)
