"""The exit status of `mlxlaunch run`, row by row, and what is said with it: one line, or one table, and no traceback."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible.cli import main
from tests.integration.cluster import ANSIBLE_PLAYBOOK, MLXLAUNCH, PATIENCE, PLAYBOOK, Cluster, Done, in_time, read_until, run_dirs
from tests.lab.start import CHECKOUT

pytestmark = pytest.mark.sweep

# Leaves a mark where it runs.
MARKING = "open({!r}, 'w')\n"


def marking(cluster: Cluster) -> str:
    return cluster.script(MARKING.format(str(cluster.here / "ran")))


def assert_nothing_ran(cluster: Cluster) -> None:
    marks = [host.name for host in cluster.hosts if host.is_on and host.path(cluster.here / "ran").exists()]
    assert marks == []
    assert not (cluster.here / "ran").exists()


def assert_refused(done: Done, *words: str) -> None:
    """One line that says everything, and status 2."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("mlxlaunch: "), line
    for word in words:
        assert word in line


def table(stderr: str) -> dict[str, list[str]]:
    """The rows under "hosts not ready", by host."""
    rows: dict[str, list[str]] = {}
    head, _, rest = stderr.partition("no rank was started anywhere\n")
    assert "not ready: " in head, stderr
    for line in rest.splitlines():
        host, problem = re.fullmatch(r"  (\S+) +(\S.*)", line).groups()  # type: ignore[union-attr]
        rows.setdefault(host, []).append(problem)
    return rows


# -- 0, and what a rank returned


