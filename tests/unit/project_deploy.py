# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project that is deployed to a root on this machine, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy import store, versions
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.retention import prune
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.deploy.versions import state
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.transfer import contents

RSYNC = shutil.which("rsync")


class Deploy:
    """A tree of files on the controller, and a host it is deployed to."""

    def __init__(self, top: Path) -> None:
        self.source = top / "source"
        self.root = top / "root"
        self.with_call = False  # whether contents come with the call
        self.source.mkdir()

    def write(self, path: str, text: str, mode: int = 0o644, mtime: int = 1_700_000_000) -> None:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(mode)
        os.utime(file, (mtime, mtime))

    def entries(self) -> list[manifest.Entry]:
        found: list[manifest.Entry] = manifest.scan(str(self.source)).entries
        return found

    def digest(self) -> str:
        return str(manifest.digest(self.entries()))

    def begin(self) -> dict[str, object]:
        entries = self.entries()
        begun: dict[str, object] = store.begin(str(self.root), "demo", manifest.digest(entries), manifest.pack(entries))
        return begun

    def send(self, *options: str) -> str:
        """Send the files, as a deploy does; return the list of what was sent. Without --perms: modes are the commit's."""
        staging = self.version().staging
        command = [str(RSYNC), "-rlt", "--itemize-changes", *options, f"{self.source}/", f"{staging}/"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def begin_and_send(self) -> list[str]:
        """Begin a transfer and send the files; return the paths that it had to send."""
        self.begin()
        pending: list[str] = store.pending(str(self.root), "demo", self.digest())
        self.send()
        return pending

    def receive(self) -> None:
        """Have the files come with the call, as what is little does."""
        where = (str(self.root), "demo", self.digest())
        store.receive(*where, contents(self.source, store.pending(*where)))

    def commit(self) -> dict[str, str]:
        done: dict[str, str] = store.commit(str(self.root), "demo", self.digest())
        return done

    def deploy(self) -> Path:
        """Do the whole of it; return the version's directory."""
        if self.begin()["state"] == "begun":
            self.receive() if self.with_call else self.send()
            self.commit()
        return self.tree()

    def version(self, digest: str = "") -> versions.Version:
        return versions.Version(str(self.root), "demo", digest or self.digest())

    def tree(self) -> Path:
        return Path(self.version().tree)

    def state(self) -> str:
        return str(state(str(self.root), "demo", self.digest())["state"])

    def prune(self, keep: int, current: str = "") -> dict[str, object]:
        done: dict[str, object] = prune(str(self.root), "demo", keep, current or self.digest())
        return done

    def folder(self) -> list[str]:
        """Return what is in the project's directory, but for locks."""
        return sorted(path.name for path in (self.root / "projects" / "demo").iterdir() if not path.name.endswith(".lock"))


def edit_content(tree: Path) -> None:
    (tree / "train.py").write_text("print('howdy')\n")
