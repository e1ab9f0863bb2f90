# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request for a job: all that Ansible and its worker have to know of it, checked before anything is started."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._core import (
    AUTO,
    COLLECTION_VERSION,
    LOCALHOST,
    UsageError,
    check_backend,
    check_settings,
    current_folder,
    files_of,
    new_job_id,
    own_python,
    plain,
    without_tildes,
)
from ._inventory import OPEN_HERE, Inventory, Source, resolve_inventory

LAUNCH, DEPLOY, CHECK, NETWORK, PREPARE = "launch.yml", "sync.yml", "check.yml", "network.yml", "prepare.yml"
CONTACT = "first_contact.yml"
WHAT_RUNS = {"mlx_script", "mlx_command"}


@dataclass(frozen=True)
class Surroundings:
    """The launching process, as far as a job depends on it.

    Attributes:
        cwd: its current directory, where ranks run if a host has it.
        python: path of its interpreter, the default for ranks.
        terminal: (columns, lines) of its terminal, or None.
        term: the kind of that terminal, as TERM has it.
        default_stdin: ranks that read standard input when the settings name none.
        environment: its variables, which ranks on this machine get; Ansible's own are not for them.
        outputs: (device, inode) of each file that its standard output and standard error go to.
    """

    cwd: str
    python: str
    terminal: tuple[int, int] | None = None
    term: str = ""
    default_stdin: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    outputs: Sequence[tuple[int, int]] = ()

    @classmethod
    def here(cls, *, terminal: tuple[int, int] | None = None, term: str = "", default_stdin: str | None = None) -> Surroundings:
        """Return those of this process; only a command line knows its terminal and its standard input."""
        return cls(current_folder(), own_python(), _size(terminal), term, default_stdin, dict(os.environ), files_of((1, 2)))


@dataclass(frozen=True)
class JobRequest:
    """A job, deploy, check, look at the network or preparation that is to be run.

    Attributes:
        job: its id.
        playbook: name of the playbook that does it.
        source: where hosts come from.
        group: inventory group whose hosts take part; None where variables for Ansible or of the inventory may say it.
        setup: what its worker gets over the socket, as JSON.
    """

    job: str
    playbook: str
    source: Source
    group: str | None
    setup: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        inventory: Inventory,
        settings: Mapping[str, Any],
        surroundings: Surroundings,
        *,
        playbook: str = LAUNCH,
        dry_run: bool = False,
        ranks: Sequence[Mapping[str, Any]] | None = None,
        own: Mapping[str, Any] | None = None,
        new_id: Callable[[], str] = new_job_id,
    ) -> JobRequest:
        """Return the request. Of the world, only an inventory that is named by its path is read.

        Args:
            inventory: as for `start_job`.
            settings: by name, as `as_given` returns them; None stands for "not given".
            surroundings: of the launching process.
            playbook: LAUNCH, DEPLOY, CHECK, NETWORK, PREPARE or CONTACT.
            dry_run: plan the job, ask no host and run nothing.
            ranks: rank table of an earlier job, which the hosts have to give again.
            own: options of the playbook's action that are no settings, by name.
            new_id: makes the job's id.

        Raises:
            UsageError: inventory, hostfile or settings are wrong.
        """
        given = without_tildes({name: value for name, value in settings.items() if value is not None})
        source = resolve_inventory(inventory, given.get("group") or "mlx")
        elsewhere = source.ansible.variables
        # A look at the network is to find the backend; a preparation and a first contact serve all of them.
        runs = playbook not in (NETWORK, PREPARE, CONTACT)
        if runs and source.hostfile and source.hostfile.backend and given.get("backend", AUTO) == AUTO:
            given["backend"] = check_backend(source.hostfile.backend, "hostfile: ")
        checked = check_settings(given, job=playbook == LAUNCH and not WHAT_RUNS & set(elsewhere))
        job = new_id()
        setup = {
            "settings": given,
            "job": job,
            "inventory": source.origin,
            "slots": source.slots,
            "default_cwd": surroundings.cwd,
            "default_python": surroundings.python,
            "default_stdin": surroundings.default_stdin,
            "hostfile": source.hostfile.data("list") if source.hostfile else None,
            "terminal": surroundings.terminal,
            "term": surroundings.term,
            "environment": dict(surroundings.environment),
            "outputs": [list(output) for output in surroundings.outputs],
            "version": COLLECTION_VERSION,
            "package": str(Path(__file__).parent),
            "dry_run": dry_run,
            "ranks": ranks,
            "own": dict(own or {}),
        }
        return cls(job, playbook, source, checked.group if given.get("group") else None, setup)

    def check_script(self) -> None:
        """Raise UsageError for a script that can be none, as far as that is seen on this machine."""
        settings, cwd, hostfile = self.setup["settings"], self.setup["default_cwd"], self.source.hostfile
        script = settings.get("script")
        if script and self.playbook == LAUNCH:
            all_here = hostfile is not None and all(entry.ssh == LOCALHOST for entry in hostfile.entries)
            wrong = _wrong_script(
                Path(cwd, settings.get("cwd") or "", script), all_here=all_here, brought=settings.get("sync") is not False
            )
            if wrong:
                raise UsageError(script.removeprefix(f"{cwd}/") + wrong)


def _wrong_script(path: Path, *, all_here: bool, brought: bool) -> str:
    """Return why a script can be none, to follow its name, "" when it can.

    Args:
        path: of the script on this machine, if it is here.
        brought: whether it is brought to the hosts then.
        all_here: whether all ranks run on this machine. Else hosts may have another file at that path.
    """
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return ""  # who runs the ranks may see it
    except OSError:
        return " is a link that leads nowhere" if brought and _is_link(path) else ": no such file" if all_here else ""
    if stat.S_ISDIR(mode):
        return " is a directory without a __main__.py" if all_here and not (path / "__main__.py").is_file() else ""
    if not stat.S_ISREG(mode):
        return f" is {'a pipe' if stat.S_ISFIFO(mode) else 'something special'}, not a file; ranks run a script from a file"
    if str(path).startswith(OPEN_HERE):
        return " is a file that this process has open, and no rank; name the file itself"
    return ""


def _is_link(path: Path) -> bool:
    with suppress(OSError):  # a name that is too long
        return path.is_symlink()
    return False


def _size(terminal: Any) -> tuple[int, int] | None:
    """Return the size of a terminal that a program gives."""
    size = plain(terminal)
    if size is None:
        return None
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(number, int) and 0 < number < 65536 for number in size):
        raise UsageError(f"terminal: want (columns, lines), two numbers, not {terminal!r}")
    return size[0], size[1]