def test_success_is_0_and_silent(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), cluster.script("print('x')"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\nx\n", "")


@pytest.mark.parametrize(
    ("end", "status", "how"),
    [
        ("sys.exit(7)", 7, "exited with code 7"),
        ("raise ValueError('größe')", 1, "exited with code 1"),
        ("os.kill(os.getpid(), 11)", 139, "was killed by SIGSEGV"),
    ],
)
def test_first_failing_rank_sets_the_status_and_is_named(cluster: Cluster, end: str, status: int, how: str) -> None:
    script = cluster.script(f"import os, sys, time\nif os.environ['RANK'] == '1':\n    {end}\ntime.sleep(600)\n")
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2", "node3"]), script)
    assert done.returncode == status
    assert f"mlxlaunch: rank 1 on node2 {how} after " in done.stderr
    assert "ended because of it: ranks 0 (node1, SIGTERM), 2 (node3, SIGTERM)" in done.stderr
    assert f"logs: {run_dirs(cluster)[0]}" in done.stderr
    assert "mlxlaunch_ansible" not in done.stderr  # no traceback of ours
    if status == 1:
        assert "    ValueError: größe\n" in done.stderr  # its last lines


def test_ansible_playbook_fails_when_a_rank_does(cluster: Cluster) -> None:
    script = cluster.script("import sys; print('no such thing', file=sys.stderr); sys.exit(7)")
    done = cluster.playbook(cluster.inventory(["node1"]), "-e", f"mlx_script={script}")
    assert done.returncode == 2  # Ansible's own for a failed task
    assert "mlxlaunch: rank 0 on node1 exited with code 7" in done.stderr
    assert "    no such thing\n" in done.stderr
    assert "fatal:" not in done.stdout  # told once


# -- 2: what was asked for cannot be meant


def refused(capfd: pytest.CaptureFixture[str], *words: str | Path) -> Done:
    """What `mlxlaunch run` says that never gets as far as starting Ansible, run in this process because that is fast."""
    try:
        code = main(["run", *(str(word) for word in words)])
    except SystemExit as exc:  # from argparse
        code = int(exc.code or 0)
    said = capfd.readouterr()
    return Done(words, code, said.out, said.err)


def test_wrong_words_are_told_in_one_line(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    script = marking(cluster)
    inventory = str(cluster.inventory(["node1"]))
    wrong: list[tuple[Sequence[str], Sequence[str]]] = [
        (["-i", "no/such/inventory.yml", script], ["no/such/inventory.yml"]),
        (["-i", inventory], ["no script"]),
        (["-i", inventory, "--backend", "tpu", script], ["tpu", "ring"]),
        (["-i", inventory, "--env", "NO VALUE", script], ["--env", "item 1", "NAME=VALUE"]),
        (["-i", inventory, "--env", "1A=b", script], ["--env", "1A"]),
        (["-i", inventory, "--env", "A B=b", script], ["--env", "A B"]),
        (["-i", inventory, "--env", "=b", script], ["--env"]),
        (["-i", inventory, "--starting-port", "0", script], ["--starting-port 0"]),
        (["-i", inventory, "-p", "65536", script], ["--starting-port 65536"]),
        (["-i", inventory, "-p", "http", script], ["--starting-port", "http"]),
        (["-i", inventory, "--connections-per-ip", "0", script], ["--connections-per-ip 0"]),
        (["-i", inventory, "--grace", "-1", script], ["--grace -1"]),
        (["-i", inventory, "--lease", "0.5", script], ["--lease 0.5"]),
        (["-i", inventory, "--timeout", "soon", script], ["--timeout", "soon"]),
        (["-i", inventory, "--hosts", "a", script], ["--inventory", "--hosts"]),
        (["-n", "0", script], ["--repeat-hosts 0"]),
        (["--hosts", "", script], ["--hosts"]),
        (["--hosts", "a,,b", script], ["--hosts"]),
        (["--hosts", "a,-oProxyCommand=x", script], ["--hosts", "-oProxyCommand=x", "'-'"]),
        (["--hosts", "fe80::1", script], ["--hosts", "fe80::1", "IPv6"]),
        (["--nosuchflag", script], ["--nosuchflag"]),
    ]
    for words, told in wrong:
        assert_refused(refused(capfd, *words), *told)
    assert_nothing_ran(cluster)
    assert run_dirs(cluster) == []


HOST = {"ssh": "node1", "ips": ["198.18.0.11"]}
HOSTFILES: list[tuple[Any, Sequence[str]]] = [
    ("{", ["not JSON"]),
    ("", ["not JSON"]),
    ("3", ["list of hosts"]),
    ([], ["no hosts"]),
    ({"hosts": {}}, ["list of hosts"]),
    ({"backend": "ring"}, ["hosts"]),
    ([HOST, {"ips": ["198.18.0.12"]}], ["host 1", "ssh"]),
    ([HOST, {"ssh": 7, "ips": []}], ["host 1", "ssh"]),
    ([HOST, "node2"], ["host 1", "node2"]),
    ([HOST, {"ssh": "", "ips": []}], ["host 1", "ssh", "empty"]),
    ([HOST, {"ssh": "-oProxyCommand=touch x", "ips": []}], ["host 1", "ssh", "'-'"]),
    ([HOST, {"ssh": "no de", "ips": []}], ["host 1", "no de"]),
    ([HOST, {"ssh": "node2", "ips": "198.18.0.12"}], ["host 1", "node2", "ips"]),
    ([HOST, {"ssh": "node2", "ips": ["fe80::2"]}], ["host 1", "node2", "ips", "fe80::2", "IPv6"]),
    ([HOST, {"ssh": "node2", "ips": ["198.18.0.300"]}], ["host 1", "node2", "ips", "198.18.0.300"]),
    ([HOST, {"ssh": "node2", "ips": ["mac2.local"]}], ["host 1", "node2", "ips", "mac2.local"]),
    ([HOST, {"ssh": "node2", "ips": ["198.18.0.11"]}], ["host 1", "node2", "ips", "198.18.0.11", "node1"]),
    ({"hosts": [HOST], "backend": "tpu"}, ["tpu"]),
    ({"hosts": [HOST], "backend": 3}, ["backend"]),
    ({"hosts": [HOST], "envs": ["NO VALUE"]}, ["envs", "item 1"]),
    ({"hosts": [HOST], "envs": {"A": "b"}}, ["envs"]),
]


def test_a_malformed_hostfile_is_told_with_file_host_and_field(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    script = marking(cluster)
    for data, told in HOSTFILES:
        path = cluster.json("my hosts.json", data)
        # A backend is a setting, wherever it is said.
        where = [] if "tpu" in told else [path]
        assert_refused(refused(capfd, "--hostfile", path, script), *where, *told)
    assert_refused(refused(capfd, "--hostfile", str(cluster.here), script), str(cluster.here), "cannot read")
    assert_refused(refused(capfd, "--hostfile", "nosuch.json", script), "nosuch.json", "No such file")
    binary = cluster.here / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    assert_refused(refused(capfd, "--hostfile", binary, script), "binary.json")
    assert_nothing_ran(cluster)


@pytest.mark.parametrize(
    ("hosts", "variables", "told"),
    [
        ({}, {}, ["hosts.yml", "mlx", "no hosts"]),
        ({"node1": {"mlx_ips": ["fe80::1"]}}, {}, ["node1", "mlx_ips", "fe80::1", "IPv6"]),
        ({"node1": {"mlx_env": {"1A": "b"}}}, {}, ["node1", "mlx_env", "1A"]),
        ({"node1": {"ansible_host": "-oProxyCommand=touch x"}}, {}, ["node1", "-oProxyCommand=touch x"]),
        ({"node1": {"ansible_connection": "winrm"}}, {}, ["node1", "winrm", "ssh"]),
        ({"node1": {}, "node2": {"ansible_host": "198.18.0.11"}}, {}, ["node1", "node2", "198.18.0.11"]),
        ({"node1": {}, "node2": {}}, {"mlx_starting_port": 65535}, ["65535", "--starting-port"]),
    ],
)
def test_inventory_mistake_is_told_with_host_and_variable(
    cluster: Cluster, hosts: dict[str, Any], variables: dict[str, Any], told: Sequence[str]
) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts, **variables), marking(cluster))
    assert_refused(done, *told)
    assert_nothing_ran(cluster)
    assert run_dirs(cluster) == []


def test_an_inventory_that_is_none_is_told(cluster: Cluster) -> None:
    path = cluster.here / "hosts.yml"
    path.write_text("mlx: [unclosed\n  - {")
    done = cluster.mlxlaunch("-i", path, marking(cluster))
    assert done.returncode == 2, done.stderr
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr


# -- 3: what only the hosts can know


def test_each_host_that_is_not_ready_has_a_row_and_no_rank_runs(cluster: Cluster) -> None:
    """Python, address, directory and script, each wrong on one host; all is found in one go."""
    one, two, three, four = cluster.hosts
    script = marking(cluster)
    four.path(script).unlink()
    hosts = {
        one.name: {},
        two.name: {"mlx_python": "/no such/python"},
        three.name: {"mlx_ips": ["198.18.0.99"]},
        four.name: {},
    }
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts), "--no-sync", script)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "mlxlaunch: 3 of 4 hosts not ready: node2, node3, node4; no rank was started anywhere" in done.stderr
    assert table(done.stderr) == {
        "node2": ["python /no such/python is not there, or cannot be run"],
        "node3": ["does not own 198.18.0.99; it has eth0 198.18.0.13, eth1 198.18.1.13"],
        "node4": [f"script {script} is not there"],
    }
    assert_nothing_ran(cluster)


