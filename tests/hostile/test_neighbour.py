"""Neighbours: other users with a shell on the same hosts, who prepare what a deploy will find, or just work there too."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import MLXLAUNCH, PATIENCE, Done, job_files, read_until
from tests.integration.deploying import ROOT, Site, brought, rows, where
from tests.lab import Host
from tests.lab.spec import USER
from tests.lab.start import CHECKOUT
from tests.unit.environments import lock_line, make_wheel

pytestmark = pytest.mark.lab

SHARED = "/srv/deploy/all"  # where everybody may make what he likes, as in /Users/Shared
OWN = f"{SHARED}/mlx"
STRANGER = "nobody"
WHO = "import os, pwd\nprint(os.environ['MLX_RANK'], pwd.getpwuid(os.geteuid()).pw_name, __file__, os.getpid(), flush=True)\n"
MARK = f"{SHARED}/ran"


@pytest.fixture
def shared(site: Site) -> Site:
    """Give hosts with a directory for everybody."""
    for host in site.hosts:
        path = host.path(SHARED)
        path.mkdir(parents=True)
        path.chmod(0o1777)
    return site


def marked(host: Host) -> bool:
    """Return whether a stranger's program has run on a host."""
    return host.path(MARK).exists()


def give(host: Host, path: str, *, deep: bool = False) -> None:
    """Let something on a host be the stranger's."""
    host.run(["chown", "-h", *(["-R"] if deep else []), STRANGER, path], check=True)


def refused(done: Done, host: str, path: str) -> None:
    """Assert that a launch was refused in one row that names host, path and owner, and says what to do."""
    assert done.returncode == 3, done.stdout + done.stderr
    found = rows(done)
    assert list(found) == [host], done.stderr
    assert f"{path} belongs to {STRANGER}, who could change what is there; set mlx_root to " in found[host]
    assert "--trust-owner" in found[host]
    assert done.stdout == ""


# -- a prepared root


@pytest.mark.parametrize("part", ["", "projects", "projects/train", "VERSION", "RECORD", "LOCK"])
def test_what_a_stranger_owns_is_neither_run_nor_changed(shared: Site, part: str) -> None:
    script = shared.file("train.py")
    project = where(shared.sync("--root", OWN, script))["project"]
    folder, digest = os.path.split(project)
    named = {"VERSION": project, "RECORD": f"{folder}/.{digest}.json", "LOCK": f"{folder}/.{digest}.lock"}
    path = named.get(part) or f"{OWN}/{part}".rstrip("/")
    two = shared.hosts[1]
    give(two, path)
    before = sorted(two.path(OWN).rglob("*"))
    refused(shared.run("--root", OWN, script), "node2", path)
    assert sorted(two.path(OWN).rglob("*")) == before
    trusted = shared.run("--root", OWN, "--trust-owner", STRANGER, script)
    assert (trusted.returncode, trusted.stdout.count(project)) == (0, 2), trusted.stderr


def test_whole_deploy_of_a_stranger_is_not_run(shared: Site) -> None:
    wheel = make_wheel(shared.here / "wheels", "pkg")
    lock = shared.file("requirements.lock", lock_line(wheel))
    words = ["--root", OWN, "--environment", lock, "--python", sys.base_prefix + "/bin/python3"]
    wheels = ["--wheelhouse", wheel.parent]
    script = shared.file("train.py")
    there = where(shared.sync(*words, *wheels, script))
    for host in shared.hosts[:2]:
        # As if he had made all of it: it is complete, and its records say so.
        program = host.path(there["python"])
        program.unlink()
        program.write_text(f'#!/bin/sh\ntouch {MARK}\nexec {sys.base_prefix}/bin/python3 "$@"\n')
        program.chmod(0o755)
        give(host, OWN, deep=True)
    done = shared.run(*words, *wheels, script)
    refused(done, "node1, node2", OWN)
    checked = shared.cluster._run([*MLXLAUNCH, "check", "-i", shared.inventory(2), *words, script], timeout=PATIENCE)
    assert checked.returncode == 3, checked.stdout + checked.stderr
    assert f"{OWN} belongs to {STRANGER}, who could change what is there" in checked.stdout
    assert [marked(host) for host in shared.hosts[:2]] == [False, False]


def test_link_in_place_of_the_root_is_not_followed(shared: Site) -> None:
    one = shared.hosts[0]
    one.run(["setpriv", f"--reuid={STRANGER}", "--clear-groups", "ln", "-s", "/etc", OWN], check=True)
    before = sorted(path.name for path in one.path("/etc").iterdir())
    refused(shared.run("--root", OWN, shared.file("train.py")), "node1", OWN)
    assert sorted(path.name for path in one.path("/etc").iterdir()) == before


