"""The archive of the collection, installed beside ansible-core and used by name from an empty directory, with nothing of the checkout."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.transfer import LITTLE
from tests.integration.cluster import ALL_SUM, Cluster, right_sums, sums
from tests.integration.deploying import ROOT, wipe
from tests.integration.installed import NAME, Installed
from tests.lab.start import CHECKOUT
from tests.support.bare_ansible import make
from tests.unit.environments import lock_line, make_wheel

COLLECTION = CHECKOUT / "collection"
PLAYBOOKS = sorted(path.stem for path in (COLLECTION / "playbooks").glob("*.yml"))
ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir())
#: Kinds of plugins with a documentation, as their directories are called, and as ansible-doc calls them.
KINDS = {"modules": "module", "callback": "callback", "filter": "filter", "inventory": "inventory"}
PLUGINS = [
    f"{folder}.{path.stem}"
    for folder in ("action", "callback", "filter", "inventory")
    for path in (COLLECTION / "plugins" / folder).glob("*.py")
]
MOST_BYTES = 1_000_000

#: A rank that prints on both streams; the one named by the first argument fails.
SCRIPT = """
import os, sys
rank = os.environ["MLX_RANK"]
print("out of rank", rank)
print("err of rank", rank, file=sys.stderr)
sys.exit(7 if sys.argv[1:] == [rank] else 0)
"""
WRITES = "import os, pkg\nprint('with', pkg.VERSION)\nopen('made.txt', 'w').write('by rank ' + os.environ['MLX_RANK'])\n"

PROBE = """
import sys
from importlib import import_module
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
for plugin in sys.argv[1:]:
    import_module("ansible_collections.mlxlaunch.cluster.plugins." + plugin)
for name, module in sys.modules.items():
    if "mlxlaunch" in name:
        print(getattr(module, "__file__", None) or module.__path__[0])
"""

#: ansible-playbook as it would be with another ansible-core: one that has another version, or lacks what ours relies on.
OTHER_CORE = """
import sys
import ansible.release
ansible.release.__version__ = sys.argv.pop(1)
from ansible.plugins.connection import ssh
if sys.argv.pop(1) == "changed":
    del ssh.Connection._build_command
from ansible.cli.playbook import main
main()
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Installed]:
    """Install the archive once; with a short path, as Unix sockets are below it."""
    home = Path(tempfile.mkdtemp(prefix="mli-", dir="/tmp"))
    yield Installed.make(home)
    shutil.rmtree(home)


@pytest.fixture
def installed(shared: Installed, tmp_path: Path) -> Installed:
    """Give the installed archive, with a directory of two ranks on this machine and their script."""
    here = tmp_path / "empty"
    here.mkdir()
    installed = replace(shared, here=here)
    host = {"ansible_connection": "local", "mlx_slots": 2, "mlx_root": str(here / "root"), "mlx_python": sys.executable}
    host["mlx_starting_port"] = "auto"  # jobs of other tests run on this machine too
    installed.write("hosts.yml", {"mlx": {"hosts": {"localhost": host}}})
    installed.write("train.py", SCRIPT)
    return installed


@pytest.fixture
def remote(shared: Installed, cluster: Cluster) -> Iterator[Installed]:
    """Give the installed archive, with four hosts of the lab to which nothing was deployed."""
    wipe(cluster.hosts)
    cluster.inventory(["node1", "node2", "node3", "node4"])
    yield replace(shared, here=cluster.here, cluster=cluster)
    wipe(cluster.hosts)


# -- what is in it


def test_archive_is_small_and_whole(shared: Installed) -> None:
    with tarfile.open(shared.archive) as tar:
        members = tar.getmembers()
        [licence] = [tar.extractfile(member) for member in members if member.name == "LICENSE"]
        assert licence is not None
        assert licence.read() == (CHECKOUT / "LICENSE").read_bytes()
    assert all(member.isfile() or member.isdir() for member in members)
    names = {member.name for member in members}
    assert {f"playbooks/{name}.yml" for name in PLAYBOOKS} | {f"roles/{name}/README.md" for name in ROLES} <= names
    assert {"README.md", "CHANGELOG.rst", "changelogs/changelog.yaml", "meta/execution-environment.yml", "meta/ee-bindep.txt"} <= names
    assert [name for name in names if name.startswith(("tests", "changelogs/fragments"))] == []
    assert shared.archive.stat().st_size < MOST_BYTES


def test_top_level_playbooks_are_the_collection_s() -> None:
    assert sorted(path.stem for path in (CHECKOUT / "playbooks").iterdir()) == PLAYBOOKS
    for path in (CHECKOUT / "playbooks").iterdir():
        assert path.resolve() == COLLECTION / "playbooks" / path.name


@pytest.mark.versions
def test_plugins_are_those_of_the_archive(installed: Installed) -> None:
    """What is proved below is proved of the archive only if nothing comes from the checkout."""
    done = installed.run("python", "-c", PROBE, *PLUGINS)
    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert len(paths) > len(PLUGINS)
    assert [path for path in paths if not path.is_relative_to(installed.collections)] == []
    assert installed.run("python", "-c", "import ansible_runner").returncode == 1


