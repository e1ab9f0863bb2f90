# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events as text for a person. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..job.check_row import Row
from ..job.events import Event
from .check_table import render
from .escape import escape, escaped
from .plan_text import render_plan

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


@dataclass(frozen=True)
class Describer:
    """Turns an event into text for a person at a terminal; None for an event that needs none.

    Attributes:
        colour: use it.
        verbose: describe success as well.
    """

    colour: bool
    verbose: bool

    def __call__(self, event: Event) -> str | None:
        # A later version may send kinds that this one does not know.
        text = _TEXTS.get(event.event)
        return (text(self, _escaped(event)) or None) if text else None

    def line(self, text: str, colour: str = "") -> str:
        """Return one line of ours."""
        line = f"mlxlaunch: {text}"
        return f"{colour}{line}{_OFF}" if self.colour and colour else line

    def detail(self, text: str) -> str | None:
        """Return one line that only a verbose description has."""
        return self.line(text, _DIM) if self.verbose else None


def _escaped(event: Event) -> Event:
    """Return an event with texts that no terminal acts on; most come from hosts."""
    return replace(event, host=escape(event.host) if event.host else event.host, details=escaped(event.details))


def _job_started(to: Describer, event: Event) -> str | None:
    return to.detail(f"job {event.job}: {event.details['world_size']} ranks on {len(event.details['hosts'])} hosts")


def _host_ready(to: Describer, event: Event) -> str | None:
    details = event.details
    return to.detail(f"{event.host} is ready (working directory {details['cwd']}, supervisor on Python {details['supervisor_python']})")


def _host_environment(to: Describer, event: Event) -> str | None:
    variables = ", ".join(f"{name}={value!r}" for name, value in event.details["variables"].items())
    return to.detail(f"{event.host} itself sets {variables}")


def _rank_started(to: Describer, event: Event) -> str | None:
    return to.detail(f"rank {event.rank} runs on {event.host}, process {event.details['pid']}")


def _waiting(to: Describer, event: Event) -> str:
    return to.line(event.details["text"], _DIM)


def _note(to: Describer, event: Event) -> str:
    return to.line(event.details["text"], _DIM)


def _warning(to: Describer, event: Event) -> str:
    where = f"{event.host}: " if event.host else ""
    return to.line(f"warning: {where}{event.details['text']}", _YELLOW)


def _mpirun_said(to: Describer, event: Event) -> str:
    lines = event.details["text"].splitlines()
    return "\n".join(to.line(f"{event.details['name']} on {event.host}: {line}", _DIM) for line in lines if line.strip())


def _host_lost(to: Describer, event: Event) -> str:
    return to.line(f"{event.host}: {event.details['text']}; trying to reach it again", _YELLOW)


def _job_stopping(to: Describer, event: Event) -> str:
    which = "the other ranks" if event.details["cause"] == "rank_failed" else "the ranks"
    return to.line(f"{event.details['text']}; ending {which}", _BOLD_RED)


def _job_finished(to: Describer, event: Event) -> str | None:
    details = event.details
    if details["problems"]:
        return _not_ready(to, details)
    if details["returncode"] == 0:
        if wrote := _written(details):
            return to.line(wrote, _DIM)
        where = f"; logs in {details['run_dir']}" if details["run_dir"] else ""
        return to.detail(f"all ranks returned 0 after {details['duration']:.1f} s{where}")
    return _failed(to, details)


def _host_deployed(to: Describer, event: Event) -> str:
    return to.line(f"{event.host}: brought the {event.details['what']} to {event.details['path']}", _DIM)


def _deploy_finished(to: Describer, event: Event) -> str:
    details = event.details
    if details["problems"]:
        return _not_ready(to, details)
    if details["returncode"]:
        return to.line(details["message"], _BOLD_RED)
    return to.line(f"{details['message']} ({details['duration']:.1f} s)", _DIM)


def _job_planned(_to: Describer, event: Event) -> str:
    return render_plan(event.details["plan"])


