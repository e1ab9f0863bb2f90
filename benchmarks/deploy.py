# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy: with nothing to do, with one file changed, of an MLX environment to new hosts; beside raw rsync to all at once."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import Host

from .bed import CHECKOUT, Bed
from .contestants import ALL, EMPTY, PLAIN_SSH, Job, mlxlaunch, playbook
from .measure import COLD, WARM, Results, rounds
from .payload import FILES, Project, make_file, make_lock, make_mlx_environment
from .program import Program, ProgramFailed, Usage

UNCHANGED, CHANGED = "deploy, nothing changed", f"deploy, one file of {FILES} changed"
FIRST, RUN, MEMORY = "first deploy of an MLX environment", "run of a deployed script", "resident memory in a deploy"
RSYNC = "raw rsync"
COMMAND, PLAYBOOK, ROLES = "mlxlaunch sync", "playbooks/sync.yml", "playbooks/deploy.yml"
SYNC, NO_SYNC = "mlxlaunch run", "mlxlaunch run --no-sync"
ALONE, PROJECT = "script alone", "project and environment"
SMALL, BIG = "small file", "big file"
RUN_HOSTS = 4
MB = 1e6
_ROOT, _RAW = Path("/opt/mlxlaunch"), Path("/opt/raw")
_PATIENCE = 240.0


@dataclass(frozen=True)
class Deployable:
    """What is deployed in most of the measurements.

    Attributes:
        project: many files.
        lock, wheelhouse: of a tiny environment.
    """

    project: Project
    lock: Path
    wheelhouse: Path

    def options(self) -> list[str]:
        """As words of a command line."""
        environment = ["--environment", str(self.lock), "--wheelhouse", str(self.wheelhouse), "--python", sys.executable]
        return [*environment, "--project-dir", str(self.project.path), str(self.project.script)]

    def variables(self) -> dict[str, str]:
        """As variables of a playbook."""
        environment = {"mlx_environment": str(self.lock), "mlx_wheelhouse": str(self.wheelhouse), "mlx_python": sys.executable}
        return {**environment, "mlx_project_dir": str(self.project.path), "mlx_script": str(self.project.script), "mlx_hostfile_path": ""}


# -- with little to do


def measure(bed: Bed, results: Results, sizes: Mapping[int, int], seconds: float) -> None:
    """Measure with nothing and with one file changed, with each number of hosts, so many rounds each."""
    with _folder(bed) as folder:
        what = Deployable(Project(folder / "project"), *make_lock(folder))
        for size, count in sizes.items():
            hosts = bed.lab.hosts[:size]
            with results.survive(f"deploy, {size} hosts"), _warm(bed, hosts, what) as warm:
                _measure_size(bed, results, hosts, what, count, seconds * count / sum(sizes.values()), warm)
        _clean(bed.lab.hosts)


def _measure_size(bed: Bed, results: Results, hosts: Sequence[Host], what: Deployable, count: int, seconds: float, warm: Path) -> None:
    ways = _ways(bed, hosts, what)

    def measure_one(test: str, name: str, state: str) -> None:
        with results.survive(f"{test}, {len(hosts)} hosts, {name}, {state}"), sockets_for(bed, state, warm) as sockets:
            usage = run_to_success(bed, ways[name](sockets), sockets, plain_ssh=name in (RSYNC, PLAIN_SSH))
            results.add(test, name, len(hosts), "s", usage.wall, state=state)

    for name, state in rounds(count, seconds, [(name, state) for name in ways for state in (COLD, WARM)]):
        if name in (EMPTY, PLAIN_SSH):
            measure_one(UNCHANGED, name, state)
            continue
        if name != RSYNC:
            measure_one(UNCHANGED, name, state)
        what.project.change()
        measure_one(CHANGED, name, state)
        # So that the next one too finds one file changed, not two.
        other = COMMAND if name == RSYNC else RSYNC
        run_to_success(bed, ways[other](warm), warm, plain_ssh=other == RSYNC)


