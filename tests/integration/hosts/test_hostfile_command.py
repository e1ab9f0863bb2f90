"""One set of hosts, told by an inventory or by an mlx.launch hostfile: each is made from the other, and both launch."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import ALL_SUM, ANSIBLE_PLAYBOOK, MLXLAUNCH, Cluster, Done, right_sums, sums
from tests.lab.start import CHECKOUT

pytestmark = pytest.mark.sweep

THREE = ["node1", "node2", "node3"]
PLAYBOOK = str(CHECKOUT / "playbooks/hostfile.yml")


def run(cluster: Cluster, argv: Sequence[str | Path], *, plain_ssh: bool = False, **env: str) -> Done:
    """Run a program in the test's directory, with the checkout's ansible.cfg."""
    return cluster._run(argv, plain_ssh=plain_ssh, env={"ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"} | env)


def hostfile(cluster: Cluster, *words: str | Path, **env: str) -> Done:
    """Run `mlxlaunch hostfile`."""
    return run(cluster, [*MLXLAUNCH, "hostfile", *words], **env)


def write_hostfiles(cluster: Cluster, inventory: Path | str, *words: str, **variables: Any) -> Done:
    """Run playbooks/hostfile.yml."""
    return run(cluster, [ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK, "-e", json.dumps(variables), *words])


def entry(cluster: Cluster, at: int, **more: Any) -> dict[str, Any]:
    """Return the hostfile's entry of a lab host."""
    return {"ssh": f"root@{cluster.hosts[at].address}", "ips": [cluster.hosts[at].address]} | more


def inventory(cluster: Cluster, hosts: Any = THREE, **variables: Any) -> Path:
    return cluster.inventory(hosts, ansible_python_interpreter=sys.executable, **variables)


@pytest.fixture
def root(cluster: Cluster) -> Iterator[Path]:
    """Give a directory that no host has yet."""
    path = cluster.here / "root"
    with clean(cluster, path):
        yield path


@contextlib.contextmanager
def clean(cluster: Cluster, path: Path) -> Iterator[None]:
    """Let no host have the directory before and after."""
    for host in cluster.hosts:
        shutil.rmtree(host.path(path), ignore_errors=True)
    yield
    for host in cluster.hosts:
        shutil.rmtree(host.path(path), ignore_errors=True)


def on_hosts(cluster: Cluster, path: Path, count: int = 3) -> list[str | None]:
    """Return the content of a file on the first hosts."""
    places = [host.path(path) for host in cluster.hosts[:count]]
    return [place.read_text() if place.exists() else None for place in places]


def changed(done: Done) -> int:
    """Return how many changes the recap tells of: one task for all hosts and the controller is one."""
    recap = done.stdout.partition("PLAY RECAP")[2]
    counts = [word.partition("=")[2] for word in recap.split() if word.startswith("changed=")]
    assert counts, done.stdout + done.stderr
    return sum(map(int, counts))


def plus(done: Done) -> list[str]:
    """Return the lines that a diff adds, and before them the names of what they are added to."""
    return [line for line in done.stdout.splitlines() if line.startswith("+")]


# -- the real thing


