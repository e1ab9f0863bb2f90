# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a job on one host as a state machine, from the wait for its go to the last byte sent.

WAITING   ready, or refused; no rank runs
RUNNING   the ranks were started, or mpirun that starts them
ENDING    processes of ranks get TERM, and KILL after the grace
CLOSING   no process of a rank is left; mpirun may be
DRAINING  nothing runs; output is on its way
DONE      the controller has been sent everything
"""

from __future__ import annotations

import time

WAITING, RUNNING, ENDING, CLOSING, DRAINING, DONE = "WAITING", "RUNNING", "ENDING", "CLOSING", "DRAINING", "DONE"

# A stop, or a go, may have been sent before the controller could know that it comes too late.
_NEXT = {
    (WAITING, "go"): RUNNING,
    (WAITING, "stop"): ENDING,
    (RUNNING, "stop"): ENDING,
    (RUNNING, "all exited"): ENDING,
    (ENDING, "go"): ENDING,
    (ENDING, "stop"): ENDING,
    (ENDING, "all exited"): ENDING,
    (ENDING, "ranks gone"): CLOSING,
    (CLOSING, "go"): CLOSING,
    (CLOSING, "stop"): CLOSING,
    (CLOSING, "all exited"): CLOSING,
    (CLOSING, "nothing runs"): DRAINING,
    (DRAINING, "go"): DRAINING,
    (DRAINING, "stop"): DRAINING,
    (DRAINING, "all exited"): DRAINING,  # of one that could not be ended in time
    (DRAINING, "all sent"): DONE,
    (DONE, "go"): DONE,
    (DONE, "stop"): DONE,
    (DONE, "all exited"): DONE,
}


class Misfit(Exception):
    """An event that cannot happen in this phase."""


class Ending:
    """The phase of a job on this host, and the end of its ranks.

    Args:
        start_ender: returns the `Ender` of the job's ranks, given the grace and the time.
        clock: returns monotonic seconds.

    Attributes:
        phase: see above.
        stopped: whether ranks were ended on request, as opposed to by themselves.
        remaining: processes that could not be ended, as {process id: name}.
        left_behind: processes that had to be ended after ranks that ended by themselves.
    """

    def __init__(self, start_ender, clock=time.monotonic):
        self.phase = WAITING
        self.stopped = False
        self.remaining = {}
        self.left_behind = {}
        self._start_ender = start_ender
        self._clock = clock
        self._ender = None

    def _move(self, event):
        """Return the phase before an event, and go on to the next."""
        before = self.phase
        if (before, event) not in _NEXT:
            raise Misfit("%s does not fit %s" % (event, before))
        self.phase = _NEXT[before, event]
        return before

    @property
    def over(self):
        """Whether nothing of the job runs here any more."""
        return self.phase in (DRAINING, DONE)

    def go(self):
        """Return whether the ranks are to be started: not when the job is being ended already."""
        return self._move("go") == WAITING

    def stop(self, grace):
        """End the ranks, without any grace at once; nothing to do when they have ended by themselves."""
        before = self._move("stop")
        if before in (WAITING, RUNNING):
            self.stopped = True
            self._end(grace)
        elif before == ENDING and grace == 0:
            self._ender.hurry(self._clock())

    def all_exited(self, grace):
        """End the processes that the ranks have left running: they go with them."""
        if self._move("all exited") == RUNNING:
            self._end(grace)

    def _end(self, grace):
        self._ender = self._start_ender(grace, self._clock())

    def next_look(self):
        """Return the time of the next look at the processes, None when no rank is being ended."""
        return self._ender.next_look if self._ender else None

    def ranks_gone(self, dying=False):
        """Look at the processes when it is time; return True once, when none of them is left or can be ended.

        Args:
            dying: whether the exit of a rank is still to be reported. A process with threads is not listed any more
                some time before its exit can be known.
        """
        now = self._clock()
        if self.phase != ENDING or now < self._ender.next_look or not self._ender.look(now):
            return False
        if dying and self._ender.postpone(now):
            return False
        self._move("ranks gone")
        self.left_behind = {} if self.stopped else self._ender.seen
        self.remaining = self._ender.remaining
        self._ender = None
        return True

    def nothing_runs(self):
        """Note that mpirun has ended too."""
        self._move("nothing runs")

    def all_sent(self):
        """Note that all output was given to the link."""
        self._move("all sent")
