# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections with hosts, begun while Ansible starts, where an earlier run of the same request tells how.

Ansible takes half a second before its worker can reach a host. Meanwhile ssh and the hosts can do their part.
Nothing of a job is started so: a host's program waits for its worker, and ends without one. The worker takes a
connection only if its own command line for the host is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.connection import open_process
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early.kept import Commands, Place, kept_commands

from ._core import COLLECTION_VERSION, wire
from ._inventory import ReadText, Source
from ._request import CONTACT, JobRequest
from ._worker import Handed

_MOST_FILES = 2000  # of an inventory that is looked at
_MOST_BYTES = 4 * 1024 * 1024  # of one of them
_LONGEST = 20.0  # seconds that a connection may wait for its worker; a host waits for longer
_MOST = 1000  # connections; more hosts are left to the worker
_EACH, _SPARE = 8, 128  # descriptors of a connection while it is begun, and those left for all else
_PLUGIN = re.compile(rb"(?:^|[\s{,])[\"']?plugin[\"']?\s*:")  # an inventory that Ansible asks somebody for
_BESIDE = ("group_vars", "host_vars")
# Settings on which the way to a host does not depend.
_OF_RANKS = {"script", "args", "command", "env", "cwd", "timeout", "grace", "stdin", "tty", "verbose", "prefix", "log_dir", "keep_runs"}


