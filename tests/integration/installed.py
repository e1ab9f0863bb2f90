"""The archive of the collection as somebody has it who has nothing else: ansible-core, an empty directory, and no configuration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from tests.integration.cluster import Cluster, Done
from tests.integration.deploying import PATIENCE
from tests.lab.start import CHECKOUT
from tests.support.bare_ansible import make
from tests.support.controller import FOREIGN

NAME = "ansible_collections/mlxlaunch/cluster"


@dataclass(frozen=True)
class Installed:
    """An environment with ansible-core only, the archive installed where `ansible-galaxy` puts it, and a directory to start from.

    Attributes:
        home: home directory of who runs Ansible.
        programs: directory with Ansible's programs.
        archive: the archive that was installed.
        here: the current directory.
        cluster: hosts of the lab, or None for this machine only.
    """

    home: Path
    programs: Path
    archive: Path
    here: Path
    cluster: Cluster | None = None

    @classmethod
    def make(cls, home: Path) -> Installed:
        """Build the archive and install it, in a home directory that is empty."""
        programs = make(home / "env")
        archives = home / "archives"
        one = cls(home, programs, archives, home)
        for words in (["build", str(CHECKOUT / "collection"), "--output-path", str(archives)], ["install", "--offline"]):
            done = one.run("ansible-galaxy", "collection", *words, *map(str, archives.glob("*.tar.gz")))
            assert done.returncode == 0, done.stderr
        [archive] = archives.iterdir()
        return replace(one, archive=archive)

    @property
    def collections(self) -> Path:
        """The directory that `ansible-galaxy` installs to by default."""
        return self.home / ".ansible/collections"

    @property
    def collection(self) -> Path:
        """The directory of the installed collection."""
        return self.collections / NAME

    def environment(self, **env: str) -> dict[str, str]:
        """Return variables by which neither Python nor Ansible finds anything of the checkout."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith((*FOREIGN, "PYTHON", "VIRTUAL_ENV"))}
        lab = {name: os.environ[name] for name in ("ANSIBLE_SSH_COMMON_ARGS", "ANSIBLE_SSH_CONTROL_PATH_DIR") if name in os.environ}
        own = {
            "HOME": str(self.home),
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "XDG_STATE_HOME": str(self.here / "state"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
        }
        return kept | lab | own | env

    def run(self, program: str, *words: str, **env: str) -> Done:
        """Run one of Ansible's programs here to its end."""
        variables = self.environment(**env)
        # Its PATH is for this program only: what enters the lab for it needs the whole.
        argv = ["/usr/bin/env", f"PATH={variables['PATH']}", str(self.programs / program), *words]
        variables["PATH"] = os.environ["PATH"]
        options = {"stdin": subprocess.DEVNULL, "encoding": "utf-8", "timeout": PATIENCE}
        if self.cluster:
            return self.cluster.lab.run(argv, cwd=self.here, env=variables, **options)
        return subprocess.run(argv, cwd=self.here, env=variables, capture_output=True, check=False, **options)

    def playbook(self, *words: str, **env: str) -> Done:
        """Run `ansible-playbook` on the inventory."""
        return self.run("ansible-playbook", "-i", "hosts.yml", *words, **env)

    def play(self, *tasks: object, **keywords: object) -> Done:
        """Run a play of these tasks on the inventory."""
        play = {"hosts": "mlx", "gather_facts": False, **keywords} | ({"tasks": tasks} if tasks else {})
        self.write("play.yml", [play])
        return self.playbook("play.yml")

    def write(self, name: str, content: object) -> Path:
        """Write a file here, data as JSON; return its path."""
        path = self.here / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def only(self, *programs: str) -> str:
        """Return a PATH with Ansible's programs and these of the system, and no other."""
        folder = self.here / "programs"
        folder.mkdir(exist_ok=True)
        for name in programs:
            (folder / name).symlink_to(str(shutil.which(name)))
        return f"{self.programs}:{folder}"