def _check_finished(to: Describer, event: Event) -> str:
    details = event.details
    rows = [Row.from_json(row) for row in details["checks"]]
    table = [render(rows, details["width"], colour=to.colour)] if rows else []
    return "\n\n".join([*table, to.line(details["message"], _BOLD_RED if details["returncode"] else "")])


def _table_finished(to: Describer, event: Event) -> str:
    details = event.details
    text = [details["text"]] if details["text"] else []
    return "\n\n".join([*text, to.line(details["message"], _BOLD_RED if details["returncode"] else "")])


def _contact_finished(to: Describer, event: Event) -> str:
    details = event.details
    done = [f"{host['host']}: {text}" for host in details["hosts"] for text in host["done"]]
    keys = [f"{host['host']}: {key['kind']} {key['fingerprint']}" for host in details["hosts"] if (key := host["key"])]
    return "\n".join([*done, *keys, to.line(details["message"], _BOLD_RED if details["returncode"] else "")])


_TEXTS: Mapping[str, Callable[[Describer, Event], str | None]] = {
    "job_started": _job_started,
    "waiting": _waiting,
    "note": _note,
    "host_deployed": _host_deployed,
    "host_ready": _host_ready,
    "host_environment": _host_environment,
    "warning": _warning,
    "rank_started": _rank_started,
    "host_lost": _host_lost,
    "mpirun_said": _mpirun_said,
    "job_stopping": _job_stopping,
    "job_finished": _job_finished,
    "job_planned": _job_planned,
    "deploy_finished": _deploy_finished,
    "check_finished": _check_finished,
    "network_finished": _table_finished,
    "prepare_finished": _table_finished,
    "contact_finished": _contact_finished,
}
# The end of the job describes the ends of ranks and refusals, together; output is shown as it is.
_QUIET = frozenset({"host_refused", "rank_output", "rank_exited", "job_refused"})


def _not_ready(to: Describer, details: Mapping[str, Any]) -> str:
    """Return the table of the problems by host; hosts with the same problem stand in one row."""
    hosts_with: dict[str, list[str]] = {}
    for host, problems in details["problems"].items():
        for problem in problems:
            hosts_with.setdefault(problem, []).append(host)
    rows = [(_some(hosts), problem) for problem, hosts in hosts_with.items()]
    width = max(len(hosts) for hosts, _problem in rows)
    lines = [to.line(details["message"], _BOLD_RED)]
    return "\n".join(lines + [f"  {hosts:<{width}}  {problem}" for hosts, problem in rows])


def _failed(to: Describer, details: Mapping[str, Any]) -> str:
    """Return the root cause with its last lines, and below it the ends of the other ranks."""
    lines = [to.line(f"{details['message']} (exit status {details['returncode']})", _BOLD_RED)]
    failure = details["first_failure"]
    if failure and failure["tail"]:
        lines.append("  its last lines:")
        lines += [f"    {line}" for line in failure["tail"]]
    first = failure["rank"] if failure else None
    lines += _row("failed after it", [row for row in details["ranks"] if row["returncode"] and not row["stopped"] and row["rank"] != first])
    lines += _row("ended because of it", [row for row in details["ranks"] if row["stopped"]])
    lines += [f"  hint: {details['hint']}"] if details.get("hint") else []
    lines += [f"  {wrote}"] if (wrote := _written(details)) else []
    lines += _row("end unknown", [row for row in details["ranks"] if row["returncode"] is None])
    if details["run_dir"]:
        lines.append(f"  logs: {details['run_dir']}")
    return "\n".join(lines)


def _written(details: Mapping[str, Any]) -> str:
    """Return the places of the files that the job has written into its project, "" for none."""
    hosts_with: dict[str, list[str]] = {}
    for host, path in details.get("written", {}).items():
        hosts_with.setdefault(path, []).append(host)
    where = "; ".join(f"{path} on {_some(hosts)}" for path, hosts in list(hosts_with.items())[:_NAMED])
    return f"it wrote files into this version of the project, which the next one will not have: {where}" if where else ""


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
