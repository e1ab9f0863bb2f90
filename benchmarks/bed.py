# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the launchers run on: a lab, inventories and hostfiles for some of its hosts, private directories."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from tests.lab import Host, Lab

from .processes import become_subreaper
from .program import reap

CHECKOUT = Path(__file__).resolve().parent.parent
RANKS = CHECKOUT / "benchmarks" / "ranks"
BIN = Path(sys.executable).parent

# What a run inherits; all else of this process's environment is left out, for all launchers alike.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR")


class Bed:
    """A lab with what the launchers need to reach it.

    Attributes:
        lab: the hosts.
        folder: private, short, gone at the end.
        masters: pids of ssh masters that are to stay open from run to run.
    """

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.masters: frozenset[int] = frozenset()

    def environment(self, sockets: Path) -> dict[str, str]:
        """Return the environment of a run whose ssh control sockets are in `sockets`."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {
            **inherited,
            "PATH": f"{BIN}{os.pathsep}{inherited.get('PATH', os.defpath)}",
            "HOME": str(self.folder),
            "TERM": "dumb",
            "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / '.ansible'}",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
        }

    @contextlib.contextmanager
    def sockets(self) -> Iterator[Path]:
        """Give an empty directory for the control sockets of ssh."""
        # The same name again and again, as for a user: what is known of an earlier run counts only with the same one.
        path = next(path for number in count() if not (path := self.folder / f"s{number}").exists())
        path.mkdir()
        yield path
        shutil.rmtree(path, ignore_errors=True)

    def inventory(self, hosts: Sequence[Host], slots: int = 1) -> Path:
        """Return an inventory of these hosts in group mlx, with so many ranks on each."""
        path = self.folder / f"{_label(hosts)}-{slots}.yml"
        names = {host.name for host in hosts}
        lines = self.lab.inventory.read_text().splitlines(keepends=True)
        text = "".join(line for line in lines if _wanted(line, names))
        path.write_text(text.replace("  vars:\n", f"  vars:\n    mlx_slots: {slots}\n", 1))
        return path

    def hostfile(self, hosts: Sequence[Host], slots: int = 1) -> Path:
        """Return an mlx.launch hostfile of these hosts, with so many ranks on each."""
        path = self.folder / f"{_label(hosts)}-{slots}.json"
        path.write_text(json.dumps([{"ssh": host.name, "ips": [host.address]} for host in hosts for _slot in range(slots)]))
        return path

    def drop_masters(self) -> None:
        """Close the ssh masters that were kept."""
        for pid in self.masters:
            reap(pid)
        self.masters = frozenset()

    def clear_runs(self) -> None:
        """Remove the run directories: a flood's log is as big as the flood."""
        shutil.rmtree(self.folder / ".local", ignore_errors=True)


@contextlib.contextmanager
def make_bed(count: int, *, personality: str = "linux") -> Iterator[Bed]:
    """Give a bed of `count` hosts with a personality of the lab; nothing of it stays."""
    become_subreaper()
    with tempfile.TemporaryDirectory(prefix="mb-") as folder, Lab.start(count, personality=personality) as lab:
        bed = Bed(lab, Path(folder))
        try:
            yield bed
        finally:
            bed.drop_masters()


def _label(hosts: Sequence[Host]) -> str:
    return f"{hosts[0].name}-{len(hosts)}"


def _wanted(line: str, names: set[str]) -> bool:
    """Return whether a line of the lab's inventory is to stay: not that of other hosts, nor where control sockets go."""
    key = line.partition(":")[0].strip()
    return key in names if key.startswith("node") else key != "ansible_control_path_dir"
