"""The lab as tests see it."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import control, linux
from .host import Host, Process
from .mac.personality import find_pythons, mac_lacks, python_prefixes
from .needs import LabError, NoMacError, missing
from .spec import MOST_HOSTS, PERSONALITIES, LabSpec
from .start import all_binds, end_owned, make_directory, start_init

#: Seconds a lab for people may take to stop.
_STOP_PATIENCE = 60.0

Argument = str | os.PathLike[str]


class Lab:
    """A running lab; `Lab.start` makes one, `Lab.attach` finds one for people.

    As a context manager it stops at the end.

    Attributes:
        dir: files for the controller, and logs.
        hosts: the hosts, node1 first.
        inventory: Ansible inventory with the hosts in group `mlx`.
        ssh_config: for `ssh -F`.
        pid: process id of the lab init, whose network namespace is the controller's.
    """

    def __init__(self, spec: LabSpec, init: subprocess.Popen[bytes] | None = None) -> None:
        self.dir = spec.dir
        self.inventory = spec.dir / "inventory.yml"
        self.ssh_config = spec.dir / "ssh_config"
        self.hosts = [Host(host, spec.log(host), self._ask) for host in spec.hosts]
        self._spec, self._init, self._stopped = spec, init, False
        self.pid: int = self._ask("status")["pid"]

    @classmethod
    def start(
        cls,
        count: int,
        *,
        dir: Path | None = None,
        binds: Sequence[Path] = (),
        disk: str = "1g",
        owned: bool = True,
        personality: str | Mapping[str, str] = "linux",
        cables: Any = None,
    ) -> Lab:
        """Start a lab and wait until every host takes connections.

        Args:
            count: number of hosts.
            dir: directory for its files, made when not there; else a temporary one which goes with the lab.
            binds: more paths the hosts see, read-only, at the same place.
            disk: size of each host's disk as mount(8) writes it; takes memory as it is used.
            owned: the lab ends with this process, however that ends; else with `stop`.
            personality: what hosts look like over ssh, `linux` or `mac`; for all, or by host name.
            cables: Thunderbolt cables between Macs: `ring`, `mesh` or a plan, see mac/README.md.

        Raises:
            LabError: the machine cannot have a lab, or this one did not start.
            NoMacError: the machine lacks what a host needs to look like a Mac.
        """
        if lacks := missing():
            raise LabError(f"no lab here, missing: {', '.join(lacks)}")
        if not 1 <= count <= MOST_HOSTS:
            raise LabError(f"a lab has 1 to {MOST_HOSTS} hosts, not {count}")
        personalities = _by_name(count, personality)
        pythons = _pythons(personalities)
        spec = LabSpec(
            dir=make_directory(dir),
            count=count,
            disk=disk,
            binds=all_binds([*binds, *python_prefixes(pythons)]),
            personalities=personalities,
            pythons=pythons,
            cables=cables,
            owned=owned,
            temporary=dir is None,
        )
        _check_cables(spec)
        try:
            return cls(spec, start_init(spec))
        except BaseException:
            if spec.temporary:
                shutil.rmtree(spec.dir, ignore_errors=True)
            raise

    @classmethod
    def attach(cls, dir: Path) -> Lab:
        """Find the lab which is up in a directory."""
        if not (dir / "lab.json").exists():
            raise LabError(f"there is no lab in {dir}")
        return cls(LabSpec.load(dir.resolve()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End the lab with all its processes, mounts and networks, and whatever is in its network."""
        if self._stopped:
            return
        self._stopped = True
        with contextlib.ExitStack() as stack:
            network = None
            with contextlib.suppress(FileNotFoundError):  # it fell over by itself
                network = stack.enter_context(_open(f"/proc/{self.pid}/ns/net"))
            if self._init:
                end_owned(self._init)
            elif network is not None:
                _end_unowned(self.pid, self._ask)
            if network is not None:
                _kill_all_in(network)  # such as ssh masters; they would keep the network in existence
        if self._spec.temporary:
            shutil.rmtree(self.dir, ignore_errors=True)

    def restore(self) -> None:
        """Undo every fault on every host and end everything sessions left. Files stay as they are."""
        self._ask("restore")
        for host in self.hosts:
            host.set_clock(0)
            host.kill_all()

    def leftovers(self) -> dict[str, list[Process]]:
        """What runs beside ssh sessions on hosts which are on, by host name; only hosts with any."""
        states = self._ask("status")["hosts"]
        found = {host.name: host.leftovers() for host in self.hosts if states[host.name]}
        return {name: processes for name, processes in found.items() if processes}

    # --- the controller ---

    def command(self, argv: Sequence[Argument], *, plain_ssh: bool = False) -> list[str]:
        """Prefix a command so that it runs in the controller's network.

        Args:
            argv: program and arguments.
            plain_ssh: make host names and plain `ssh node1`, without -F, work too, for programs which insist.
        """
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        if plain_ssh:  # in there the lab's ssh_config and hosts file are the system's
            enter += [f"--mount=/proc/{self.pid}/ns/mnt", f"--wdns={Path.cwd()}"]
        return [*enter, "--", *(os.fspath(argument) for argument in argv)]

    def run(
        self, argv: Sequence[Argument], *, plain_ssh: bool = False, timeout: float = 120, check: bool = False, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """`subprocess.run` in the controller's network; captures text unless options say otherwise."""
        if not {"stdout", "stderr", "capture_output"} & options.keys():
            options["capture_output"] = True
        options = {"text": True} | options
        return subprocess.run(self.command(argv, plain_ssh=plain_ssh), check=check, timeout=timeout, **options)

    def popen(self, argv: Sequence[Argument], *, plain_ssh: bool = False, **options: Any) -> subprocess.Popen[Any]:
        """`subprocess.Popen` in the controller's network; the process id is that of the program itself."""
        return subprocess.Popen(self.command(argv, plain_ssh=plain_ssh), **options)

    def ssh(self, host: Host | str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, or for a `user@host`, by the plain ssh client."""
        destination = host if isinstance(host, str) else host.name
        return self.run(["ssh", "-F", self.ssh_config, destination, *words], **options)

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Put this thread, and threads and processes it starts meanwhile, into the controller's network."""
        with (
            _open(f"/proc/self/task/{threading.get_native_id()}/ns/net") as here,
            _open(f"/proc/{self.pid}/ns/net") as there,
        ):
            linux.setns(there, linux.CLONE_NEWNET)
            try:
                yield
            finally:
                linux.setns(here, linux.CLONE_NEWNET)

    def _ask(self, operation: str, host: str | None = None, **arguments: Any) -> Any:
        request: dict[str, Any] = {"op": operation, "args": arguments}
        return control.ask(self.dir, request | ({"host": host} if host else {}))


def _by_name(count: int, wanted: str | Mapping[str, str]) -> dict[str, str]:
    """Return the personality of every host that is named or, when it is one for all, of all."""
    names = [f"node{index}" for index in range(1, count + 1)]
    chosen = dict.fromkeys(names, wanted) if isinstance(wanted, str) else dict(wanted)
    for name, personality in chosen.items():
        if name not in names or personality not in PERSONALITIES:
            raise LabError(f"no host is {name} with personality {personality}: {', '.join(PERSONALITIES)}; {names[0]} to {names[-1]}")
    return chosen


def _check_cables(spec: LabSpec) -> None:
    plan = spec.cable_plan
    if plan and any(not host.is_mac for host in spec.hosts):
        raise LabError("cables: all hosts have to look like Macs")


def _pythons(personalities: Mapping[str, str]) -> dict[int, Path]:
    """Return the Pythons of the lab's Macs, if it has any."""
    if "mac" not in personalities.values():
        return {}
    pythons = find_pythons()
    if lacks := mac_lacks(pythons, sys.base_prefix):
        raise NoMacError(f"no host can look like a Mac here, missing: {', '.join(lacks)}")
    return pythons


def _end_unowned(pid: int, ask: Any) -> None:
    process = os.pidfd_open(pid)
    try:
        ask("stop")
        with selectors.DefaultSelector() as selector:
            selector.register(process, selectors.EVENT_READ)
            if not selector.select(_STOP_PATIENCE):
                signal.pidfd_send_signal(process, signal.SIGKILL)
    finally:
        os.close(process)


def _kill_all_in(network: int) -> None:
    """Kill the processes in the network namespace open at `network`; open: so nothing else has its number."""
    wanted = os.fstat(network).st_ino
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if (entry / "ns/net").stat().st_ino == wanted:
                    os.kill(int(entry.name), signal.SIGKILL)


@contextlib.contextmanager
def _open(file: str) -> Iterator[int]:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