def place_of(playbook: str, source: Source, setup: Mapping[str, Any]) -> Place | None:
    """Return where the command lines of a request are kept; None when they cannot be known beforehand.

    That is so where a program says which hosts there are, where a person has typed a password, and where an inventory
    can be read only once.

    Args:
        playbook, source, setup: as `JobRequest` has them.
    """
    ansible, settings, cwd = source.ansible, setup["settings"], setup["default_cwd"]
    texts = [*source.paths, *ansible.extra_vars]
    if ansible.passwords or ansible.vault_ids or ansible.vault_password_files or any(isinstance(text, ReadText) for text in texts):
        return None
    named = [Path(cwd, path) for path in source.paths]
    beside = [path.parent / name for path in named for name in (*_BESIDE, f"../{_BESIDE[0]}", f"../{_BESIDE[1]}")]
    read = [Path(cwd, text[1:]).expanduser() for text in ansible.extra_vars if text.startswith("@")]
    try:
        marks = [[*_marks(path)] for path in (*named, *beside, *read, *_configuration(cwd))]
    except (OSError, RuntimeError, _Unknown):  # no home directory
        return None
    script = settings.get("script") or ""
    depends = {
        "version": COLLECTION_VERSION,
        "cwd": cwd,
        "words": ansible.words,
        "data": source.data,
        "slots": source.slots,
        "settings": {name: value for name, value in settings.items() if name not in _OF_RANKS},
        "brings": bool(script) and Path(cwd, settings.get("cwd") or "", script).exists(),
        "environment": {name: os.environ[name] for name in sorted(os.environ) if name.startswith("ANSIBLE_") or name in ("HOME", "PATH")},
        "files": marks,
    }
    text = json.dumps(depends, sort_keys=True, default=str)
    return Place(json.dumps([playbook, *map(str, named)]), hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


class _Unknown(Exception):
    """The hosts are known to nobody before Ansible has asked."""


def _configuration(cwd: str) -> list[Path]:
    """Return the files in which Ansible looks for its configuration."""
    given = os.environ.get("ANSIBLE_CONFIG")
    places = [Path(cwd), Path.home(), Path("/etc/ansible")]
    return [*([Path(given).expanduser()] if given else []), *(place / f"{'.' * (place == Path.home())}ansible.cfg" for place in places)]


def _marks(path: Path) -> Iterator[tuple[str, str]]:
    """Yield what changes when a file, or one below a directory, has another content; nothing for none.

    Raises:
        _Unknown: a program, or a file that has Ansible ask one.
    """
    for place in _files(path):
        try:
            found = place.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(found.st_mode):
            continue
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o111 or found.st_size > _MOST_BYTES:
            raise _Unknown
        content = place.read_bytes()
        if _PLUGIN.search(content):
            raise _Unknown
        yield str(place), hashlib.sha256(content).hexdigest()


def _files(path: Path) -> Iterator[Path]:
    yield path
    count = 0
    for folder, folders, files in os.walk(path):
        for name in sorted((*folders, *files)):
            count += 1
            if count > _MOST_FILES:
                raise _Unknown
            yield Path(folder, name)


class Begun:
    """A connection that was begun: a process with three pipes, and the program that the host is sent.

    Args:
        argv: its command line.
        program: for the host.
    """

    def __init__(self, argv: Sequence[str], program: bytes) -> None:
        self._since = time.monotonic()
        self._argv = argv
        self._process = open_process(argv)
        self._program = program
        self._sent = 0
        self._pipes = [pipe for pipe in (self._process.stdin, self._process.stdout, self._process.stderr) if pipe]
        self._status, self._tell_by = os.pipe()
        os.set_blocking(self._pipes[0].fileno(), False)

    def feed(self) -> None:
        """Send as much of the program as the pipe takes; the worker sends the rest."""
        with suppress(OSError):
            while self._sent < len(self._program):
                self._sent += os.write(self._pipes[0].fileno(), self._program[self._sent : self._sent + 65536])

    @property
    def usable(self) -> bool:
        """Whether it may still lead to a host that waits."""
        return self._process.poll() is None and time.monotonic() < self._since + _LONGEST

    def hand_over(self) -> tuple[dict[str, Any], list[int]]:
        """Return what a worker has to know, and its descriptors, see `handed.HandedProcess`; `let_go` follows."""
        self.feed()
        told = {"argv": list(self._argv), "pid": self._process.pid, "sent": self._sent}
        return told, [*(pipe.fileno() for pipe in self._pipes), self._status]

    def let_go(self) -> None:
        """Close what the worker has now, and tell it the exit status when there is one."""
        self._close()
        threading.Thread(target=self._tell, name="mlxlaunch-early", daemon=True).start()

    def _tell(self) -> None:
        status = self._process.wait()
        with suppress(OSError):  # nobody wants to know any more
            os.write(self._tell_by, b"%d" % status)
        os.close(self._tell_by)

    def end(self) -> None:
        """End it: nobody will need it."""
        self._process.kill()
        self._process.wait()
        self._close()
        os.close(self._tell_by)

    def _close(self) -> None:
        os.close(self._status)
        for pipe in self._pipes:
            pipe.close()


class EarlyConnections:
    """The connections of one request, used by one thread. Those that no worker has taken end with the block.

    Args:
        request: the request.
    """

    def __init__(self, request: JobRequest) -> None:
        self._setup = request.setup
        asks = not request.setup["dry_run"] and request.playbook != CONTACT
        self._place = place_of(request.playbook, request.source, request.setup) if asks else None
        self._begun: list[Begun] = []
        self._handed: list[Begun] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        while self._begun:
            self._begun.pop().end()
        while self._handed:
            self._handed.pop().let_go()

    def begin(self) -> None:
        """Begin them, where it is known how. Those that cannot be begun are left to the worker."""
        known = kept_commands(self._place) if self._place else Commands()
        if not known.argvs:
            return
        from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts import bootstrap  # late: many have none

        program = getattr(bootstrap, known.program)()
        code = bootstrap.boot_code(program)
        for argv in [argv for argv in known.argvs if code in argv[-1]][: _room()]:  # else they are for another program
            with suppress(OSError):
                self._begun.append(Begun(argv, program))
                self._begun[-1].feed()
        for begun in self._begun:
            begun.feed()

    def welcome(self) -> tuple[bytes, list[Handed]]:
        """Return the first frame for the worker, and the connections that it can take."""
        self._handed = [begun for begun in self._begun if begun.usable]
        self._begun = [begun for begun in self._begun if begun not in self._handed]
        early = asdict(self._place) if self._place else None
        setup = wire.encode_json(wire.SPEC, {**self._setup, "early": early, "handed": len(self._handed)})
        return setup, [begun.hand_over() for begun in self._handed]


def _room() -> int:
    """Return for how many connections this process has descriptors; shells of macOS start with a limit of 256."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, max(0, (soft - _SPARE) // _EACH))