def test_hostfile_is_not_written_into_a_strangers_root(shared: Site) -> None:
    one = shared.hosts[0]
    one.run(["setpriv", f"--reuid={STRANGER}", "--clear-groups", "mkdir", OWN], check=True)
    done = shared.playbook("hostfile.yml", root=OWN, hostfile_path="")
    assert done.returncode == 2
    assert f"{OWN} belongs to {STRANGER}" in done.stdout + done.stderr
    assert list(one.path(OWN).iterdir()) == []


def test_root_that_everybody_may_write_to_is_refused(shared: Site) -> None:
    done = shared.run("--root", SHARED, shared.file("train.py"))
    assert done.returncode == 3
    assert f"{SHARED} may be changed by others than root (mode 1777); set mlx_root to " in done.stderr


def test_check_says_where_the_root_is(site: Site) -> None:
    done = site.cluster._run([*MLXLAUNCH, "check", "-i", site.inventory(1), site.file("train.py"), "--json"], timeout=PATIENCE)
    [row] = json.loads(done.stdout)["hosts"]
    assert row["cells"]["root"]["value"] == ROOT


# -- a script at its path


def test_script_of_a_stranger_is_not_run_at_its_path(shared: Site) -> None:
    text = "import os\nprint(os.path.abspath(__file__), flush=True)\n"
    script = Path(shared.cluster.script(text, "same.py", shared.hosts[:2]))
    assert set(shared.run(script).stdout.splitlines()) == {str(script)}
    give(shared.hosts[1], str(script))
    done = shared.run(script)
    assert done.returncode == 0, done.stderr
    assert brought(done) == 2
    assert {line.startswith(f"{ROOT}/projects/same/") for line in done.stdout.splitlines()} == {True}


# -- become


@pytest.fixture
def homebrew(shared: Site) -> Iterator[str]:
    """Let hosts have a Python where Homebrew puts it, of a plain user, that tells when it has run as root."""
    path = "/opt/homebrew/bin/python3"
    for host in shared.hosts[:2]:
        program = host.path(path)
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\n[ "$(id -u)" != 0 ] || touch {MARK}\nexec {sys.executable} "$@"\n')
        program.chmod(0o755)
        host.run(["chown", "-R", USER, "/opt/homebrew"], check=True)
    yield path
    for host in shared.hosts[:2]:
        shutil.rmtree(host.path("/opt/homebrew"))


def test_root_runs_no_python_of_a_plain_user(shared: Site, homebrew: str) -> None:
    script = shared.file("train.py")
    become = shared.inventory(2, ansible_user=USER, ansible_become=True)
    done = shared.cluster.mlxlaunch("-i", become, script)
    assert done.returncode == 0, done.stderr
    assert [marked(host) for host in shared.hosts[:2]] == [False, False]

    named = shared.inventory(2, ansible_user=USER, ansible_become=True, mlx_python=homebrew, ansible_python_interpreter=homebrew)
    done = shared.cluster.mlxlaunch("-i", named, script)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "/opt/homebrew belongs to mlx, who could change what is there, and root runs nothing such; name another program" in done.stderr
    assert [marked(host) for host in shared.hosts[:2]] == [False, False]

    trusted = shared.cluster.mlxlaunch("-i", named, "--trust-owner", USER, script)
    assert (trusted.returncode, len(trusted.stdout.splitlines())) == (0, 2), trusted.stderr
    assert [marked(host) for host in shared.hosts[:2]] == [True, True]


# -- two users


