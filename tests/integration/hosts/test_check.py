"""`mlxlaunch check` and playbooks/check.yml: one table, a row a host, and what to do about what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.integration.cluster import ANSIBLE_PLAYBOOK, MLXLAUNCH, PATIENCE, Cluster, Done, in_time, read_until
from tests.integration.deploying import wipe
from tests.lab import Host
from tests.lab.start import CHECKOUT
from tests.support.waiting import wait_until

PLAYBOOK = str(CHECKOUT / "playbooks/check.yml")


@pytest.fixture(autouse=True)
def nothing_is_deployed(cluster: Cluster) -> None:
    """Leave no versions of earlier tests, of which a check tells if a job has changed them."""
    wipe(cluster.hosts)


@pytest.fixture(autouse=True)
def nothing_listens_afterwards(cluster: Cluster) -> Any:
    """Fail a test whose check leaves a socket listening on a host."""
    yield
    for host in cluster.hosts:
        if host.is_on:
            # The agents of a check that was interrupted may take a moment to leave.
            wait_until(lambda host=host: ports(host) == {22}, f"nothing listens on {host.name}: {ports(host)}")


def ports(host: Host) -> set[int]:
    """Return the ports on which something listens."""
    rows = host.run(["ss", "--no-header", "--listening", "--tcp", "--numeric"], check=True).stdout.splitlines()
    return {int(row.split()[3].rpartition(":")[2]) for row in rows}


def check(cluster: Cluster, inventory: str | os.PathLike[str], *words: str | os.PathLike[str], **options: Any) -> Done:
    """Run `mlxlaunch check` to its end."""
    return cluster._run([*MLXLAUNCH, "check", "-i", inventory, *words], **options)


def table(text: str) -> dict[str, dict[str, str]]:
    """Return the cells of the printed table by host and heading."""
    found: dict[str, dict[str, str]] = {}
    for block in text.split("\n\n"):
        head, *rows = block.splitlines()
        if head.startswith("host"):
            starts = [at for at, char in enumerate(head) if char != " " and (at == 0 or head[at - 1] == " ")]
            for row in rows:
                cells = [row[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
                found.setdefault(cells[0], {}).update(zip(head.split()[1:], cells[1:], strict=True))
    return found


def offset(row: Mapping[str, str]) -> float:
    """Return by how many seconds a clock was off; it is known no better than to half the time that an answer takes."""
    return float(row["clock"].rstrip("?").removesuffix("s"))


def notes(text: str) -> set[tuple[str, str, str]]:
    """Return (fail or warn, host, column) of the lines below the table."""
    lines = [re.split(" {2,}", line) for line in text.splitlines() if line.startswith(("fail  ", "warn  "))]
    everybody = list(table(text))
    return {(line[0], host, line[2]) for line in lines for host in (everybody if line[1] == "all" else line[1].split(", "))}


def failing(text: str) -> set[tuple[str, str]]:
    """Return (host, column) of what fails."""
    return {(host, column) for status, host, column in notes(text) if status == "fail"}


def cells(done: Done) -> dict[str, Mapping[str, Any]]:
    """Return the cells that `--json` tells, by host."""
    return {row["host"]: row["cells"] for row in json.loads(done.stdout)["hosts"]}


# -- all is well


def test_good_hosts_have_a_row_each_and_status_0(cluster: Cluster) -> None:
    done = check(cluster, cluster.inventory(["node1", "node2", "node3"]))
    assert done.returncode == 0, done.stdout + done.stderr
    found = table(done.stdout)
    assert list(found) == ["node1", "node2", "node3"]
    for row in found.values():
        assert {
            "ssh": "yes",
            "key": "ok",
            "core": "ok",
            "addr": "ok",
            "ring": "2/2",
            "left": "none",
        }.items() <= row.items()
        assert abs(offset(row)) < 1
    assert failing(done.stdout) == set()
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "all 3 hosts are ready" in done.stderr


def test_every_data_address_of_neighbours_is_tried(cluster: Cluster) -> None:
    hosts = {host.name: {"mlx_ips": [host.address, host.address2]} for host in cluster.hosts[:2]}
    done = check(cluster, cluster.inventory(hosts), "--connections-per-ip", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["ring"] for row in table(done.stdout).values()] == ["4/4", "4/4"]


def test_json_is_one_document(cluster: Cluster) -> None:
    done = check(cluster, cluster.inventory(["node1", "node2"]), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["returncode"], told["cause"]) == (0, "ready")
    assert [(row["host"], row["ranks"], row["status"]) for row in told["hosts"]] == [("node1", [0], "ok"), ("node2", [1], "ok")]
    first = told["hosts"][0]
    assert first["cells"]["mlx.core"] == {"value": "ok", "status": "ok", "notes": []}
    assert ["eth0", "198.18.0.11"] in first["facts"]["addresses"]["own"]


def test_hosts_can_come_from_a_hostfile_and_from_names(cluster: Cluster) -> None:
    entries = [{"ssh": host.name, "ips": [host.address]} for host in cluster.hosts[:2]]
    for words in (["--hostfile", cluster.json("hosts.json", entries)], ["--hosts", "198.18.0.11,198.18.0.12"]):
        done = cluster._run([*MLXLAUNCH, "check", *words])
        assert done.returncode == 0, done.stdout + done.stderr
        assert [row["ring"] for row in table(done.stdout).values()] == ["1/1", "1/1"]


# -- what is wrong


def test_several_things_wrong_at_once_are_all_told(cluster: Cluster) -> None:
    """Off, without Python, with another's address, with a wrong clock; each on one host, told in one go."""
    one, two, three, four = cluster.hosts
    one.power_off()
    four.set_clock(90)
    hosts = {one.name: {}, two.name: {"mlx_python": "/no/python"}, three.name: {"mlx_ips": ["198.18.0.99"]}, four.name: {}}
    done, _limit = in_time(
        lambda limit: check(cluster, cluster.inventory(hosts), "--connect-timeout", limit),
        lambda done: [host for host, row in table(done.stdout).items() if row["ssh"] != "yes"] == ["node1"],
    )
    assert done.returncode == 3
    assert failing(done.stdout) == {("node1", "reachable"), ("node2", "python"), ("node3", "addresses")}, done.stdout
    assert ("warn", "node4", "clock") in notes(done.stdout)
    found = table(done.stdout)
    assert (found["node1"]["ssh"], found["node2"]["python"], found["node3"]["addr"]) == ("no!", "none!", "wrong!")
    assert abs(offset(found["node4"]) - 90) < 1
    # A neighbour that cannot listen is not held against those who can.
    assert "!" not in found["node4"]["ring"]
    assert "/no/python is not there, or cannot be run; set mlx_python" in done.stdout
    assert "does not own 198.18.0.99; it has eth0 198.18.0.13, eth1 198.18.1.13; set mlx_ips" in done.stdout
    assert "3 of 4 hosts not ready: node1, node2, node3" in done.stderr