def test_hosts_that_cannot_be_reached_have_their_rows(cluster: Cluster) -> None:
    """No sshd, no such name, another host's key, no key that fits."""
    config, known = cluster.lab.ssh_config, cluster.lab.dir / "known_hosts"
    stranger = cluster.here / "stranger"
    cluster.lab.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    hosts = {
        "node1": {"ansible_port": 2},
        "node2": {"ansible_ssh_common_args": f"-F {config} -o HostKeyAlias=node3"},
        "node3": {"ansible_ssh_common_args": f"-F /dev/null -o UserKnownHostsFile={known} -o IdentitiesOnly=yes -i {stranger}"},
        "nowhere.invalid": {"mlx_ips": ["198.18.0.99"]},
        "node4": {},
    }
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts), marking(cluster))
    assert done.returncode == 3
    rows = {host: " ".join(problems) for host, problems in table(done.stderr).items()}
    assert rows.keys() == {"node1", "node2", "node3", "nowhere.invalid"}
    assert "Connection refused" in rows["node1"]
    assert "host key has changed" in rows["node2"]
    assert "Permission denied" in rows["node3"]
    assert "Could not resolve hostname nowhere.invalid" in rows["nowhere.invalid"]
    assert_nothing_ran(cluster)


def test_a_host_that_does_not_answer_is_told_when_the_time_is_up(cluster: Cluster) -> None:
    """It drops packets. Of one that is off, ssh may know after some seconds that there is no route; and it has a limit too."""
    inventory, script = cluster.inventory(["node1", "node2"], ansible_ssh_timeout=1000), marking(cluster)
    rule = ["INPUT", "--protocol", "tcp", "--dport", "22", "--jump", "DROP"]
    cluster.hosts[1].run(["iptables", "--append", *rule], check=True)
    try:
        done, limit = in_time(
            lambda limit: cluster.mlxlaunch("-i", inventory, "--connect-timeout", limit, script),
            lambda done: "node1" not in table(done.stderr),
        )
    finally:
        cluster.hosts[1].run(["iptables", "--delete", *rule], check=True)
    assert done.returncode == 3
    assert table(done.stderr) == {"node2": [f"no answer within {limit} s"]}
    assert_nothing_ran(cluster)