def _ways(bed: Bed, hosts: Sequence[Host], what: Deployable) -> dict[str, Callable[[Path], list[str]]]:
    """Return what gives each command line; it takes the directory for control sockets."""
    command = [*mlxlaunch(), "sync", "-i", str(bed.inventory(hosts)), *what.options()]
    return {
        COMMAND: lambda _: command,
        PLAYBOOK: lambda _: playbook(bed, hosts, "sync", what.variables()),
        ROLES: lambda _: playbook(bed, hosts, "deploy", what.variables()),
        RSYNC: lambda sockets: _raw_rsync(hosts, what.project.path, sockets),
        PLAIN_SSH: lambda sockets: ALL[PLAIN_SSH].command(bed, Job(hosts, Path("/dev/null")), sockets),
        EMPTY: lambda sockets: ALL[EMPTY].command(bed, Job(hosts, what.project.script), sockets),
    }


@contextmanager
def _warm(bed: Bed, hosts: Sequence[Host], what: Deployable) -> Iterator[Path]:
    """Bring everything once, and keep the ssh masters that this opens."""
    with bed.sockets() as sockets:
        try:
            for host in hosts:
                host.path(_RAW).mkdir(exist_ok=True)
            for name in (RSYNC, COMMAND):  # plain ssh shares its masters with rsync
                run_to_success(bed, _ways(bed, hosts, what)[name](sockets), sockets, plain_ssh=name == RSYNC, keep=True)
            yield sockets
        finally:
            bed.drop_masters()


# -- everything to do


def measure_first(bed: Bed, results: Results, size: int, count: int, seconds: float) -> None:
    """Measure the copy of an environment with MLX to hosts that have nothing, so many rounds."""
    hosts = bed.lab.hosts[:size]
    with _folder(bed) as folder:
        environment = folder / "mlx"
        note = f"{make_mlx_environment(environment) / MB:.0f} MB to each host"
        python, inventory = str(environment / "bin/python"), str(bed.inventory(hosts))
        play = ["-i", inventory, str(CHECKOUT / "playbooks/sync.yml"), "-e", json.dumps({"mlx_environment": "copy"})]
        ways: dict[str, Callable[[Path], list[str]]] = {
            RSYNC: lambda sockets: _raw_rsync(hosts, environment, sockets),
            COMMAND: lambda _: [python, "-m", "mlxlaunch_ansible", "sync", "-i", inventory, "--environment", "copy"],
            PLAYBOOK: lambda _: [python, "-m", "ansible", "playbook", *play],
        }
        for name in rounds(count, seconds, list(ways)):
            _clean(hosts)
            with results.survive(f"first deploy, {name}"), bed.sockets() as sockets:
                # The environment that is copied is the one that runs Ansible, which it finds in ours.
                usage = run_to_success(bed, ways[name](sockets), sockets, plain_ssh=name == RSYNC, path=(sysconfig.get_path("purelib"),))
                results.add(FIRST, name, size, "s", usage.wall, note=note)
        _clean(hosts)


# -- before a launch


def measure_run(bed: Bed, results: Results, count: int, seconds: float) -> None:
    """Measure `mlxlaunch run` of what is on the hosts already, so many rounds, with and without a look whether it is."""
    hosts = bed.lab.hosts[:RUN_HOSTS]
    with _folder(bed) as folder:
        what = Deployable(Project(folder / "project"), *make_lock(folder))
        run = [*mlxlaunch(), "run", "-i", str(bed.inventory(hosts))]
        alone = folder / "alone.py"
        shutil.copy(what.project.script, alone)
        with results.survive("run of a deployed script"), _warm(bed, hosts, what) as warm:
            run_to_success(bed, [*run, str(alone)], warm, ranks=RUN_HOSTS)
            [there] = hosts[0].path(_ROOT / "projects/alone").glob("[0-9a-f]*/alone.py")
            script = "/" + str(there.relative_to(hosts[0].path("/")))
            ways = {
                (SYNC, ALONE): [*run, str(alone)],
                (SYNC, PROJECT): [*run, *what.options()],
                (NO_SYNC, ""): [*run, "--no-sync", "--python", sys.executable, script],
            }
            items = [(way, state) for way in ways for state in (COLD, WARM)]
            for (name, variant), state in rounds(count, seconds, items):
                with results.survive(f"{name}, {variant}, {state}"), sockets_for(bed, state, warm) as sockets:
                    usage = run_to_success(bed, ways[name, variant], sockets, ranks=RUN_HOSTS)
                    results.add(RUN, name, RUN_HOSTS, "s", usage.wall, state=_joined(variant, state))
        _clean(hosts)