@pytest.mark.versions
def test_everything_is_documented_by_name(installed: Installed) -> None:
    done = installed.run("ansible-doc", "--metadata-dump", "mlxlaunch.cluster")
    assert done.returncode == 0, done.stderr
    documented = json.loads(done.stdout)["all"]
    found = {kind: {name.rpartition(".")[2] for name in documented[kind]} for kind in (*KINDS.values(), "role")}
    expected = {kind: {path.stem for path in (COLLECTION / "plugins" / folder).glob("*.py")} for folder, kind in KINDS.items()}
    assert found == expected | {"role": set(ROLES)}
    page = installed.run("ansible-doc", "-t", "role", "mlxlaunch.cluster.launch")
    assert page.returncode == 0, page.stderr
    assert "Launch a distributed MLX job on a group of hosts" in page.stdout
    assert "mlx_script" in page.stdout


def test_every_playbook_is_found_by_name(installed: Installed) -> None:
    done = installed.playbook("--list-tasks", *(f"mlxlaunch.cluster.{name}" for name in PLAYBOOKS))
    assert done.returncode == 0, done.stderr
    found = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("playbook: ")]
    assert found == [str(installed.collection / "playbooks" / f"{name}.yml") for name in PLAYBOOKS]


# -- on this machine


@pytest.mark.versions
@pytest.mark.parametrize("callback", ["ansible.builtin.default", "mlxlaunch.cluster.stream"])
def test_launch_by_name_shows_what_ranks_print(installed: Installed, callback: str) -> None:
    done = installed.playbook("mlxlaunch.cluster.launch", "-e", "mlx_script=train.py", ANSIBLE_STDOUT_CALLBACK=callback)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines() + done.stderr.splitlines()
    assert sorted(line for line in lines if " of rank " in line) == [f"{name} of rank {rank}" for name in ("err", "out") for rank in (0, 1)]
    # With an ansible-core that is not tested yet, that is the only warning.
    assert [line for line in lines if "[WARNING]" in line and "is newer than those that mlxlaunch.cluster" not in line] == []


@pytest.mark.versions
def test_launch_by_name_fails_with_a_failing_rank(installed: Installed) -> None:
    done = installed.playbook("mlxlaunch.cluster.launch", "-e", '{"mlx_script": "train.py", "mlx_args": ["1"]}')
    assert done.returncode == 2
    assert "rank 1 on localhost exited with code 7" in done.stdout
    assert '"returncode": 7' in done.stdout


