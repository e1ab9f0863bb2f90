"""What the tests of deploys share: hosts that have nothing yet, and ways to look at what has come to them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.integration.cluster import ANSIBLE_PLAYBOOK, MLXLAUNCH, Cluster, Done, Gate
from tests.lab import Host
from tests.lab.start import CHECKOUT

#: Seconds after which something hangs. Making an environment takes a few, and many on a busy machine.
PATIENCE = 300.0
ROOT = "/opt/mlxlaunch"
#: Says where it runs and what of, at once: pieces of a line may come apart when a rank stalls between them.
TELL = "import os, sys\nprint(' '.join([os.environ['MLX_RANK'], os.getcwd(), os.path.abspath(__file__), *sys.argv[1:]]), flush=True)\n"


class Site:
    """A cluster to which nothing was deployed yet.

    Attributes:
        cluster: the hosts and the controller.
        here: the controller's current directory.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.here = cluster.here
        self.hosts = cluster.hosts

    # -- what a user does

    def sync(self, *words: str | os.PathLike[str], hosts: int = 2, **options: object) -> Done:
        """Run `mlxlaunch sync` for the first hosts, unless the words say for which."""
        where = () if "-i" in words else ("-i", self.inventory(hosts))
        return self.cluster._run([*MLXLAUNCH, "sync", *where, *words], **({"timeout": PATIENCE} | options))

    def run(self, *words: str | os.PathLike[str], hosts: int = 2, **options: object) -> Done:
        """Run `mlxlaunch run` for the first hosts."""
        return self.cluster.mlxlaunch("-i", self.inventory(hosts), *words, **({"timeout": PATIENCE} | options))

    def playbook(self, name: str, *words: str, inventory: Path | None = None, **variables: object) -> Done:
        """Run one of our playbooks, with variables `mlx_...`."""
        return self.cluster._run(self.playbook_argv(name, *words, inventory=inventory, **variables), cwd=CHECKOUT, timeout=PATIENCE)

    def playbook_argv(self, name: str, *words: str, inventory: Path | None = None, **variables: object) -> list[str | os.PathLike[str]]:
        """Return the command that runs one of our playbooks, in the checkout, whose ansible.cfg is to be found."""
        settings = json.dumps({f"mlx_{key}": value for key, value in variables.items()}, default=str)
        return [ANSIBLE_PLAYBOOK, "-i", inventory or self.inventory(2), CHECKOUT / "playbooks" / name, "-e", settings, *words]

    def inventory(self, hosts: int, **variables: object) -> Path:
        """Write an inventory of the first hosts."""
        return self.cluster.inventory([host.name for host in self.hosts[:hosts]], **variables)

    def file(self, name: str, content: str | bytes = TELL, mode: int = 0o644) -> Path:
        """Write a file here; return its path."""
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    # -- what has come of it

    def versions(self, host: Host, name: str, root: str = ROOT) -> list[str]:
        """Return the names of all there is of a project on a host but locks."""
        folder = host.path(root) / "projects" / name
        return sorted(path.name for path in folder.iterdir() if path.suffix not in {".lock", ".json"}) if folder.is_dir() else []

    def environments(self, host: Host, root: str = ROOT) -> list[str]:
        """Return the names of a host's environments, complete or not."""
        folder = host.path(root) / "envs"
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []

    def make_old_environment(self, host: Host, key: str, root: str = ROOT) -> None:
        """Let a host have what looks like an environment of an earlier deploy."""
        folder = host.path(root) / "envs" / key
        folder.mkdir(parents=True)
        (folder / ".mlxlaunch.json").write_text("{}")
        (folder.parent / f".{key}.lock").touch()

    # -- the controller

    @property
    def private(self) -> Path:
        """Directory for the temporary files of this test's programs."""
        return Path(self.cluster.env["TMPDIR"])

    def program(self, name: str, script: str) -> dict[str, str]:
        """Put a shell script before the program of its name; return the environment in which it is found."""
        path = self.file(f"bin/{name}", f"#!/bin/sh\n{script}", 0o755)
        return {"PATH": f"{path.parent}:{self.cluster.env['PATH']}"}

    @contextlib.contextmanager
    def stopped_rsync(self) -> Iterator[tuple[dict[str, str], Gate, Gate]]:
        """Let rsync wait before it does anything; give the environment, a gate that tells when, and one that lets it go on."""
        with self.cluster.gate(None, "arrived") as arrived, self.cluster.gate(None, "go") as go:
            script = f'echo > "{arrived.path}"\nhead -c 1 "{go.path}" >/dev/null\nexec {shutil.which("rsync")} "$@"\n'
            yield self.program("rsync", script), arrived, go


def where(done: Done) -> dict[str, str]:
    """Return the paths that `mlxlaunch sync` printed, by what they are."""
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def brought(done: Done) -> int:
    """Return to how many hosts something was brought."""
    return done.stderr.count(": brought the ")


def tree(folder: Path) -> dict[bytes, tuple[str, object]]:
    """Return all that is in a directory: mode and content, or a link's target, by path."""
    found: dict[bytes, tuple[str, object]] = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        content: object = None
        if stat.S_ISLNK(mode):
            mode, content = stat.S_IFLNK, str(path.readlink())
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
        found[os.fsencode(path.relative_to(folder))] = (stat.filemode(mode), content)
    return found


def wipe(hosts: Sequence[Host]) -> None:
    """Remove what was deployed in the default places, and in /srv."""
    for host in hosts:
        for place in (ROOT, f"{ROOT}-root", "/Users/Shared/mlxlaunch-root", "/srv/deploy"):
            shutil.rmtree(host.path(place), ignore_errors=True)


def staging(host: Host, root: str = ROOT) -> list[str]:
    """Return what transfers have left on a host."""
    return sorted(str(path) for path in host.path(root).glob("projects/*/.part-*"))


def rows(done: Done) -> Mapping[str, str]:
    """Return what the last table on standard error says, by host or hosts."""
    lines = [line[2:].split("  ", 1) for line in done.stderr.splitlines() if line.startswith("  ") and "  " in line[2:]]
    return {name.strip(): text.strip() for name, text in lines}