def test_failures_of_ssh_are_told_apart(cluster: Cluster) -> None:
    config, known = cluster.lab.ssh_config, cluster.lab.dir / "known_hosts"
    stranger = cluster.here / "stranger"
    cluster.lab.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    hosts = {
        "node1": {"ansible_ssh_common_args": f"-F {config} -o HostKeyAlias=node3"},
        "node2": {"ansible_ssh_common_args": f"-F {config} -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes"},
        "node3": {"ansible_ssh_common_args": f"-F /dev/null -o UserKnownHostsFile={known} -o IdentitiesOnly=yes -i {stranger}"},
        "node4": {"ansible_port": 2},
    }
    done = check(cluster, cluster.inventory(hosts))
    assert done.returncode == 3
    found = table(done.stdout)
    assert [(row["ssh"], row["key"]) for row in found.values()] == [
        ("yes", "changed!"),
        ("yes", "unknown!"),
        ("denied!", "ok"),
        ("no!", "-"),
    ]
    assert "check why before you accept it" in done.stdout


def test_cut_link_between_neighbours_is_told_on_both_sides(cluster: Cluster) -> None:
    """The data network of one host is down while ssh to it works."""
    hosts = {host.name: {"mlx_ips": [host.address2]} for host in cluster.hosts[:3]}
    cluster.hosts[1].run(["ip", "link", "set", "eth1", "down"], check=True)
    try:
        done = check(cluster, cluster.inventory(hosts))
    finally:
        cluster.hosts[1].run(["ip", "link", "set", "eth1", "up"], check=True)
    assert done.returncode == 3
    assert failing(done.stdout) == {(name, "neighbours") for name in hosts}
    assert [row["ring"] for row in table(done.stdout).values()] == ["1/2!", "0/2!", "1/2!"]
    assert "cannot reach node2 at 198.18.1.12:32324 from 198.18.1.11:" in done.stdout


