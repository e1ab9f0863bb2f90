# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: events as text for a person. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._checktable import WIDTH, render
from ._plantext import render_plan
from ._verdict import Row

_BOLD_RED, _YELLOW, _DIM, _OFF = "\033[1;31m", "\033[33m", "\033[2m", "\033[0m"
_NAMED = 8  # ranks named in one line
_RANK_COLOURS = ("\033[36m", "\033[32m", "\033[35m", "\033[34m", "\033[33m")


def make_prefix(host_of: Mapping[int, str], colour: bool) -> Callable[[Any], bytes]:
    """Return the function that gives the bytes before each line of (rank, stream): `[rank host] `."""

    def prefix(source: Any) -> bytes:
        rank = source[0]
        if rank not in host_of:
            return b""
        text = f"[{rank} {host_of[rank]}] "
        return (f"{_RANK_COLOURS[rank % len(_RANK_COLOURS)]}{text}{_OFF}" if colour else text).encode()

    return prefix


class Describer:
    """Say what happened, in the words a person at a terminal wants; None for what goes without saying.

    Args:
        colour: use it.
        verbose: tell also what goes well.
    """

    def __init__(self, colour: bool, verbose: bool) -> None:
        self._colour = colour
        self._verbose = verbose

    def __call__(self, event: Mapping[str, Any]) -> str | None:
        method = getattr(self, f"_{event['event']}", None)
        text = method(event) if method else None
        return text if text else None

    def _say(self, text: str, colour: str = "") -> str:
        line = f"mlxlaunch: {text}"
        return f"{colour}{line}{_OFF}" if self._colour and colour else line

    def _job_started(self, event: Mapping[str, Any]) -> str | None:
        return self._say(f"job {event['job']}: {event['world_size']} ranks on {len(event['hosts'])} hosts", _DIM) if self._verbose else None

    def _host_ready(self, event: Mapping[str, Any]) -> str | None:
        text = f"{event['host']} is ready (working directory {event['cwd']}, supervisor on Python {event['supervisor_python']})"
        return self._say(text, _DIM) if self._verbose else None

    def _rank_started(self, event: Mapping[str, Any]) -> str | None:
        return self._say(f"rank {event['rank']} runs on {event['host']}, process {event['pid']}", _DIM) if self._verbose else None

    def _waiting(self, event: Mapping[str, Any]) -> str:
        return self._say(event["text"], _DIM)

    def _warning(self, event: Mapping[str, Any]) -> str:
        where = f"{event['host']}: " if event["host"] else ""
        return self._say(f"warning: {where}{event['text']}", _YELLOW)

    def _mpirun_said(self, event: Mapping[str, Any]) -> str:
        lines = event["text"].splitlines()
        return "\n".join(self._say(f"{event['name']} on {event['host']}: {line}", _DIM) for line in lines if line.strip())

    def _host_lost(self, event: Mapping[str, Any]) -> str:
        return self._say(f"{event['host']}: {event['text']}; trying to reach it again", _YELLOW)

    def _job_stopping(self, event: Mapping[str, Any]) -> str:
        which = "the other ranks" if event["cause"] == "rank_failed" else "the ranks"
        return self._say(f"{event['text']}; ending {which}", _BOLD_RED)

    def _job_finished(self, event: Mapping[str, Any]) -> str | None:
        if event["problems"]:
            return self._not_ready(event)
        if event["returncode"] == 0:
            where = f"; logs in {event['run_dir']}" if event["run_dir"] else ""
            return self._say(f"all ranks returned 0 after {event['duration']:.1f} s{where}", _DIM) if self._verbose else None
        return self._failed(event)

    def _host_deployed(self, event: Mapping[str, Any]) -> str:
        return self._say(f"{event['host']}: brought the {event['what']} to {event['path']}", _DIM)

    def _deploy_finished(self, event: Mapping[str, Any]) -> str | None:
        if event["problems"]:
            return self._not_ready(event)
        if event["returncode"]:
            return self._say(event["message"], _BOLD_RED)
        return self._say(f"{event['message']} ({event['duration']:.1f} s)", _DIM)

    def _job_planned(self, event: Mapping[str, Any]) -> str:
        return render_plan(event["plan"])

    def _check_finished(self, event: Mapping[str, Any]) -> str:
        rows = [Row.from_json(row) for row in event["checks"]]
        table = [render(rows, event["width"] or WIDTH, colour=self._colour)] if rows else []
        return "\n\n".join([*table, self._say(event["message"], _BOLD_RED if event["returncode"] else "")])

    def _not_ready(self, event: Mapping[str, Any]) -> str:
        hosts_with: dict[str, list[str]] = {}
        for host, problems in event["problems"].items():
            for problem in problems:
                hosts_with.setdefault(problem, []).append(host)
        rows = [(_some(hosts), problem) for problem, hosts in hosts_with.items()]
        width = max(len(hosts) for hosts, _problem in rows)
        lines = [self._say(event["message"], _BOLD_RED)]
        return "\n".join(lines + [f"  {hosts:<{width}}  {problem}" for hosts, problem in rows])

    def _failed(self, event: Mapping[str, Any]) -> str:
        lines = [self._say(f"{event['message']} (exit status {event['returncode']})", _BOLD_RED)]
        failure = event["first_failure"]
        if failure and failure["tail"]:
            lines.append("  its last lines:")
            lines += [f"    {line}" for line in failure["tail"]]
        first = failure["rank"] if failure else None
        lines += _row(
            "failed after it", [row for row in event["ranks"] if row["returncode"] and not row["stopped"] and row["rank"] != first]
        )
        lines += _row("ended because of it", [row for row in event["ranks"] if row["stopped"]])
        lines += _row("end unknown", [row for row in event["ranks"] if row["returncode"] is None])
        if event["run_dir"]:
            lines.append(f"  logs: {event['run_dir']}")
        return "\n".join(lines)


def _some(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    return ", ".join(hosts[:_NAMED]) + more


def _row(title: str, ranks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line that names ranks, or none."""
    if not ranks:
        return []
    names = ", ".join(f"{rank['rank']} ({rank['host']}{_how(rank)})" for rank in ranks[:_NAMED])
    more = f" and {len(ranks) - _NAMED} more" if len(ranks) > _NAMED else ""
    return [f"  {title}: {'rank' if len(ranks) == 1 else 'ranks'} {names}{more}"]


def _how(rank: Mapping[str, Any]) -> str:
    if rank["returncode"] is None:
        return ""
    return f", {rank['signal']}" if rank["signal"] else f", code {rank['returncode']}"
