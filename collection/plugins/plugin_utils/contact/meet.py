# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first contact with hosts: their keys confirmed, our key installed, a Python found; all hosts at the same time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from ..hosts.access import Way
from ..hosts.descriptors import reserve
from ..hosts.progress import Emit, ProgressThrottle, doing
from ..job.errors import UsageError
from .host_key import HostKey
from .known_hosts import add_keys
from .outcome import READY, Meeting
from .target import Programs, Target
from .visit import Company, Visit, Wishes

_WAIT = 0.5  # seconds between two looks at which hosts are not met


class Contact:
    """The first contact with some hosts.

    Args:
        targets: the hosts.
        programs: runs ssh and its companions.
        wishes: how far to go.
    """

    def __init__(self, targets: Sequence[Target], programs: Programs, wishes: Wishes) -> None:
        self._company = Company(programs, wishes, {}, self._meet_jump, self._add_key)
        self._targets = targets
        self._jumps: dict[str, Future[Meeting]] = {}
        self._added: set[tuple[str, str, HostKey]] = set()
        self._lock = threading.Lock()
        self._met = threading.local()  # .jump: the jump host that a thread meets
        self._next: dict[str, str] = {}  # by jump host, the one that it waits for

    def run(self, emit: Emit) -> list[Meeting]:
        """Meet all hosts at once, and return how far it has come with each.

        Jump hosts come before the others, if there is news of them.

        Args:
            emit: takes events: kind, host, details.

        Raises:
            Cancelled: the programs were ended.
            UsageError: this machine does not allow as many open files as the hosts need.
        """
        if not self._targets:
            return []
        reserve(len(self._targets))
        found: dict[str, Meeting] = {}

        def one(target: Target) -> None:
            found[target.name] = Visit(target, self._company).run()

        with ThreadPoolExecutor(len(self._targets)) as pool:
            futures = {pool.submit(one, target): target.name for target in self._targets}
            throttle, text = ProgressThrottle(emit), doing("reaching")
            pending = set(futures)
            while pending:
                pending = wait(pending, _WAIT).not_done
                if pending:
                    waiting = [name for future, name in futures.items() if future in pending]
                    throttle.update(text(waiting, self._company.news), waiting)
            for future in futures:
                future.result()
        jumps = [future.result() for future in self._jumps.values()]
        return [jump for jump in jumps if jump.state != READY or jump.done] + [found[target.name] for target in self._targets]

    def _meet_jump(self, words: tuple[str, ...], before: tuple[str, ...]) -> Meeting:
        """Return how far it has come with a jump host, which is met once however many hosts are behind it."""
        name, behind = words[-1], getattr(self._met, "jump", "")
        with self._lock:
            if self._leads_back(name, behind):
                raise UsageError(f"ProxyJump in ssh's configuration leads from here to {name}, and from there back")
            if behind:
                self._next[behind] = name
            mine = name not in self._jumps
            future = self._jumps.setdefault(name, Future())
        if mine:
            target = Target(name, Way((words[0], "-o", "BatchMode=yes", *words[1:])), Way(words, before) if before else None)
            self._met.jump = name
            try:
                future.set_result(Visit(target, self._company).run())
            except BaseException as exc:  # noqa: BLE001 - whoever waits for it gets it
                future.set_exception(exc)
            finally:
                self._met.jump = behind
        return future.result()

    def _leads_back(self, name: str, behind: str) -> bool:
        """Return whether a jump host waits for the one that is behind it, itself or by way of others."""
        while name and name != behind:
            name = self._next.get(name, "")
        return bool(name)

    def _add_key(self, path: str, known_as: str, line: str, key: HostKey) -> None:
        """Add a host's key to a file of known hosts, once for all names that ssh looks for in the same way."""
        with self._lock:
            if (path, known_as, key) not in self._added:
                add_keys(path, [line])
                self._added.add((path, known_as, key))
