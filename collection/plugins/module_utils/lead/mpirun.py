# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part that mpirun plays in a job whose ranks it starts.

The ranks start some time after the go, when mpirun has reached every host, and mpirun may fail on its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.actions import Action, Emit, Send
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.host import UnexpectedEvent
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.limits import Limits
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.mpi_job import MpiJob, NotAHost
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause, cause_of, first_of
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_end import RankEnd, signal_name
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.exit_status import EXIT_NOT_READY

# Seconds for the news of a rank that failed, which mpirun may have had sooner than this side; and for those of one that
# has started, when mpirun ended with success.
_NEWS = 0.5
_LATE = 5.0
# It loses a race against its own child and prints so; nothing follows from it.
_NOISE = re.compile(r"^.*plm:\w+: Warning: setpgid\(.*\) failed in parent.*\n?", re.MULTILINE)
# MPI_ERR_UNKNOWN: the fifth series of Open MPI ends a rank with it when the connection to another one is gone.
_PEER_GONE = 14
_KEPT = 2000  # characters of mpirun's last output
_SHOWN = 6  # lines of it

Facts = Mapping[str, Mapping[str, Any]]  # by host


def blame_under_mpirun(failures: Iterable[RankEnd]) -> RankEnd | None:
    """Return the first failure; of ranks that only lost their connection to another when there is no other failure."""
    failed = list(failures)
    return first_of(end for end in failed if end.code != _PEER_GONE) or first_of(failed)


class MpirunMachine:
    """The state of mpirun in one run of a job, for a `Policy`.

    Args:
        job: the job as mpirun has it.
        limits: its times.

    Attributes:
        blame: chooses the failure that is to blame.
    """

    def __init__(self, job: MpiJob, limits: Limits) -> None:
        self.blame = blame_under_mpirun
        self._job = job
        self._limits = limits
        self._not_started = {rank.rank for rank in job.table.ranks}
        self._start_by = 0.0  # set by the first call of `due`, which is wanted at once
        self._blame_at = 0.0  # when a rank that seems to have followed another is to blame after all; 0 for no such
        self._printed = ""
        self._daemons: set[str] = set()  # hosts that were asked for one
        # The time at which its end, as a failure or as a success, ends the job; and the cause.
        self._failed: tuple[float, Cause] | None = None
        self._succeeded: tuple[float, Cause] | None = None

    # -- events

    def on_rank(self, rank: int) -> None:
        """A rank has started, or has ended."""
        self._not_started.discard(rank)

    def wanted(self, host: str, message: Mapping[str, Any], facts: Facts, *, running: bool) -> list[Action]:
        """Return the actions for a request of mpirun for its daemon on another host.

        Args:
            host: the host of mpirun.
            message: the request.
            facts: of all hosts.
            running: whether ranks may run. Else the other host may have confirmed already that nothing runs there.

        Raises:
            WireError: mpirun does not run there, or would not ask for that.
        """
        if host != self._job.head:
            raise UnexpectedEvent(f"{host}: asks for a daemon of mpirun, which runs on {self._job.head}")
        refusal = Send(host, wire.ANSWER, {"id": message["id"], "code": 1})
        if not running:
            return [refusal]
        try:
            target, daemon = self._job.daemon(message["host"], message["words"], facts)
        except NotAHost as exc:
            return [Emit("warning", host, details={"text": str(exc)}), refusal]
        if target in self._daemons:
            raise UnexpectedEvent(f"{host}: asks for a second daemon of mpirun on {target}")
        self._daemons.add(target)
        # The answer of ssh when the daemon detaches; should it not start, `exited` has it.
        return [Send(target, wire.DAEMON, daemon), Send(host, wire.ANSWER, {"id": message["id"], "code": 0})]

    def said(self, text: str) -> str:
        """Keep output of mpirun or its daemon; return it without noise, and empty when nothing else is in it."""
        text = _NOISE.sub("", text)
        self._printed = (self._printed + text)[-_KEPT:]
        return text if text.strip() else ""

    def exited(self, host: str, how: Mapping[str, Any], now: float) -> None:
        """Mpirun or its daemon has ended on a host before all ranks have; the success of a daemon is no news."""
        cause = self._cause(host, how)
        if how["code"] or how["signal"]:
            # With an error no rank is to blame, whatever becomes of those that have started.
            self._failed = self._failed or (now if how["error"] else now + _NEWS, cause)
        elif how["name"] == "mpirun":
            self._succeeded = (now + _LATE, cause)

    def doubts(self, failure: RankEnd, now: float) -> bool:
        """Return whether a rank seems to have followed another that failed, whose news is awaited for a moment."""
        if failure.code != _PEER_GONE:
            return False
        self._blame_at = self._blame_at or now + _NEWS
        return True

    # -- the clock; only while ranks run

    def due(self, now: float, failure: RankEnd | None) -> Cause | None:
        """Return the cause for which the job ends now, or None.

        Args:
            now: monotonic seconds.
            failure: the failure of a rank that is to blame so far.
        """
        self._start_by = self._start_by or now + self._limits.connect
        if failure and self._blame_at and now >= self._blame_at:
            return cause_of(failure)
        if self._ended and now >= self._ended[0]:
            return self._ended[1]
        if self._not_started and now >= self._start_by:
            return Cause("not_started", EXIT_NOT_READY, self._overdue())
        return None

    @property
    def deadline(self) -> float:
        """When `due` has to be called at the latest; infinity when it need not be."""
        times = [self._start_by] if self._not_started else []
        times += [self._ended[0]] if self._ended else []
        times += [self._blame_at] if self._blame_at else []
        return min(times, default=float("inf"))

    @property
    def _ended(self) -> tuple[float, Cause] | None:
        """The time at which the end of mpirun ends the job, and the cause.

        With its success all ranks have ended, and their output may be in the way of that news for long.
        """
        return self._failed or (self._succeeded if self._not_started else None)

    # -- texts

    def _cause(self, host: str, how: Mapping[str, Any]) -> Cause:
        service = f"{'mpirun' if how['name'] == 'mpirun' else 'the daemon of mpirun'} on {host}"
        if how["error"]:
            return Cause("mpirun_unusable", self._returncode(how), f"{service}: {how['error']}")
        status = f"was killed by {signal_name(how['signal'])}" if how["signal"] else f"ended with status {how['code']}"
        return Cause("mpirun_failed", self._returncode(how), f"{service} {status} while ranks were to run{self._last_output()}")

    def _returncode(self, how: Mapping[str, Any]) -> int:
        if self._not_started or not (how["code"] or how["signal"]):
            return EXIT_NOT_READY
        return int(128 + how["signal"] if how["signal"] else how["code"])

    def _overdue(self) -> str:
        table = self._job.table
        hosts = list(dict.fromkeys(rank.host for rank in table.ranks if rank.rank in self._not_started))
        ranks = ", ".join(str(rank) for rank in sorted(self._not_started)[:8])
        return (
            f"mpirun has not started rank {ranks} on {', '.join(hosts)} within {self._limits.connect:g} s; its daemons connect to "
            f"{table.hosts[0]} on any address of it: is there a firewall, or an interface that leads nowhere "
            f"(--mpi-arg '--mca oob_tcp_if_include en0')?{self._last_output()}"
        )

    def _last_output(self) -> str:
        lines = [line.strip() for line in self._printed.splitlines() if line.strip(" -\t")]
        return "; it said: " + " / ".join(lines[-_SHOWN:]) if lines else ""