def test_a_port_in_use_is_told(cluster: Cluster) -> None:
    program = "import socket; s = socket.socket(); s.bind(('0.0.0.0', 32324)); s.listen(); print('up', flush=True); s.accept()"
    script = marking(cluster)
    with cluster.started(["ssh", "-F", cluster.lab.ssh_config, "node2", f'{sys.executable} -c "{program}"']) as listener:
        assert listener.stdout
        read_until(listener.stdout.fileno(), b"up\n")
        done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), script)
        cluster.hosts[1].kill_ssh()
        cluster.hosts[1].kill_all()
    assert done.returncode == 3
    (problem,) = table(done.stderr)["node2"]
    assert problem.startswith("port 198.18.0.12:32324 cannot be used: Address already in use")
    assert_nothing_ran(cluster)


def test_a_port_in_use_here_is_told(cluster: Cluster) -> None:
    with cluster.lab.enter(), socket.create_server(("127.0.0.1", 32323)):
        done = cluster.mlxlaunch("-n", "2", marking(cluster))
    assert done.returncode == 3
    assert "port 127.0.0.1:32323 cannot be used" in table(done.stderr)["127.0.0.1"][0]
    assert_nothing_ran(cluster)


def test_a_missing_working_directory_is_told(cluster: Cluster) -> None:
    cwd = cluster.here / "only on node1"
    cluster.hosts[0].path(cwd).mkdir()
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), "--cwd", cwd, marking(cluster))
    assert done.returncode == 3
    assert table(done.stderr) == {"node2": [f"working directory {cwd} is not there"]}
    assert_nothing_ran(cluster)