def test_way_that_is_open_in_one_direction_only_is_told(cluster: Cluster) -> None:
    one, two = cluster.hosts[:2]
    hosts = {host.name: {"mlx_ips": [host.address2]} for host in (one, two)}
    # What node2 sends of its own accord to where rank 0 listens is rejected there; answers to node1 pass.
    rule = ["INPUT", "--protocol", "tcp", "--dport", "32323", "--jump", "REJECT", "--reject-with", "tcp-reset"]
    one.run(["iptables", "--append", *rule], check=True)
    try:
        done = check(cluster, cluster.inventory(hosts))
    finally:
        one.run(["iptables", "--delete", *rule], check=True)
    assert failing(done.stdout) == {("node2", "neighbours")}
    assert "Connection refused; something in between rejects it; look at firewalls" in done.stdout


def test_port_in_use_is_told_and_nobody_connects_to_it(cluster: Cluster) -> None:
    gate = cluster.script(
        "import socket; s = socket.create_server(('', 32324)); print('up', flush=True); s.accept(); print('met', flush=True)"
    )
    python = cluster.mapping([])["mlx"]["vars"]["mlx_python"]
    with cluster.started(["ssh", "-F", cluster.lab.ssh_config, "node2", f"{python} {gate}"]) as listener:
        assert listener.stdout
        read_until(listener.stdout.fileno(), b"up\n")
        done = check(cluster, cluster.inventory(["node1", "node2"]))
        cluster.hosts[1].kill_ssh()
        cluster.hosts[1].kill_all()
        assert listener.stdout.read() == b""
    assert done.returncode == 3
    assert failing(done.stdout) == {("node2", "addresses")}
    assert "port 198.18.0.12:32324 cannot be used: Address already in use" in done.stdout


def test_python_without_mlx_and_another_version_are_told(cluster: Cluster) -> None:
    """The system's Python has no MLX, and an MLX that cannot be imported is told with its message."""
    broken = cluster.here / "lib"
    for host in cluster.hosts[2:3]:
        package = host.path(broken / "mlx")
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "core.py").write_text("raise RuntimeError('no Metal device')")
    hosts = {"node1": {}, "node2": {"mlx_python": "/usr/bin/python3"}, "node3": {"mlx_env": {"PYTHONPATH": str(broken)}}}
    done = check(cluster, cluster.inventory(hosts))
    assert done.returncode == 3
    assert {("node2", "mlx"), ("node3", "mlx.core")} <= failing(done.stdout)
    assert "/usr/bin/python3 has no MLX" in done.stdout
    assert "RuntimeError: no Metal device" in done.stdout


def test_mpirun_is_looked_for_where_a_launch_would_take_it(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1", "node2"])
    found = check(cluster, inventory, "--backend", "mpi", "--mpirun", "/usr/bin/mpirun")
    assert found.returncode == 0, found.stdout
    assert {row["mpi"].rpartition(".")[0] for row in table(found.stdout).values()} == {"4.1"}
    missing = check(cluster, inventory, "--backend", "mpi", "--mpirun", "/opt/nowhere/mpirun")
    assert missing.returncode == 3
    assert notes(missing.stdout) == {("fail", "node1", "mpirun"), ("fail", "node2", "mpirun")}


def leave_folder(cluster: Cluster, name: str) -> None:
    """Let a job run that leaves a folder of that name beside its own on node1, with nobody who holds it."""
    folder = f"os.path.dirname(os.path.dirname(os.environ['MLX_HOSTFILE'])) + '/{name}'"
    leave = f"os.mkdir({folder}, 0o700)\n    open({folder} + '/lock', 'w')"
    script = cluster.script(f"import os\nif os.environ['MLX_RANK'] == '0':\n    {leave}\n", "leave.py")
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), "--no-sync", script)
    assert done.returncode == 0, done.stderr


def test_job_that_runs_is_no_leftover_for_a_check_with_another_tmpdir(cluster: Cluster) -> None:
    inventory = cluster.inventory({"here": {"ansible_connection": "local", "ansible_host": "127.0.0.1", "mlx_ips": ["127.0.0.1"]}})
    script = cluster.script("import os, time\nprint('up', os.getpid(), flush=True)\ntime.sleep(1000)\n")
    with cluster.started([*MLXLAUNCH, "run", "-i", inventory, "--no-sync", script]) as process:
        assert process.stdout
        pid = read_until(process.stdout.fileno(), b"\n").split()[-1].decode()
        for state in (cluster.env["XDG_STATE_HOME"], str(cluster.here)):
            done = check(cluster, inventory, script, env={"TMPDIR": str(cluster.here), "XDG_STATE_HOME": state})
            # Processes of another test's lab may be told: this is the machine that has all of them.
            assert f"({pid})" not in done.stdout