def test_site_by_name_deploys_checks_and_launches(installed: Installed) -> None:
    done = installed.playbook("mlxlaunch.cluster.site", "-e", "mlx_script=train.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (installed.here / "root/hostfile.json").read_text() == (installed.here / "hostfile.json").read_text()
    assert "localhost is ready" in done.stdout
    assert "out of rank 1" in done.stdout


def test_hostfile_is_an_inventory_by_name(installed: Installed) -> None:
    installed.write("ranks.json", [{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}] * 2)
    enabled = {"ANSIBLE_INVENTORY_ENABLED": "mlxlaunch.cluster.mlx_hostfile"}
    done = installed.run("ansible-playbook", "-i", "ranks.json", "mlxlaunch.cluster.launch", "-e", "mlx_script=train.py", **enabled)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "out of rank 1" in done.stdout


@pytest.mark.versions
def test_action_group_gives_every_action_its_defaults(installed: Installed) -> None:
    actions = sorted(path.stem for path in (installed.collection / "plugins" / "action").glob("*.py"))
    own: dict[str, dict[str, object]] = {name: {} for name in ("first_contact", "hostfile", "network", "prepare")}
    own["fetch"] = {"patterns": ["out/*"], "cwd": "/job"}
    options = {name: own.get(name, {"script": "train.py"}) for name in actions}
    tasks = [{f"mlxlaunch.cluster.{name}": options[name], "ignore_errors": True} for name in actions]
    done = installed.play(*tasks, module_defaults={"group/mlxlaunch.cluster.all": {"group": "nobody"}})
    assert done.returncode == 0, done.stdout + done.stderr
    refused = re.findall(r"^TASK \[mlxlaunch\.cluster\.(\w+)\].*?group 'nobody' has no hosts", done.stdout + done.stderr, re.M | re.S)
    assert refused == actions


@pytest.mark.versions
def test_check_info_has_its_old_name_too(installed: Installed) -> None:
    tasks = [{f"mlxlaunch.cluster.{name}": {"script": "train.py"}, "register": name} for name in ("check", "check_info")]
    same = {"ansible.builtin.assert": {"that": ["check.checks[0].status == check_info.checks[0].status", "check.returncode == 0"]}}
    done = installed.play(*tasks, same)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("localhost is ready") == 2


# -- on four hosts


@pytest.mark.versions
def test_launch_by_name_on_four_hosts(remote: Installed) -> None:
    words = ["mlxlaunch.cluster.check", "mlxlaunch.cluster.launch", "-e", f"mlx_script={ALL_SUM}"]
    done = remote.playbook(*words, ANSIBLE_STDOUT_CALLBACK="mlxlaunch.cluster.stream")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 4 hosts are ready" in done.stdout + done.stderr
    assert sums(done.stdout) == right_sums(4)


def test_playbooks_and_roles_by_name_on_two_hosts(remote: Installed, cluster: Cluster) -> None:
    """One deploy from a wheelhouse, and all that comes after it, from a controller that has ssh and no rsync."""
    cluster.inventory(["node1", "node2"], mlx_python=f"{sys.base_prefix}/bin/python3")
    wheel = make_wheel(remote.here / "wheels", "pkg")
    remote.write("requirements.lock", lock_line(wheel))
    remote.write("train.py", WRITES + "#" * LITTLE)
    settings = {"script": "train.py", "environment": "requirements.lock", "wheelhouse": "wheels", "hostfile_path": "hosts.json"}
    words = ["-e", json.dumps({f"mlx_{name}": value for name, value in settings.items()})]
    path = remote.only("cat", "ssh")

    playbooks = [f"mlxlaunch.cluster.{name}" for name in ("deploy", "network", "render_hostfile")]
    done = remote.playbook(*playbooks, *words, PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files went whole to node1, node2, as this machine has no rsync; install it (rsync)" in done.stdout
    written = {host.path(f"{ROOT}/hostfile.json").read_text() for host in cluster.hosts[:2]}
    assert written == {(remote.here / "hosts.json").read_text()}

    # The second time nothing is brought, and the roles find what the playbooks have deployed.
    roles = [{"role": f"mlxlaunch.cluster.{name}"} for name in ("env", "project", "hostfile", "launch", "fetch")]
    remote.write("play.yml", [{"hosts": "mlx", "gather_facts": False, "roles": roles, "vars": {"mlx_fetch": "made.txt"}}])
    played = remote.playbook("mlxlaunch.cluster.sync", "play.yml", *words, PATH=path)
    assert played.returncode == 0, played.stdout + played.stderr
    assert "brought the" not in played.stdout
    assert played.stdout.count("with 1.0") == 2
    assert (remote.here / "fetched/made.txt").read_text() == "by rank 0"


# -- what may be wrong with an installation


def one_line(text: str) -> str:
    """Return a text as one line; Ansible breaks its warnings where the terminal ends."""
    return " ".join(text.split())


def test_other_copy_beside_the_package_is_named(installed: Installed, tmp_path: Path) -> None:
    programs = make(tmp_path / "with-package")
    [site] = programs.parent.glob("lib/python3*/site-packages")
    other = site / NAME
    shutil.copytree(COLLECTION, other, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    galaxy = other / "galaxy.yml"
    galaxy.write_text(galaxy.read_text().replace("version: 1.0.0", "version: 0.9.0"))
    done = replace(installed, programs=programs).playbook("mlxlaunch.cluster.launch", "-e", "mlx_script=train.py")
    assert done.returncode == 0, done.stdout + done.stderr
    told = one_line(done.stderr + done.stdout)
    assert f"mlxlaunch.cluster 1.0.0 in {installed.collection} is used, and 0.9.0 in {other} is not; remove one of them" in told


@pytest.mark.versions
@pytest.mark.parametrize(
    ("version", "changed", "returncode", "told"),
    [
        ("2.18.1", False, 1, "ansible-core 2.18.1 is older than those that mlxlaunch.cluster 1.0.0 is tested with, 2.19 to 2.21;"),
        ("2.30.0", False, 0, "ansible-core 2.30.0 is newer than those that mlxlaunch.cluster 1.0.0 is tested with, 2.19 to 2.21;"),
        ("2.30.0", True, 2, "_build_command'; ansible-core 2.30.0 is newer than those that"),
    ],
    ids=["older", "newer", "newer and changed"],
)
def test_ansible_core_that_is_not_tested_is_named(installed: Installed, version: str, changed: bool, returncode: int, told: str) -> None:
    if changed:
        installed.write("hosts.yml", {"mlx": {"hosts": {"node1": {"ansible_host": "198.18.255.1"}}}})
    words = ["-i", "hosts.yml", "mlxlaunch.cluster.launch", "-e", "mlx_script=train.py"]
    done = installed.run("python", "-c", OTHER_CORE, version, "changed" if changed else "", *words)
    assert done.returncode == returncode, done.stdout + done.stderr
    assert told in one_line(done.stderr + done.stdout)
    assert "Traceback" not in done.stderr + done.stdout


def test_machine_without_ssh_is_told_what_to_install(installed: Installed) -> None:
    installed.write("hosts.yml", {"mlx": {"hosts": {"node1": {"ansible_host": "198.18.255.1"}}}})
    done = installed.playbook("mlxlaunch.cluster.launch", "-e", "mlx_script=train.py", PATH=installed.only())
    assert done.returncode == 2
    said = one_line(done.stdout + done.stderr)
    assert "node1: this machine has no ssh that can be run; install it (Debian: openssh-client, Fedora and RHEL: openssh-clients)" in said
    assert "Traceback" not in said