def test_a_command_that_is_not_there_is_told(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1"]), "--", "no-such-command", "x")
    assert done.returncode == 3
    assert table(done.stderr) == {"node1": ["command no-such-command is not there, or cannot be run"]}


def test_become_that_needs_a_password_is_told(cluster: Cluster) -> None:
    sudoers = cluster.hosts[0].path("/etc/sudoers.d/mlx")
    before = sudoers.read_text()
    sudoers.write_text("mlx ALL=(ALL) ALL\n")
    try:
        inventory = cluster.inventory({"node1": {"ansible_user": "mlx", "ansible_become": True}})
        done = cluster.mlxlaunch("-i", inventory, marking(cluster))
    finally:
        sudoers.write_text(before)
    assert done.returncode == 3
    (problem,) = table(done.stderr)["node1"]
    assert "a password is required" in problem
    assert "NOPASSWD" in problem


def test_ansible_playbook_fails_when_hosts_are_not_ready(cluster: Cluster) -> None:
    done = cluster.playbook(cluster.inventory({"node1": {}, "node2": {"mlx_python": "/no/python"}}), "-e", f"mlx_script={marking(cluster)}")
    assert done.returncode == 2
    assert table(done.stderr) == {"node2": ["python /no/python is not there, or cannot be run"]}
    assert_nothing_ran(cluster)
    done = cluster.playbook(cluster.inventory({}), "-e", "mlx_script=x.py")
    assert done.returncode != 0
    assert "group 'mlx' has no hosts" in done.stdout + done.stderr


# -- 124, 130, 143


def test_time_limit_is_124(cluster: Cluster) -> None:
    inventory, command = cluster.inventory(["node1", "node2"]), ["/bin/sh", "-c", "echo up; exec sleep 600"]
    done, limit = in_time(
        lambda limit: cluster.mlxlaunch("-i", inventory, "--timeout", limit, "--", *command),
        lambda done: done.stdout == "up\nup\n",
        ("3", "20", "80"),
    )
    assert done.returncode == 124
    assert done.stdout == "up\nup\n"
    assert f"the job has run for its limit of {limit} s" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_the_job_and_are_the_status(cluster: Cluster, number: signal.Signals, status: int) -> None:
    script = cluster.script("import time; print('up', flush=True); time.sleep(600)")
    with cluster.started([*MLXLAUNCH, "run", "-i", cluster.inventory(["node1", "node2"]), script]) as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b"up\nup\n")
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status
    assert f"interrupted by {number.name}".encode() in err
    assert b"Traceback" not in err


def test_an_interrupt_before_any_rank_runs_is_130(cluster: Cluster) -> None:
    script = marking(cluster)
    cluster.hosts[1].cut()
    with cluster.started([*MLXLAUNCH, "run", "-i", cluster.inventory(["node1", "node2"]), script]) as process:
        assert process.stderr
        # It is told that one is missing, or both when node1 is slow as well.
        read_until(process.stderr.fileno(), b" of 2 hosts to be ready: ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert_nothing_ran(cluster)


def test_interrupting_ansible_playbook_ends_the_job(cluster: Cluster) -> None:
    script = cluster.script("import time; print('up', flush=True); time.sleep(600)")
    argv = [ANSIBLE_PLAYBOOK, "-i", cluster.inventory(["node1", "node2"]), PLAYBOOK, "-e", f"mlx_script={script}"]
    with cluster.started(argv, cwd=CHECKOUT) as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b"up\nup\n")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode not in (0, None)
    # Ansible itself does not wait for its worker to end the ranks; the lab's fixture waits, and fails if some stay.
    assert json.loads((run_dirs(cluster)[0] / "events.jsonl").read_text().splitlines()[0])["event"] == "job_started"


def test_a_reader_that_goes_away_ends_the_job(cluster: Cluster) -> None:
    """`mlxlaunch run ... | head -1`: nobody reads, nobody wants it."""
    script = cluster.script("import os\nwhile True: os.write(1, b'x' * 1000 + b'\\n')")
    command = '"$@" | head -c 10 >/dev/null; echo "${PIPESTATUS[0]}"'
    argv = ["/bin/bash", "-c", command, "bash", *MLXLAUNCH, "run", "-i", str(cluster.inventory(["node1"])), script]
    done = cluster.lab.run(argv, env=cluster.env, timeout=PATIENCE)
    assert done.stdout == "141\n", done.stderr
    assert "Traceback" not in done.stderr


def test_help_tells_every_status(cluster: Cluster) -> None:
    said = cluster.mlxlaunch("--help")
    assert said.returncode == 0
    for status in ("0 ", "128+n", "2 ", "3 ", "124", "130", "143"):
        assert status in said.stdout.partition("exit status:")[2]
    assert not Path(cluster.env["XDG_STATE_HOME"]).exists()