def _joined(*words: str) -> str:
    return ", ".join(word for word in words if word)


# -- memory


def measure_memory(bed: Bed, results: Results, *, small: int, big: int) -> None:
    """Deploy a project with a small and then one with a big file; note the most memory that the controller takes."""
    hosts = bed.lab.hosts[:1]
    for state, size in ((SMALL, small), (BIG, big)):
        with _folder(bed) as folder, results.survive(f"{MEMORY}, {state}"), bed.sockets() as sockets:
            project = folder / "weights"
            project.mkdir()
            shutil.copy(CHECKOUT / "benchmarks/ranks/trivial.py", project)
            make_file(project / "weights.bin", size)
            argv = [*mlxlaunch(), "sync", "-i", str(bed.inventory(hosts)), "--project-dir", str(project), str(project / "trivial.py")]
            samples: list[int] = []
            with Program(bed.lab, argv, env=bed.environment(sockets)) as program:

                def sample(program: Program = program, samples: list[int] = samples) -> None:
                    samples.append(sum(process.rss for process in program.tree()))

                program.read(lambda _: None, _PATIENCE, every=0.02, on_tick=sample)
                _expect_success(program)
            results.add(
                MEMORY, COMMAND, 1, "MB", max(samples) / MB, state=state, note=f"file of {size / MB:.0f} MB; {len(samples)} samples"
            )
        _clean(hosts)


# -- how


def _raw_rsync(hosts: Sequence[Host], source: Path, sockets: Path) -> list[str]:
    """One shell that starts all rsync at once, over connections that are shared as Ansible's are."""
    ssh = shlex.join(["ssh", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", f"ControlPath={sockets}/%C"])
    lines = [shlex.join(["rsync", "-a", "-e", ssh, f"{source}/", f"{host.name}:{_RAW / source.name}/"]) for host in hosts]
    started = [f'{line} & pids="$pids $!"' for line in lines]
    return ["/bin/sh", "-c", "\n".join([*started, "for pid in $pids; do wait $pid || exit 1; done"])]


@contextmanager
def sockets_for(bed: Bed, state: str, warm: Path) -> Iterator[Path]:
    """Give the directory for control sockets: the one with open masters, or an empty one."""
    if state == WARM:
        yield warm
        return
    with bed.sockets() as sockets:
        yield sockets


def run_to_success(
    bed: Bed,
    argv: Sequence[str],
    sockets: Path,
    *,
    plain_ssh: bool = False,
    keep: bool = False,
    ranks: int = 0,
    path: Sequence[str] = (),
) -> Usage:
    """Run a program to its end, which has to be a good one; with `keep` the ssh masters that it opens stay."""
    env = bed.environment(sockets)
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], *path])
    program = Program(bed.lab, argv, env=env, plain_ssh=plain_ssh, keep=bed.masters)
    try:
        usage = _expect_success(program, ranks)
        if keep:
            bed.masters |= program.masters()
    finally:
        program.end(keep_orphans=keep)
    return usage


def _expect_success(program: Program, ranks: int = 0) -> Usage:
    heard = bytearray()
    program.read(heard.extend, _PATIENCE)
    usage = program.wait(_PATIENCE)
    if usage.returncode or heard.count(b"rank here") != ranks:
        raise ProgramFailed(f"status {usage.returncode}: {program.complaint()} {heard[-1000:].decode(errors='replace')}")
    return usage


@contextmanager
def _folder(bed: Bed) -> Iterator[Path]:
    """Give an empty directory that no host has."""
    path = bed.folder / "deploy"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def _clean(hosts: Sequence[Host]) -> None:
    """Take away what was deployed."""
    for host in hosts:
        for path in (_ROOT, _RAW):
            shutil.rmtree(host.path(path), ignore_errors=True)
        host.path(_RAW).mkdir()
