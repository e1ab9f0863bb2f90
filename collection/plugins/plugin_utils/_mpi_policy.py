# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what is different for a gang that mpirun wires up. Events in, actions out.

The ranks start some time after the go, when mpirun has reached every host, and mpirun may fail on its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..module_utils import _wire as wire
from ._errors import EXIT_NOT_READY, UsageError
from ._exits import RankEnd, signal_name
from ._mpi import MpiJob
from ._policy import RUNNING, STOPPING, Cause, Limits, Policy, first_of

# Seconds for the news of a rank that failed, which mpirun may have had sooner than this side; and for those of one that
# has started, when mpirun says that all is well.
_NEWS = 0.5
_LATE = 5.0
# It loses a race against its own child and says so; nothing follows from it.
_NOISE = re.compile(r"^.*plm:\w+: Warning: setpgid\(.*\) failed in parent.*\n?", re.MULTILINE)
# MPI_ERR_UNKNOWN: what the fifth series of Open MPI ends a rank with when the connection to another one is gone.
_PEER_GONE = 14
_KEPT = 2000  # characters of what mpirun said last
_SHOWN = 6  # lines of it


class MpiPolicy(Policy):
    """The state of one job under mpirun; see `Policy`."""

    def __init__(self, job: MpiJob, limits: Limits, now: float, declared: Collection[str] = ()) -> None:
        super().__init__(job.table, limits, now, declared)
        self.use(job)
        self._missing = {rank.rank for rank in job.table.ranks}
        self._start_by = 0.0
        self._said = ""
        self._blame_at = 0.0  # when a rank that seems to have followed another is to blame after all; 0 for no such
        self._failed: tuple[float, Cause] | None = None
        self._finished: tuple[float, Cause] | None = None

    def use(self, job: MpiJob) -> None:
        """Take the job as it is planned now: after a deploy, mpirun may be elsewhere."""
        self._job, self.settle = job, job.settle

    def on_wanted(self, host: str, message: Mapping[str, Any]) -> None:
        """Mpirun, on `host`, wants its daemon started on another one."""
        if self.phase != RUNNING:
            # The other one may have confirmed already that nothing runs there.
            self._tell(host, wire.ANSWER, {"id": message["id"], "code": 1})
            return
        try:
            target, daemon = self._job.daemon(message["host"], message["words"])
        except UsageError as exc:
            self._report("warning", host, text=str(exc))
            self._tell(host, wire.ANSWER, {"id": message["id"], "code": 1})
            return
        self._tell(target, wire.DAEMON, daemon)
        # As ssh does when the daemon detaches; should it not start, `on_left` tells.
        self._tell(host, wire.ANSWER, {"id": message["id"], "code": 0})

    def on_said(self, host: str, name: str, text: str) -> None:
        """Mpirun or its daemon has printed something. While the job is being ended it talks of the consequences."""
        text = _NOISE.sub("", text)
        self._said = (self._said + text)[-_KEPT:]
        if self.phase != STOPPING and text.strip():
            self._report("mpirun_said", host, name=name, text=text)

    def on_left(self, host: str, how: Mapping[str, Any], now: float) -> None:
        """Mpirun or its daemon has ended on a host."""
        failed = how["code"] or how["signal"]
        if self.phase != RUNNING or self._all_ended or (how["name"] != "mpirun" and not failed):
            return
        what = f"{how['name'] if how['name'] == 'mpirun' else 'the daemon of mpirun'} on {host}"
        status = f"was killed by {signal_name(how['signal'])}" if how["signal"] else f"ended with status {how['code']}"
        text = f"{what}: {how['error']}" if how["error"] else f"{what} {status} while ranks were to run{self._words()}"
        returncode = EXIT_NOT_READY if self._missing or not failed else (128 + how["signal"] if how["signal"] else how["code"])
        # With an error no rank is to blame, whatever becomes of those that have started.
        cause = Cause("mpirun_unusable" if how["error"] else "mpirun_failed", returncode, text)
        if failed:
            self._failed = self._failed or (now if how["error"] else now + _NEWS, cause)
        else:
            self._finished = (now + _LATE, cause)

    @property
    def first_failure(self) -> RankEnd | None:
        """The rank that failed first; not one whose MPI gave up because another was gone, unless there are only those."""
        failed = [end for end in self.ends.values() if end.failed and not end.stopped]
        return first_of(end for end in failed if end.code != _PEER_GONE) or first_of(failed)

    def _on_failed(self, now: float) -> None:
        """A rank has failed; when it seems to have followed another, whose news is still to come, wait for that."""
        first = self.first_failure
        if first and first.code == _PEER_GONE and self.phase == RUNNING:
            self._blame_at = self._blame_at or now + _NEWS
        else:
            super()._on_failed(now)

    def on_started(self, rank: int, pid: int) -> None:
        """A rank's process exists."""
        super().on_started(rank, pid)
        self._missing.discard(rank)

    def on_exited(self, rank: int, how: Mapping[str, Any], now: float) -> None:
        """A rank's process has ended."""
        super().on_exited(rank, how, now)
        self._missing.discard(rank)
        if self.phase == RUNNING and self._all_ended:
            # mpirun and its daemons end by themselves; this is where their time begins to count.
            for host in self.hosts:
                self._tell(host, wire.STOP, {"grace": self.limits.grace})

    def on_tick(self, now: float) -> None:
        """Do what is due."""
        super().on_tick(now)
        if self.phase != RUNNING:
            return
        self._start_by = self._start_by or now + self.limits.connect
        if self._blame_at and now >= self._blame_at:
            super()._on_failed(now)
        elif self._ended and now >= self._ended[0]:
            self._stop(self._ended[1], now)
        elif self._missing and now >= self._start_by:
            self._stop(Cause("not_started", EXIT_NOT_READY, self._not_started()), now)

    def deadline(self) -> float:
        """Return when `on_tick` has to be called at the latest."""
        times = [super().deadline()]
        if self.phase == RUNNING:
            times += [self._start_by] if self._missing else []
            times += [self._ended[0]] if self._ended else []
            times += [self._blame_at] if self._blame_at else []
        return min(times)

    @property
    def _ended(self) -> tuple[float, Cause] | None:
        """When the end of mpirun ends the job, and why.

        When it is content all ranks have ended, and what they have printed may be in the way of that news for long.
        """
        return self._failed or (self._finished if self._missing else None)

    @property
    def _all_ended(self) -> bool:
        return len(self.ends) == self.table.world_size

    def _not_started(self) -> str:
        hosts = list(dict.fromkeys(rank.host for rank in self.table.ranks if rank.rank in self._missing))
        ranks = ", ".join(str(rank) for rank in sorted(self._missing)[:8])
        return (
            f"mpirun has not started rank {ranks} on {', '.join(hosts)} within {self.limits.connect:g} s; its daemons connect to "
            f"{self.table.hosts[0]} on any address of it: is there a firewall, or an interface that leads nowhere "
            f"(--mpi-arg '--mca oob_tcp_if_include en0')?{self._words()}"
        )

    def _words(self) -> str:
        lines = [line.strip() for line in self._said.splitlines() if line.strip(" -\t")]
        return "; it said: " + " / ".join(lines[-_SHOWN:]) if lines else ""
