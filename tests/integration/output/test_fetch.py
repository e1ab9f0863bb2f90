"""Role fetch: files of the host of rank 0 come to the controller, when they have changed, or it is told why not."""

from __future__ import annotations

import filecmp
import json
import re
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.names import RESULTS
from tests.integration.cluster import ANSIBLE_PLAYBOOK, Cluster, Done
from tests.lab.spec import USER

# Writes what it is told to, below its working directory; <x> is how Ansible lets {{x}} pass.
WRITE = """
import os, sys
for path in sys.argv[1:] if os.environ["RANK"] == "0" else ():
    path = path.replace("<", "{{").replace(">", "}}")
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write("from " + os.uname().nodename + ", " + path)
"""
PLAY = """
- hosts: mlx
  gather_facts: false
  roles: [mlxlaunch.cluster.launch, mlxlaunch.cluster.fetch]
"""


def fetch(cluster: Cluster, wanted: object, files: Sequence[str] = (), *words: str, **variables: object) -> Done:
    """Launch a job that writes files, and fetch what is wanted; rank 0 is on node2."""
    inventory = cluster.inventory(["node2", "node1"], **{"ansible_python_interpreter": sys.executable} | variables)
    play = cluster.here / "play.yml"
    play.write_text(PLAY)
    settings = {"mlx_script": cluster.script(WRITE), "mlx_args": list(files), "mlx_fetch": wanted}
    return cluster._run([ANSIBLE_PLAYBOOK, "-i", inventory, play, "-e", json.dumps(settings), *words])


def fetched(cluster: Cluster, folder: str = "fetched") -> dict[str, str]:
    """Return what has come, by path; the mark that keeps it out of a project is not from a host."""
    base = cluster.here / folder
    return {str(path.relative_to(base)): path.read_text() for path in base.rglob("*") if path.is_file() and path.name != RESULTS}


def changes(done: Done) -> int:
    """Return how many tasks have changed something; nothing may have failed. The launch always has."""
    assert done.returncode == 0, done.stdout + done.stderr
    return sum(int(count) for count in re.findall(r"changed=(\d+)", done.stdout)) - 1


def test_names_and_globs_come_once_from_the_host_of_rank_0(cluster: Cluster) -> None:
    files = ["w.npz", "out/a 1.txt", "out/b.log", "out/.s", "runs/1/m<x>.npz", "runs/2/m.npz", "runs/2/deep/m.npz", "all/x", "all/y/z"]
    elsewhere = f"{cluster.here}-too/w.npz"
    wanted = ["w.npz", "./out/*.txt", "out/.s*", "runs/*/m*.npz", "all/**", elsewhere]
    first = fetch(cluster, wanted, [*files, elsewhere])
    assert changes(first) == 1
    names = {"w.npz", "out/a 1.txt", "out/.s", "runs/1/m{{x}}.npz", "runs/2/m.npz", "all/x", "all/y/z"}
    assert fetched(cluster) == {name: f"from node2, {name}" for name in names} | {elsewhere[1:]: f"from node2, {elsewhere}"}

    assert changes(fetch(cluster, wanted, [*files, elsewhere])) == 0  # the job has written the same again
    (cluster.here / "fetched/w.npz").write_text("something else")
    assert changes(fetch(cluster, "w.npz", ["w.npz"])) == 1
    assert fetched(cluster)["w.npz"] == "from node2, w.npz"
    shutil.rmtree(Path(elsewhere).parent, ignore_errors=True)


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("nothing.npz", "node2: {here}/nothing.npz is not there"),
        (["w.npz", "none/*.npz"], "node2: {here}/none is not there"),
        ("*.safetensors", "node2: {here}/*.safetensors matches no file"),
        ("out", "node2: {here}/out is not a file; a directory is fetched as {here}/out/**"),
    ],
)
def test_what_is_not_there_is_named_with_its_host(cluster: Cluster, wanted: object, why: str) -> None:
    done = fetch(cluster, wanted, ["w.npz", "out/x"])
    assert done.returncode == 2
    assert f"mlx_fetch: {why.format(here=cluster.here)}" in re.sub(r"\s+", " ", done.stdout + done.stderr)
    assert not fetched(cluster)


def test_large_file_comes_over_ssh_in_little_memory(cluster: Cluster) -> None:
    size = 300_000_000
    source = cluster.hosts[1].path(cluster.here) / "big.bin"
    source.parent.mkdir(parents=True, exist_ok=True)
    with source.open("wb") as file:
        file.truncate(size - 4)
        file.seek(0, 2)
        file.write(b"last")
    source.chmod(0o4755)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert changes(fetch(cluster, "big.bin")) == 1
    got = cluster.here / "fetched/big.bin"
    assert (got.stat().st_size, got.stat().st_mode & 0o7777) == (size, 0o700)
    assert filecmp.cmp(got, source, shallow=False)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 200_000)  # KiB


def test_two_files_that_would_be_one_are_refused(cluster: Cluster) -> None:
    outside = f"{cluster.here}-too/w.npz"
    done = fetch(cluster, [outside, outside[1:]], [outside, outside[1:]])
    assert done.returncode == 2
    assert "two files would be one" in done.stdout + done.stderr
    assert not fetched(cluster)


def test_a_link_is_fetched_by_its_name(cluster: Cluster) -> None:
    place = cluster.hosts[1].path(cluster.here)
    (place / "latest.npz").symlink_to("w.npz")
    (place / "keys").symlink_to("/etc/hostname")
    assert changes(fetch(cluster, "latest.npz", ["w.npz"], "-e", "mlx_fetch_to=to/here")) == 1
    assert fetched(cluster, "to/here") == {"latest.npz": "from node2, w.npz"}
    done = fetch(cluster, "keys")
    assert done.returncode == 2
    assert f"node2: {cluster.here}/keys leads by a link to /etc/hostname, which is outside of {cluster.here}" in done.stdout + done.stderr


def test_check_mode_runs_nothing_and_fetches_nothing(cluster: Cluster) -> None:
    assert changes(fetch(cluster, "w.npz", ["w.npz"], "--check")) == 0  # beside the launch, which would run something
    assert not (cluster.here / "fetched").exists()


def test_become_reads_what_only_root_may(cluster: Cluster) -> None:
    folder = cluster.hosts[1].path("/root/private")
    folder.mkdir(mode=0o700, exist_ok=True)
    inventory = {"ansible_user": USER, "ansible_become": True}
    assert changes(fetch(cluster, "/root/private/w.npz", ["/root/private/w.npz"], **inventory)) == 1
    assert fetched(cluster) == {"root/private/w.npz": "from node2, /root/private/w.npz"}
    shutil.rmtree(folder)


def test_without_a_job_it_says_what_is_missing(cluster: Cluster) -> None:
    play = cluster.here / "play.yml"
    play.write_text(PLAY.replace("mlxlaunch.cluster.launch, ", ""))
    done = cluster._run([ANSIBLE_PLAYBOOK, "-i", cluster.inventory(["node1"]), play, "-e", "mlx_fetch=w.npz"])
    assert done.returncode == 2
    assert "no job has run before in this play" in done.stdout + done.stderr