def test_leftovers_of_earlier_jobs_are_told(cluster: Cluster) -> None:
    cluster.may_leave_files = True
    two = cluster.hosts[1]
    name = "20260101-000000-abcdef-0"
    leave_folder(cluster, name)
    part = two.path("/opt/mlxlaunch/projects/llm/.part-0123")
    part.mkdir(parents=True)
    command = "env MLXLAUNCH_JOB=20260101-000000-abcdef.1 sleep 900"
    try:
        with cluster.started(["ssh", "-F", cluster.lab.ssh_config, "node2", command]):
            wait_until(lambda: [process for process in two.leftovers() if process.name == "sleep"], "the process runs")
            done = check(cluster, cluster.inventory(["node1", "node2"]))
            two.kill_all()
    finally:
        part.rmdir()
    assert done.returncode == 3
    assert ("warn", "node1", "leftovers") in notes(done.stdout)
    assert failing(done.stdout) == {("node2", "leftovers")}
    assert f"/{name}; remove them" in done.stdout
    assert "sleep (" in done.stdout
    assert "/opt/mlxlaunch/projects/llm/.part-0123" in done.stdout


# -- script and project


def test_script_on_the_hosts_is_looked_for(cluster: Cluster) -> None:
    script = cluster.script("", "there.py", hosts=cluster.hosts[:1])
    done = check(cluster, cluster.inventory(["node1", "node2"]), "--no-sync", script)
    assert done.returncode == 3
    assert failing(done.stdout) == {("node2", "project")}
    assert f"script {script} is not there" in done.stdout


def test_script_that_all_hosts_have_needs_no_deploy(cluster: Cluster) -> None:
    script = cluster.script("print(1)")
    inventory = cluster.inventory(["node1", "node2"])
    done = check(cluster, inventory, script)
    assert done.returncode == 0, done.stdout
    assert "proj" in table(done.stdout)["node1"]
    cluster.hosts[1].path(script).write_text("print(2)")
    done = check(cluster, inventory, script)
    assert failing(done.stdout) == {("node1", "project"), ("node2", "project")}


def test_project_is_proved_by_digest(cluster: Cluster) -> None:
    """Not brought yet, brought, and edited by hand on one host."""
    script = cluster.script("print(1)", hosts=[])
    inventory = cluster.inventory(["node1", "node2"])
    done = check(cluster, inventory, script)
    assert failing(done.stdout) == {("node1", "project"), ("node2", "project")}
    assert "run mlxlaunch sync to bring it" in done.stdout
    brought = cluster._run([*MLXLAUNCH, "sync", "-i", inventory, script])
    assert brought.returncode == 0, brought.stderr
    done = check(cluster, inventory, script, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    digests = {row["project"]["value"] for row in cells(done).values()}
    assert len(digests) == 1
    [path] = {line.split()[1] for line in brought.stdout.splitlines() if line.startswith("script ")}
    assert f"/{digests.pop()}" in path
    cluster.hosts[1].path(path).write_text("print(2)")
    done = check(cluster, inventory, script)
    assert done.returncode == 3
    assert failing(done.stdout) == {("node2", "project")}
    assert table(done.stdout)["node2"]["proj"] == "edited!"


# -- ways in, ways out


def test_ansible_playbook_shows_the_table_and_fails(cluster: Cluster) -> None:
    def playbook(hosts: Mapping[str, Mapping[str, Any]]) -> Done:
        return cluster._run([ANSIBLE_PLAYBOOK, "-i", cluster.inventory(hosts), PLAYBOOK], cwd=CHECKOUT)

    done = playbook({"node1": {}, "node2": {}})
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(table(done.stderr)) == ["node1", "node2"]
    assert "changed=0" in done.stdout
    done = playbook({"node1": {}, "node2": {"mlx_python": "/no/python"}})
    assert done.returncode == 2
    assert failing(done.stderr) == {("node2", "python")}


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--", "x"], "after --"), (["--starting-port", "0"], "--starting-port 0"), (["--group", "none"], "group 'none' has no hosts")],
)
def test_wrong_usage_is_2(cluster: Cluster, words: Sequence[str], told: str) -> None:
    done = check(cluster, cluster.inventory(["node1"]), *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""


def test_interrupt_ends_the_check(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1", "node2"])
    cluster.hosts[1].cut()
    with cluster.started([*MLXLAUNCH, "check", "-i", inventory]) as process:
        assert process.stderr
        read_until(process.stderr.fileno(), b"node2\n")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert (out, b"Traceback" in err) == (b"", False)
