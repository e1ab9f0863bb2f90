# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepare this host item by item, and take that back. What was there is recorded before it is changed.

An item reads its settings, {name: text}; says which ones are wanted; and gives the steps from some to others. Undoing
goes from the present settings to the recorded ones by the same steps, also after a run that broke off. A setting that
is neither what was recorded nor what was set here is somebody else's, and is left alone.
"""

from __future__ import annotations

import resource

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.record import LINUX_FOLDER, MAC_FOLDER, Record
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare import sessions
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.firewall import Firewall
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.mac_limits import LaunchdLimit, WiredLimit
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.power import Power
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import DARWIN, LINUX, Host, NotHere
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed

RIGHT, CHANGED, WOULD, NOT_HERE, FAILED, BY_HAND = "right", "changed", "would change", "not here", "failed", "by hand"
_AT_START = "this macOS takes it only when it starts: in force after the next restart"
_UNDO = "mlxlaunch prepare --undo takes back what was done"
_AWAKE = dict.fromkeys(("sleep", "disksleep", "standby", "autopoweroff"), "0")
_FOLDERS = {DARWIN: MAC_FOLDER, LINUX: LINUX_FOLDER}

ITEMS = {
    DARWIN: {
        "sleep": Power(_AWAKE, "this Mac has no such settings for mains power"),
        "power_failure": Power({"autorestart": "1"}, "this Mac has no such setting, as it has a battery"),
        "wired_limit": WiredLimit(),
        "open_files": LaunchdLimit("open_files", "maxfiles", "kern.maxfilesperproc", "kern.maxfiles", fixed=False),
        "processes": LaunchdLimit("processes", "maxproc", "kern.maxprocperuid", "kern.maxproc", fixed=True),
        "firewall": Firewall(),
    },
    LINUX: {
        "open_files": sessions.SessionLimit("nofile", resource.RLIMIT_NOFILE, ["/proc/sys/fs/nr_open"]),
        "processes": sessions.SessionLimit("nproc", resource.RLIMIT_NPROC, ["/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"]),
        "linger": sessions.Linger(),
    },
}
_ELSEWHERE = {DARWIN: "for Linux; this is a Mac", LINUX: "for Macs; this is Linux"}


def prepare(agent, wishes, trial, python, folder=None):
    """Let items be as they are wanted.

    Args:
        agent: runs programs.
        wishes: values by name of the item.
        trial: change nothing, only tell.
        python: the ranks' Python, by its path.
        folder: directory of the record, where it is not the usual one.

    Returns:
        {"system": Darwin or Linux, "items": [{"name", "state", "before", "after", "text", "commands"}]}

    Raises:
        CallFailed: the record cannot be used.
    """
    host = Host(agent, python)

    def rows(record, change):
        return [_Work(host, record, name, change).prepare(value) for name, value in wishes.items()]

    return _answer(host, trial, folder, rows)


def undo(agent, trial, folder=None):
    """Let recorded items be as they were before; return and raise as `prepare`. The record of what is back goes."""
    host = Host(agent)

    def rows(record, change):
        return [_Work(host, record, name, change).undo() for name in list(record.entries)]

    return _answer(host, trial, folder, rows)


def _answer(host, trial, folder, rows):
    record = Record(folder or _FOLDERS[host.system], "prepare", "items", "set the host back by hand")
    if trial or not host.is_root:
        found = rows(record.read(), WOULD if trial else BY_HAND)
    else:
        with record:
            found = rows(record, CHANGED)
    return {"system": host.system, "items": found}


class _Work:
    """The work on one item.

    Args:
        host: where it is.
        record: what was there before.
        name: of the item.
        change: state of the item when something is to be changed: CHANGED, or else nothing is.
    """

    def __init__(self, host, record, name, change):
        self._host = host
        self._record = record
        self._name = name
        self._change = change
        self._item = ITEMS[host.system].get(name)

    def prepare(self, value):
        """Let it be as it is wanted; return its row."""
        try:
            if self._item is None:
                raise NotHere(_ELSEWHERE[self._host.system])
            now = self._item.read(self._host)
            wanted = self._item.wanted(self._host, now, value)
            steps = self._item.steps(self._host, now, wanted)
            if steps and self._waits(steps):
                return self._row(RIGHT, now, now, _AT_START)
            if steps and self._change == CHANGED:
                self._remember(now, wanted)
            return self._go(now, wanted, steps, [self._later()] if steps else [])
        except NotHere as exc:
            return self._row(NOT_HERE, text=str(exc))
        except CallFailed as exc:
            return self._row(FAILED, text=str(exc))
        except OSError as exc:
            return self._row(FAILED, text=_of(exc))

    def undo(self):
        """Let it be as it was recorded, and forget the record; return its row."""
        entry = self._record.entries[self._name]
        try:
            if self._item is None:
                raise CallFailed("another version of mlxlaunch has set it, which has to take it back")
            now = self._item.read(self._host, entry["before"])
            wanted, foreign = _taken_back(now, entry)
            row = self._go(now, wanted, self._item.steps(self._host, now, wanted), foreign)
            if row["state"] in (RIGHT, CHANGED) and self._change == CHANGED:
                self._record.forget(self._name)
            return row
        except (NotHere, CallFailed) as exc:
            return self._row(FAILED, text=str(exc))
        except OSError as exc:
            return self._row(FAILED, text=_of(exc))

    def _go(self, now, wanted, steps, notes):
        commands = [command for step in steps for command in step.commands]
        state, text = (self._change if steps else RIGHT), "; ".join(note for note in notes if note)
        if steps and self._change == CHANGED:
            reason, deferred = self._perform(wanted, steps)
            if reason:
                return self._row(FAILED, now, wanted, "%s; %s" % (reason, _UNDO), commands)
            self._note_deferred(deferred)
            text = "; ".join(part for part in (text, _AT_START if deferred else "") if part)
        return self._row(state, now, wanted, text, commands)

    def _perform(self, wanted, steps):
        """Run the steps; return (the reason of a failure or "", whether a restart is to bring about a part)."""
        for step in steps:
            reason = step.perform(self._host)
            if reason:
                return reason, False
        deferred = any(step.deferred for step in steps)
        # Programs of a Mac end with 0 after a refusal, too.
        now = self._item.read(self._host, wanted)
        if not deferred and self._item.steps(self._host, now, wanted):
            return "it was told to change, and is still %s" % self._item.describe(self._host, now), False
        return "", deferred

    def _remember(self, now, wanted):
        """Write down what was there before, unless something older is, and what is going to be there."""
        entry = self._record.entries.get(self._name, {"before": {}, "set": {}})
        given = {key: list(dict.fromkeys([*entry["set"].get(key, []), text])) for key, text in wanted.items()}
        self._record.put(self._name, dict(entry, before=dict(now, **entry["before"]), set=dict(entry["set"], **given)))

    def _note_deferred(self, deferred):
        entry = self._record.entries[self._name]
        if deferred != entry.get("at_start", False):
            self._record.put(self._name, dict(entry, at_start=deferred))

    def _waits(self, steps):
        """Return whether only the next restart can do what is left."""
        entry = self._record.entries.get(self._name, {})
        return entry.get("at_start") and all(step.commands[0][:2] == ["launchctl", "limit"] for step in steps)

    def _later(self):
        return sessions.LATER if isinstance(self._item, sessions.SessionLimit) else ""

    def _row(self, state, now=None, wanted=None, text="", commands=()):
        before, after = ("" if each is None else self._item.describe(self._host, each) for each in (now, wanted))
        return {"name": self._name, "state": state, "before": before, "after": after, "text": text, "commands": list(commands)}


def _of(exc):
    return ": ".join(part for part in (exc.filename, exc.strerror) if part)


def _taken_back(now, entry):
    """Return the settings to go back to, and a line for each that somebody else has set."""
    wanted, foreign = dict(now), []
    for key, before in entry["before"].items():
        if now.get(key) == before:
            continue
        if now.get(key) in entry["set"].get(key, []):
            wanted[key] = before
        else:
            foreign.append("%s was changed by somebody else since, and is left alone" % key)
    return wanted, foreign
