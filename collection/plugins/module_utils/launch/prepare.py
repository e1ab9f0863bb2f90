# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preparation of a job on a host: check the needs of its ranks, hold them, stage files. Nothing is started."""

from __future__ import annotations

import os
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host import open_files
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.flock import InUse, hold
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.ownership import Owners, parts_of_held
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.ports import Kept
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.programs import (
    check_addresses,
    check_devices,
    check_program,
    check_script,
    find_cwd,
)
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.reached import data_address
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.spool import Room
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.status import Status
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.rank import RankProcess, stage, stage_modules
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import sockets

PREFIXES = ("MLX_", "PYTHON", "DYLD_", "LD_")


class Prepared:
    """A job as it is prepared on this host.

    Attributes:
        spec: its `HostSpec`.
        facts: facts that the controller compares between hosts and keeps in the record.
        problems: texts, each a reason why the job cannot run here.
        ports: the ports that are kept for it.
        held: descriptors that lock its folder, and the deployed directories that it uses.
        cwd: working directory of its ranks.
        status: its folder, None when that could not be made.
        ranks: its ranks on this host, each a `RankProcess`.
        mpi: the side of mpirun, None for the other backends.
    """

    __slots__ = ("cwd", "facts", "held", "mpi", "ports", "problems", "ranks", "spec", "status")

    def __init__(self, spec, facts, problems, ports):
        self.spec = spec
        self.facts = facts
        self.problems = problems
        self.ports = ports
        self.held = []
        self.cwd = facts["cwd"]
        self.status = None
        self.ranks = []
        self.mpi = None


def prepare(spec, start_mpi):
    """Return the job as it is prepared on this host, with its problems if there are any.

    Args:
        spec: its `HostSpec`.
        start_mpi: called with the job's folder where mpirun is needed; returns the side of mpirun.
    """
    spec = at_home(spec)
    job = Prepared(spec, *check_host(spec))
    _hold_all(job)
    lacking = open_files.allow(*open_files.for_ranks(len(spec.ranks)))
    job.problems += [lacking] if lacking else []
    try:
        job.status = Status.make(spec.job, spec.index)
        _stage(job, start_mpi)
    except OSError as exc:
        where = job.status.folder if job.status else exc.filename
        job.problems.append("cannot write to the job's directory %s: %s" % (where, exc.strerror))
    return job


def at_home(spec):
    """Return a specification with the home directory that this user has here in place of `~` in the paths it runs."""
    paths = {name: getattr(spec, name) for name in ("python", "script", "command", "cwd")}
    if not any(path.startswith("~") for path in paths.values()):
        return spec
    count = 2 if spec.script else 1  # words of a command that are programs; the others are the program's own business
    ranks = [rank.replace(argv=(*map(os.path.expanduser, rank.argv[:count]), *rank.argv[count:])) for rank in spec.ranks]
    return spec.replace(ranks=ranks, **{name: os.path.expanduser(path) for name, path in paths.items()})


def _hold_all(job):
    """Hold deployed directories, unless a stranger could change them, until this process and the guard have ended."""
    spec = job.spec
    for path in spec.hold:
        try:
            Owners(spec.trust_owner).check(spec.root, parts_of_held(os.path.relpath(path, spec.root)))
            job.held.append(hold(path))
        except OSError as exc:
            job.problems.append("cannot hold %s: %s" % (path, exc.strerror))
        except (CallFailed, InUse) as exc:
            job.problems.append("cannot hold %s: %s" % (path, exc))


def _stage(job, start_mpi):
    """Write the files of a job into its folder."""
    folder, room = job.status.folder, Room()
    job.held.append(job.status.lock)
    files = stage(job.spec.files, folder)
    job.ranks = [RankProcess(rank, folder, files, room) for rank in job.spec.ranks]
    stage_modules(folder, job.spec.modules)
    job.mpi = start_mpi(folder) if job.spec.mpi else None


def _gate(spec):
    """Return the function that tells why a program must not be run here, or ""; see `Owners.why_not_run`.

    On the launching machine root runs what its user has chosen, and runs with it already.
    """
    if spec.local:
        return lambda _path: ""
    try:
        return Owners(spec.trust_owner).why_not_run
    except CallFailed as exc:
        reason = str(exc)
        return lambda _path: reason


def check_host(spec):
    """Return (facts, problems, ports that are kept) for the part of a job that runs on this host.

    Args:
        spec: its `HostSpec`.
    """
    problems = []
    cwd = find_cwd(spec.cwd, spec.default_cwd, problems)
    env = next((rank.env for rank in spec.ranks), {})  # PATH is the same for all ranks here
    needed = [("python", spec.python), ("command", "" if spec.script else spec.command)]
    programs = [check_program(what, name, cwd, env, problems) for what, name in needed if name]
    if spec.script:
        check_script(spec.script, cwd, problems)
        programs.append(os.path.join(cwd, spec.script))
    why_not_run = _gate(spec)
    problems += [reason for reason in map(why_not_run, filter(None, programs)) if reason]
    own, others, lost = data_address(spec.reached) if spec.reached else ("", [], "")
    problems += [lost] if lost and spec.addresses else []
    addresses, listen = ([text.replace(spec.reached, own) if own else text for text in texts] for texts in (spec.addresses, spec.listen))
    foreign = bool(lost) or check_addresses(addresses, problems)
    ports = Kept(() if foreign else listen, spec.shifts, spec.port_flag)
    problems += [] if ports.shifts else ports.problems
    check_devices(spec.devices, problems)
    known = dict(host_facts(cwd, spec.key, spec.verbose), shifts=ports.shifts, address=own, others=others)
    if spec.mpi:
        # Late: only this backend needs it.
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.mpirun import find

        known.update(uid=os.getuid(), mpirun=find(spec.mpi.candidates, why_not_run))
    return known, problems, ports


def host_facts(cwd, key, verbose=False):
    """Return the facts that the controller compares between hosts; those of the record have no value of a variable.

    Args:
        cwd: the ranks' working directory.
        key: of the hashes of the values of variables.
        verbose: whether the values themselves are wanted too.
    """
    variables = {name: os.environ[name] for name in sorted(os.environ) if name.startswith(PREFIXES)}
    shown = {"values": variables} if verbose else {}
    return {
        "hostname": sockets.gethostname(),
        "pid": os.getpid(),
        "cwd": cwd,
        "platform": sys.platform,
        "supervisor_python": "%d.%d.%d" % sys.version_info[:3],
        "environment": {name: _hashed(value, key) for name, value in variables.items()},
        **shown,
    }


def _hashed(value, key):
    """Return a hash by which equal values are known, and no value to whom the key is not."""
    import hashlib  # OpenSSL; few hosts have such variables

    return hashlib.blake2b(os.fsencode(value), key=bytes.fromhex(key), digest_size=16).hexdigest()