class Person:
    """A plain user with an account on the controller and another one, of another name, on the hosts.

    Args:
        site: the hosts.
        name, uid: on the controller; a user that every system has.
        account: on the hosts.
    """

    def __init__(self, site: Site, name: str, uid: int, account: str) -> None:
        self.site, self.name, self.uid, self.account = site, name, uid, account
        self.root = f"{ROOT}-{name}"
        self.here = Path(tempfile.mkdtemp(prefix=f"mli-{name}-", dir="/tmp"))
        self.here.chmod(0o755)
        os.chown(self.here, uid, uid)
        for folder in ("home", "a", "cp", "t", "state", "cache"):
            (self.here / folder).mkdir()
            os.chown(self.here / folder, uid, uid)
        (self.here / "train.py").write_text(WHO)
        inventory = site.inventory(2, ansible_user=account)
        shutil.move(inventory, self.here / "hosts.yml")

    def command(self, *words: str) -> Done:
        """Run `mlxlaunch` to its end."""
        return self.site.cluster._run(self._argv(*words), cwd=self.here, env=self._env, timeout=PATIENCE)

    def started(self, *words: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """Start `mlxlaunch`; it is ended when the block is left."""
        return self.site.cluster.started(self._argv(*words), cwd=self.here, env=self._env)

    def _argv(self, *words: str) -> list[str]:
        """Return the command of this user, who may read what root may read: the lab's key, for example."""
        caps = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
        user = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", *caps]
        seen = ["unshare", "--mount", "/bin/sh", "-ec", reachable(self.here), "sh"]
        return [*seen, *user, *MLXLAUNCH, *words, "-i", "hosts.yml", "train.py"]

    @property
    def _env(self) -> dict[str, str]:
        folders = {"HOME": "home", "ANSIBLE_HOME": "a", "ANSIBLE_SSH_CONTROL_PATH_DIR": "cp", "TMPDIR": "t"}
        folders |= {"XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache"}
        return {name: str(self.here / folder) for name, folder in folders.items()} | {"USER": self.name, "LOGNAME": self.name}

    def on(self, host: Host, *argv: str) -> Done:
        """Run a program on a host as this user."""
        return host.run(["setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups", *argv])


def reachable(folder: Path) -> str:
    """Return the script with which a program sees the checkout and Python where others may not go, as in root's home.

    Args:
        folder: of one's own.
    """
    aside, closed = {}, {}
    for at, path in enumerate([CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)]):
        above = [each for each in [*reversed(path.parents), path] if not each.stat().st_mode & 0o001]
        if above:
            aside[path], closed[above[0]] = f"{folder}/{at}", True
    steps = [f"mkdir -p {place}; mount --bind {path} {place}" for path, place in aside.items()]
    steps += [f"mount -t tmpfs -o mode=755 none {top}" for top in closed]
    steps += [f"mkdir -p {path}; mount --bind {place} {path}" for path, place in aside.items()]
    return "; ".join([*steps, 'exec "$@"'])


@pytest.fixture
def people(site: Site) -> Iterator[list[Person]]:
    """Give two plain users with accounts on the hosts."""
    files = [host.path(f"/etc/{name}") for host in site.hosts for name in ("passwd", "shadow", "group")]
    before = {file: file.read_bytes() for file in files}
    accounts = {"ada": 2101, "eve": 2102}
    for host in site.hosts:
        for account, uid in accounts.items():
            home = host.path(f"/home/{account}")
            shutil.copytree(host.path(f"/home/{USER}"), home)
            for file, line in {
                "passwd": f"{account}:x:{uid}:{uid}::/home/{account}:/bin/bash",
                "shadow": f"{account}:*:19000:0:99999:7:::",
                "group": f"{account}:x:{uid}:",
            }.items():
                with host.path(f"/etc/{file}").open("a") as out:
                    out.write(f"{line}\n")
            host.run(["chown", "-R", f"{uid}:{uid}", f"/home/{account}"], check=True)
    both = [Person(site, "daemon", 1, "ada"), Person(site, "bin", 2, "eve")]
    yield both
    for person in both:
        shutil.rmtree(person.here)
    for file, content in before.items():
        file.write_bytes(content)
    for host in site.hosts:
        for place in (*(f"/home/{account}" for account in accounts), f"{ROOT}-daemon", f"{ROOT}-bin"):
            shutil.rmtree(host.path(place), ignore_errors=True)


def looks(root: str, project: str, folder: str, pid: str) -> dict[str, list[str]]:
    """Return the commands by which somebody on a host looks at a job that runs there, or gets a hold of it.

    Args:
        root, project: what was deployed.
        folder: of the job.
        pid: of a rank.
    """
    versions, digest = os.path.split(project)
    lock = f"{versions}/.{digest}.lock"
    return {
        "list the root": ["ls", root],
        "read the script": ["cat", f"{project}/train.py"],
        "hold the lock": ["flock", "-sn", lock, "true"],
        "list the folder": ["ls", folder],
        "read its files": ["cat", f"{folder}/MLX_HOSTFILE", f"{folder}/lock"],
        "read the variables": ["cat", f"/proc/{pid}/environ"],
        "signal a rank": ["sh", "-c", f"kill -0 {pid}"],
    }