@pytest.mark.parametrize("schema", ["list", "object"])
def test_mlx_launch_adds_up_with_a_rendered_hostfile(cluster: Cluster, schema: str) -> None:
    done = hostfile(cluster, "-i", inventory(cluster), "--schema", schema, "-o", "hosts.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    launch = [Path(sys.executable).with_name("mlx.launch"), "--backend", "ring", "--hostfile", "hosts.json", "--python", sys.executable]
    done = run(cluster, [*launch, ALL_SUM], plain_ssh=True)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(3), done.stdout + done.stderr


@pytest.mark.parametrize("schema", ["list", "object"])
def test_playbook_adds_up_with_a_hostfile_as_inventory(cluster: Cluster, schema: str) -> None:
    entries = [entry(cluster, at) for at in (2, 0, 1)]
    data = entries if schema == "list" else {"backend": "ring", "envs": ["K=V"], "hosts": entries}
    path = cluster.json("hosts.json", data)
    done = cluster.playbook(path, "-e", f"mlx_script={ALL_SUM}", "-e", f"mlx_python={sys.executable}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sums(done.stdout) == right_sums(3)


def test_ranks_of_a_hostfile_as_inventory_are_where_it_says(cluster: Cluster) -> None:
    """Not in a row, with another address for the second one, and variables of the hostfile and of group_vars for all."""
    two = cluster.hosts[1]
    entries = [entry(cluster, 1), entry(cluster, 0), entry(cluster, 1, ips=[two.address2])]
    path = Path(cluster.json("hosts.json", {"envs": ["K=a {{ b }}"], "hosts": entries}))
    (cluster.here / "group_vars").mkdir()
    (cluster.here / "group_vars/mlx.yml").write_text(json.dumps({"mlx_python": sys.executable, "mlx_prefix": True}))
    script = cluster.script("import os; print(os.environ['K'], open(os.environ['MLX_HOSTFILE']).read().split()[-1], flush=True)")
    done = cluster.playbook(path, "-e", f"mlx_script={script}")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("["))
    one = cluster.hosts[0]
    assert lines == [f'[{rank} root@{host.address}] a {{{{ b }}}} ["{two.address2}:32325"]]' for rank, host in enumerate((two, one, two))]


def test_run_job_s_ansible_reads_a_hostfile_in_a_directory(cluster: Cluster) -> None:
    """A directory with group_vars, without any ansible.cfg."""
    folder = cluster.here / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    cluster.json("inventory/hosts.json", {"backend": "ring", "hosts": [entry(cluster, at) for at in range(3)]})
    (folder / "group_vars/mlx.yml").write_text(json.dumps({"mlx_python": sys.executable}))
    done = cluster.mlxlaunch("-i", folder, ALL_SUM)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(3)


# -- the command


def test_command_prints_a_line_per_rank(cluster: Cluster) -> None:
    hosts = {"node2": {"mlx_slots": 2, "mlx_ips": ["{{ net }}.7", "{{ net }}.8"]}, "node1": {"mlx_rdma": [None, "rdma_en2"]}}
    one, two = cluster.hosts[:2]
    done = hostfile(cluster, "-i", inventory(cluster, hosts, net="10.0.0"))
    assert (done.returncode, done.stderr) == (0, "")
    twice = f'  {{"ssh": "root@{two.address}", "ips": ["10.0.0.7", "10.0.0.8"]}},\n'
    assert done.stdout == f'[\n{twice}{twice}  {{"ssh": "root@{one.address}", "ips": ["{one.address}"], "rdma": [null, "rdma_en2"]}}\n]\n'


def test_command_needs_no_host(cluster: Cluster) -> None:
    done = hostfile(cluster, "-i", inventory(cluster), ANSIBLE_SSH_EXECUTABLE="/bin/false")
    assert [host["ssh"] for host in json.loads(done.stdout)] == [entry(cluster, at)["ssh"] for at in range(3)]


def test_newer_schema_has_backend_and_hostfile_variables(cluster: Cluster) -> None:
    path = inventory(cluster, ["node1"], mlx_backend="jaccl", mlx_env={"TOKEN": "secret"}, mlx_hostfile_env={"K": 1})
    done = hostfile(cluster, "-i", path, "--schema", "object")
    assert json.loads(done.stdout) == {"backend": "jaccl", "envs": ["K=1"], "hosts": [entry(cluster, 0)]}


def test_command_line_overrules_the_inventory_s_schema(cluster: Cluster) -> None:
    path = inventory(cluster, ["node1"], group="gpus", mlx_hostfile_schema="object")
    found = [hostfile(cluster, "-i", path, "--group", "gpus", *words).stdout for words in ([], ["--schema", "list"])]
    assert json.loads(found[0])["hosts"] == json.loads(found[1]) == [entry(cluster, 0)]


def test_command_takes_names_and_hostfiles(cluster: Cluster) -> None:
    two = cluster.hosts[1].address
    done = hostfile(cluster, "--hosts", f"{two},root@localhost", "-n", "2")
    here = {"ssh": "root@localhost", "ips": ["127.0.0.1"]}
    assert json.loads(done.stdout) == [{"ssh": two, "ips": [two]}] * 2 + [here] * 2
    data = {"backend": "jaccl", "envs": ["A=1", "A=2"], "hosts": [{"ssh": "b", "ips": []}, {"ssh": "a", "ips": [], "rdma": [None]}]}
    path = cluster.json("hosts.json", data)
    for words in (["--hostfile", path], ["-i", path]):
        assert json.loads(hostfile(cluster, *words, "--schema", "object").stdout) == data
        assert json.loads(hostfile(cluster, *words).stdout) == data["hosts"]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ([], "which hosts?"),
        (["-i", "none.yml"], "none.yml: no such inventory"),
        (["-i", "hosts.yml", "--group", "gpus"], "group 'gpus' has no hosts; the groups are: all, mlx, ungrouped"),
        (["-i", "hosts.yml"], "node1: mlx_ips: 'net' is undefined"),
        (["--hostfile", "bad.json"], 'bad.json: host 1: "ssh" is missing'),
        (["-i", "bad"], 'bad/hosts.json: host 1: "ssh" is missing'),
        (["--hosts", "fe80::1"], "--hosts: fe80::1 is IPv6"),
        (["--hosts", "a", "--hostfile", "bad.json"], "hosts can come from one of them only"),
        (["--hosts", "10.0.0.1", "-o", "none/hosts.json"], "--output none/hosts.json: cannot be written: No such file or directory"),
        (["--hosts", "10.0.0.1", "--schema", "yaml"], "invalid choice: 'yaml'"),
        (["--hosts", "10.0.0.1", "--", "x"], "nothing can follow --"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(cluster: Cluster, words: list[str], wrong: str) -> None:
    cluster.inventory({"node1": {"mlx_ips": ["{{ net }}.1"]}})
    (cluster.here / "bad").mkdir()
    for name in ("bad.json", "bad/hosts.json"):
        cluster.json(name, [{"ssh": "a"}, {"ips": []}])
    done = hostfile(cluster, *words)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("mlxlaunch")
    assert wrong in line


def test_help_teaches_the_command(cluster: Cluster) -> None:
    said = hostfile(cluster, "--help").stdout
    for word in ("mlx.launch --hostfile hosts.json", "--schema {list,object}", "exit status"):
        assert word in said


# -- the role


def test_role_writes_the_hostfile_everywhere_once(cluster: Cluster, root: Path) -> None:
    path = inventory(cluster, mlx_root=str(root))
    first = write_hostfiles(cluster, path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert changed(first) == 1
    said = [f"mlxlaunch: {name}: brought the hostfile to {root}/hostfile.json" for name in THREE]
    assert [line for line in first.stdout.splitlines() + first.stderr.splitlines() if "brought" in line] == said
    here = cluster.here / "hostfile.json"
    assert here.read_text() == hostfile(cluster, "-i", path).stdout
    assert on_hosts(cluster, root / "hostfile.json") == [here.read_text()] * 3
    places = [here, *(host.path(root / "hostfile.json") for host in cluster.hosts[:3])]
    assert {place.stat().st_mode & 0o7777 for place in places} == {0o644}
    before = [place.stat() for place in places]
    second = write_hostfiles(cluster, path)
    assert (second.returncode, changed(second)) == (0, 0)
    assert [(place.stat().st_ino, place.stat().st_mtime_ns) for place in places] == [(one.st_ino, one.st_mtime_ns) for one in before]
    assert [sorted(place.name for place in host.path(root).iterdir()) for host in cluster.hosts[:3]] == [["hostfile.json"]] * 3


def test_changed_hostfile_is_written_again_only_where_it_differs(cluster: Cluster, root: Path) -> None:
    path = inventory(cluster, mlx_root=str(root))
    assert write_hostfiles(cluster, path).returncode == 0
    places = [cluster.here / "hostfile.json", *(host.path(root / "hostfile.json") for host in cluster.hosts[:3])]
    text = places[0].read_text()
    places[2].write_text("mine")
    places[3].chmod(0o600)
    before = [place.stat().st_ino for place in places]
    done = write_hostfiles(cluster, path, "--diff")
    assert (done.returncode, changed(done)) == (0, 1)
    assert [place.read_text() for place in places] == [text] * 4
    assert {place.stat().st_mode & 0o7777 for place in places} == {0o644}
    assert [place.stat().st_ino == one for place, one in zip(places, before, strict=True)] == [True, True, False, False]
    assert plus(done)[0] == f"+++ after: {root}/hostfile.json on node2"
    assert f"{root}/hostfile.json on node3\nmode 0600, to be 0644\n" in done.stdout
    assert "node1" not in done.stdout.partition("PLAY RECAP")[0].partition("changed: [node1]")[0]


def test_link_in_its_place_is_replaced_and_its_target_stays(cluster: Cluster, root: Path) -> None:
    folder = cluster.hosts[0].path(root)
    folder.mkdir(parents=True)
    (folder / "precious").write_text("kept")
    (folder / "hostfile.json").symlink_to("precious")
    done = write_hostfiles(cluster, inventory(cluster, ["node1"], mlx_root=str(root)), mlx_hostfile_path="")
    assert (done.returncode, changed(done)) == (0, 1)
    assert (folder / "precious").read_text() == "kept"
    assert not (folder / "hostfile.json").is_symlink()
    assert [host["ssh"] for host in json.loads((folder / "hostfile.json").read_text())] == [entry(cluster, 0)["ssh"]]


def test_check_mode_says_what_would_change_and_changes_nothing(cluster: Cluster, root: Path) -> None:
    path = inventory(cluster, mlx_root=str(root))
    done = write_hostfiles(cluster, path, "--check", "--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed(done) == 1
    text = [f"+{line}" for line in hostfile(cluster, "-i", path).stdout.splitlines()]
    here, hosts = f"+++ after: {cluster.here}/hostfile.json", f"+++ after: {root}/hostfile.json on node1, node2, node3"
    assert plus(done) == [here, *text, hosts, *text]
    assert "brought" not in done.stdout + done.stderr
    assert on_hosts(cluster, root) == [None] * 3
    assert not (cluster.here / "hostfile.json").exists()


def test_check_mode_shows_the_line_that_differs(cluster: Cluster, root: Path) -> None:
    assert write_hostfiles(cluster, inventory(cluster, mlx_root=str(root))).returncode == 0
    before = on_hosts(cluster, root / "hostfile.json")
    path = inventory(cluster, {"node1": {}, "node2": {"mlx_ips": "10.0.0.2"}, "node3": {}}, mlx_root=str(root))
    done = write_hostfiles(cluster, path, "--check", "--diff")
    assert (done.returncode, changed(done)) == (0, 1)
    line = f'+  {{"ssh": "root@{cluster.hosts[1].address}", "ips": ["10.0.0.2"]}},'
    here, hosts = f"+++ after: {cluster.here}/hostfile.json", f"+++ after: {root}/hostfile.json on node1, node2, node3"
    assert plus(done) == [here, line, hosts, line]
    assert on_hosts(cluster, root / "hostfile.json") == before


def test_limit_says_where_it_is_written_and_not_what_is_in_it(cluster: Cluster, root: Path) -> None:
    path = inventory(cluster, mlx_root=str(root))
    done = write_hostfiles(cluster, path, "--limit", "node2", mlx_hostfile_path="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert on_hosts(cluster, root / "hostfile.json") == [None, hostfile(cluster, "-i", path).stdout, None]
    assert not (cluster.here / "hostfile.json").exists()


def test_become_without_a_password_makes_the_file_another_user_s(cluster: Cluster, root: Path) -> None:
    hosts = {"node1": {"ansible_user": "mlx", "ansible_become": True}, "node2": {"ansible_user": "mlx"}, "node3": {"ansible_become": True}}
    path = inventory(cluster, hosts, mlx_root=str(root), ansible_become_user="root")
    cluster.hosts[1].path(root).mkdir(parents=True, mode=0o755)
    done = write_hostfiles(cluster, path, mlx_hostfile_path="")
    assert done.returncode == 2
    assert f"  node2  cannot write {root}/hostfile.json: {root}: Permission denied; set mlx_root to" in done.stdout + done.stderr
    assert [text and json.loads(text)[1]["ssh"] for text in on_hosts(cluster, root / "hostfile.json")] == [
        f"mlx@{cluster.hosts[1].address}",
        None,
        f"mlx@{cluster.hosts[1].address}",
    ]
    assert [cluster.hosts[at].path(root / "hostfile.json").stat().st_uid for at in (0, 2)] == [0, 0]


def test_where_not_all_hosts_are_macs_it_is_written_below_opt(cluster: Cluster) -> None:
    with clean(cluster, Path("/opt/mlxlaunch")):
        done = write_hostfiles(cluster, inventory(cluster), mlx_hostfile_path="", mlx_hostfile_schema="object")
        assert done.returncode == 0, done.stdout + done.stderr
        found = on_hosts(cluster, Path("/opt/mlxlaunch/hostfile.json"))
        assert [json.loads(text or "")["backend"] for text in found] == [""] * 3


@pytest.mark.parametrize(
    ("hosts", "root"), [(["me"], "/Users/Shared/mlxlaunch-root"), (["me", "node1"], "/opt/mlxlaunch-root")], ids=["macs", "mixed"]
)
def test_default_directory_is_that_of_macs_when_all_are(cluster: Cluster, hosts: list[str], root: str) -> None:
    """A Python that takes itself for a plain user's on Darwin stands in for a Mac.

    As a local host, and in check mode, so that nothing is made here.
    """
    python = cluster.here / "python"
    python.write_text(
        f"#!{sys.executable} -IS\n"
        "import os, sys\n"
        "if sys.argv[1] == '-V':\n    sys.exit(print('Python 3.11.0'))\n"
        "own = os.uname()\n"
        "os.uname = lambda: os.uname_result(('Darwin', *own[1:]))\n"
        "os.geteuid = lambda: 501\n"
        "exec(sys.argv[sys.argv.index('-c') + 1])\n"
    )
    python.chmod(0o755)
    own = {"me": {"ansible_connection": "local", "ansible_host": "127.0.0.1", "ansible_python_interpreter": str(python)}}
    path = inventory(cluster, {name: own.get(name, {}) for name in hosts})
    done = write_hostfiles(cluster, path, "--check", "--diff", mlx_hostfile_path="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in plus(done) if line.startswith("+++")] == [f"+++ after: {root}/hostfile.json on {', '.join(hosts)}"]


def test_failure_to_make_a_directory_names_host_and_path(cluster: Cluster, root: Path) -> None:
    path = inventory(cluster, mlx_root=str(root))
    blocked = cluster.hosts[1].path(root)
    blocked.write_text("in the way")
    try:
        done = write_hostfiles(cluster, path)
        assert done.returncode == 2
        assert f"\n  node2  cannot write {root}/hostfile.json: {root}: Not a directory\n" in done.stdout + done.stderr
        assert blocked.read_text() == "in the way"
        text = (cluster.here / "hostfile.json").read_text()
        assert [host.path(root / "hostfile.json").read_text() for host in (cluster.hosts[0], cluster.hosts[2])] == [text] * 2
    finally:
        blocked.unlink()


def test_check_mode_tells_what_could_not_be_written(cluster: Cluster, root: Path) -> None:
    path = inventory(cluster, mlx_root=str(root))
    cluster.hosts[1].path(root).write_text("in the way")
    try:
        done = write_hostfiles(cluster, path, "--check", mlx_hostfile_path="")
        assert done.returncode == 2
        assert f"\n  node2  cannot write {root}/hostfile.json: {root}: Not a directory\n" in done.stdout + done.stderr
    finally:
        cluster.hosts[1].path(root).unlink()
    (cluster.here / "hostfile.json").mkdir()
    done = write_hostfiles(cluster, path, "--check")
    assert done.returncode == 2
    assert f"mlx_hostfile_path: cannot write {cluster.here}/hostfile.json: Is a directory" in done.stdout + done.stderr
    assert on_hosts(cluster, root) == [None] * 3


def test_unreachable_host_does_not_keep_the_others_from_theirs(cluster: Cluster, root: Path) -> None:
    hosts = {"node1": {}, "node2": {"ansible_port": 9}, "node3": {}}
    path = inventory(cluster, hosts, mlx_root=str(root))
    done = write_hostfiles(cluster, path)
    assert done.returncode == 2
    assert "1 hosts could not be given the hostfile: node2" in done.stdout + done.stderr
    text = (cluster.here / "hostfile.json").read_text()
    assert on_hosts(cluster, root / "hostfile.json") == [text, None, text]


def test_role_refuses_to_write_into_an_inventory_directory(cluster: Cluster, root: Path) -> None:
    folder = cluster.here / "inventory"
    folder.mkdir()
    inventory(cluster, mlx_root=str(root)).rename(folder / "hosts.yml")
    done = write_hostfiles(cluster, folder, mlx_hostfile_path="inventory/hostfile.json")
    assert done.returncode == 2
    assert "inventory/hostfile.json is the inventory; name another file" in done.stdout + done.stderr
    assert [path.name for path in folder.iterdir()] == ["hosts.yml"]
    assert on_hosts(cluster, root) == [None] * 3


def test_role_refuses_to_write_over_the_inventory(cluster: Cluster, root: Path) -> None:
    path = Path(cluster.json("hostfile.json", {"envs": ["K=V"], "hosts": [entry(cluster, 0)]}))
    before = path.read_text()
    done = write_hostfiles(cluster, path, mlx_root=str(root))
    assert done.returncode == 2
    assert "hostfile.json is the inventory; name another file" in done.stdout + done.stderr
    assert path.read_text() == before


def test_role_without_hosts_says_which_groups_there_are(cluster: Cluster) -> None:
    done = write_hostfiles(cluster, inventory(cluster), mlx_group="gpus")
    assert done.returncode == 2
    assert "group 'gpus' has no hosts; the groups are: all, mlx, ungrouped" in done.stdout + done.stderr


# -- round and round


@pytest.mark.parametrize("schema", ["list", "object"])
@pytest.mark.parametrize("order", [(0, 0, 1, 2), (0, 1, 0, 2)], ids=["in a row", "interleaved"])
def test_hostfile_round_trips_through_inventories(cluster: Cluster, root: Path, schema: str, order: tuple[int, ...]) -> None:
    hosts = {host.name: {"mlx_slots": order.count(at), "mlx_rdma": [None, f"en{at}"]} for at, host in enumerate(cluster.hosts[:3])}
    names = [f"node{at + 1}" for at in order]
    ranks = {} if order == (0, 0, 1, 2) else {"mlx_hostfile": [{"ssh": name, "rdma": hosts[name]["mlx_rdma"]} for name in names]}
    path = inventory(cluster, hosts, mlx_hostfile_env={"K": "a b", "L": "{{ 1 + 1 }}"}, mlx_backend="ring", **ranks)
    made = hostfile(cluster, "-i", path, "--schema", schema).stdout
    rendered = json.loads(made)
    entries = rendered if schema == "list" else rendered["hosts"]
    assert entries == [entry(cluster, at, rdma=[None, f"en{at}"]) for at in order]
    second = Path(cluster.json("second.json", made))
    done = write_hostfiles(
        cluster,
        second,
        mlx_hostfile_schema=schema,
        mlx_hostfile_path="third.json",
        mlx_root=str(root),
        ansible_python_interpreter=sys.executable,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (cluster.here / "third.json").read_text() == made
    assert on_hosts(cluster, root / "hostfile.json") == [made] * 3