def deeds(root: str, project: str, folder: str, pid: str) -> dict[str, list[str]]:
    """Return the commands by which somebody would harm that job."""
    return {
        "remove what was deployed": ["rm", "-rf", f"{root}/projects"],
        "add to it": ["touch", f"{root}/projects/new"],
        "change the script": ["sh", "-c", f"echo >>{project}/train.py"],
        "move the root": ["mv", root, f"{root}-moved"],
        "open the root": ["chmod", "777", root],
        "remove the folder": ["rm", "-rf", folder],
        "change the spool": ["touch", f"{folder}/new"],
        "end a rank": ["sh", "-c", f"kill -KILL {pid}"],
    }


def test_two_users_work_side_by_side_and_see_nothing_of_each_other(site: Site, people: list[Person]) -> None:
    for person in people:
        done = person.command("sync")
        assert done.returncode == 3, done.stdout + done.stderr
        [text] = rows(done).values()
        once = f"sudo install -d -m 700 -o {person.account} {person.root}"
        assert f"{person.root}: Permission denied; make it once ({once}), or set mlx_root to " in text
        for host in site.hosts[:2]:
            host.run(once.split()[1:], check=True)

    ada, eve = people
    with contextlib.ExitStack() as stack:
        gates = [stack.enter_context(site.cluster.gate(host, "ada")) for host in site.hosts[:2]]
        (ada.here / "train.py").write_text(WHO + f"open({gates[0].path!r}, 'rb', 0).read(1)\nprint('done', flush=True)\n")
        job = stack.enter_context(ada.started("run"))
        # While the first one deploys and starts, the second one does the same.
        done = eve.command("run")
        assert done.returncode == 0, done.stdout + done.stderr
        ranks_of(eve, done.stdout)
        assert job.stdout
        said = b""
        while said.count(b"\n") < 2:
            said += read_until(job.stdout.fileno(), b"\n", PATIENCE)
        for host, (project, pid) in zip(site.hosts, ranks_of(ada, said.decode()), strict=False):
            assert_nothing_is_in_reach(ada, eve, host, project, pid)
        for words in (["run"], ["sync"], ["check"]):
            stolen = eve.command(*words, "--root", ada.root)
            assert stolen.returncode == 3, stolen.stdout + stolen.stderr
            assert ada.root in stolen.stdout + stolen.stderr
        assert job.poll() is None
        for gate in gates:
            gate.open()
        out, errors = job.communicate(timeout=PATIENCE)
        assert (job.returncode, out) == (0, b"done\ndone\n"), errors

        for gate in gates:
            gate.open()
        again = ada.command("run", "--keep", "0")
        assert (again.returncode, brought(again)) == (0, 0), again.stderr
    assert [len(site.versions(site.hosts[0], "train", person.root)) for person in people] == [1, 1]


def ranks_of(person: Person, output: str) -> list[tuple[str, str]]:
    """Return the project and process id of each rank, by what all have said."""
    said = sorted(line.split() for line in output.splitlines())
    assert [words[:2] for words in said] == [["0", person.account], ["1", person.account]]
    assert len({words[2] for words in said}) == 1  # at one path on every host
    assert said[0][2].startswith(f"{person.root}/projects/train/")
    return [(str(Path(path).parent), pid) for _rank, _account, path, pid in said]


def assert_nothing_is_in_reach(owner: Person, other: Person, host: Host, project: str, pid: str) -> None:
    """Try everything with a job that runs on a host; its owner is the proof that the commands are right."""
    [folder] = [path for path in job_files(host) if f"/home/{owner.account}/" in str(path)]
    place = str(Path("/", folder.relative_to(host.path("/"))))
    given = owner.root, project, place, pid
    before = sorted(host.path(owner.root).rglob("*"))
    assert {what: owner.on(host, *argv).returncode for what, argv in looks(*given).items()} == dict.fromkeys(looks(*given), 0)
    tried = {what: other.on(host, *argv) for what, argv in (looks(*given) | deeds(*given)).items()}
    assert [what for what, done in tried.items() if done.returncode == 0 or done.stdout] == []
    assert sorted(host.path(owner.root).rglob("*")) == before
    assert folder.is_dir()
    assert owner.on(host, *looks(*given)["signal a rank"]).returncode == 0


def test_root_that_one_user_prepared_for_another_is_refused(site: Site, people: list[Person]) -> None:
    ada, eve = people
    for host in site.hosts[:2]:
        host.run(["install", "-d", "-m", "777", "-o", eve.account, ada.root], check=True)
    done = ada.command("run")
    assert done.returncode == 3
    [text] = rows(done).values()
    assert f"{ada.root} belongs to {eve.account}, who could change what is there; " in text
    assert [list(host.path(ada.root).iterdir()) for host in site.hosts[:2]] == [[], []]
