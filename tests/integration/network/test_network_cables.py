"""The network of lab Macs with cables: from bare ports to sums over the cables, and back.

Ports are real interfaces, and the programs that show and set them are the lab's; see tests/lab/mac/README.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

from tests.integration.cluster import (
    ALL_SUM,
    ANSIBLE_PLAYBOOK,
    LEASE,
    MLXLAUNCH,
    PATIENCE,
    Cluster,
    Done,
    controlled_from,
    right_sums,
    sums,
)
from tests.lab import Host, Lab
from tests.lab.start import CHECKOUT
from tests.support.waiting import wait_until

CONFIG = Path(sys.executable).with_name("mlx.distributed_config")
PLAYBOOK = str(CHECKOUT / "playbooks/network.yml")
FOUR = ["node1", "node2", "node3", "node4"]
RECORD = "/Library/Application Support/mlxlaunch/network.json"

MakeCluster = Callable[..., Cluster]


@pytest.fixture
def make_cluster(make_lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeCluster:
    """Give a function that starts Macs with a plan of cables."""

    def make(count: int, cables: Any) -> Cluster:
        lab = make_lab(count, personality="mac", cables=cables)
        return controlled_from(lab, tmp_path, monkeypatch)

    return make


def names(cluster: Cluster) -> list[str]:
    return [host.name for host in cluster.hosts]


def network(cluster: Cluster, *words: str | os.PathLike[str], inventory: Path | None = None) -> Done:
    """Run `mlxlaunch network` on all hosts over Thunderbolt to its end."""
    hosts = inventory or cluster.inventory(names(cluster))
    over = [] if "--undo" in words else ["--over", "thunderbolt"]
    return cluster._run([*MLXLAUNCH, "network", "-i", hosts, *over, *words])


def document(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shown(host: Host) -> str:
    """Return everything that the programs of a Mac show about its settings."""
    commands = (["ifconfig", "-a"], ["netstat", "-rn", "-f", "inet"], ["networksetup", "-listnetworkserviceorder"])
    # Routes come in the order in which their interfaces did.
    return "".join("".join(sorted(host.run(command, check=True).stdout.splitlines(keepends=True))) for command in commands)


def ports(host: Host) -> set[str]:
    """Return the members of a Mac's bridge."""
    text = host.run(["ifconfig", "-a"], check=True).stdout
    return {line.split()[1] for line in text.splitlines() if line.strip().startswith("member:")}


def restart(host: Host) -> None:
    host.power_off()
    host.power_on()


# -- from bare ports to sums, and back


@pytest.mark.mac(cables="ring")
def test_ring_from_bare_ports_to_sums_over_a_restart_and_back(cluster: Cluster) -> None:
    before = [shown(host) for host in cluster.hosts]
    done = network(cluster, "--apply", "--output-hostfile", "hosts.json")
    assert done.returncode == 0, done.stderr
    assert "mlxlaunch: 8 ports on 4 hosts set; 4 links work in both directions" in done.stderr
    assert done.stdout.count("; stays after a restart") == 8
    assert done.stdout.count("  ready") == 8
    # Twice changes nothing, and is verified all the same.
    again = document(network(cluster, "--apply", "--json"))
    assert (again["message"], again["problems"]) == ("nothing to change; 4 links work in both directions", [])
    launched = cluster.mlxlaunch("--hostfile", "hosts.json", "--python", sys.executable, ALL_SUM)
    assert launched.returncode == 0, launched.stderr
    assert sums(launched.stdout) == right_sums(4)
    # The addresses are those of the cables, and stay.
    ips = [ip for host in json.loads((cluster.here / "hosts.json").read_text())["hosts"] for ip in host["ips"]]
    assert len(ips) == 4
    assert all(ip.startswith("10.213.64.") for ip in ips)
    restart(cluster.hosts[1])
    found = network(cluster, "--json")
    assert document(found)["message"] == "4 hosts, backend ring over 4 Thunderbolt cables: all are set"
    undone = network(cluster, "--undo")
    assert undone.returncode == 0, undone.stderr
    assert "mlxlaunch: 8 ports on 4 hosts taken back" in undone.stderr
    assert [shown(host) for host in cluster.hosts] == before
    assert not any(host.path(RECORD).exists() for host in cluster.hosts)
    assert "mlxlaunch: nothing to change" in network(cluster, "--undo").stderr


@pytest.mark.long
@pytest.mark.mac(cables="ring")
def test_playbook_with_check_and_diff_tells_what_it_would_do_and_then_does_that(cluster: Cluster) -> None:
    before = [shown(host) for host in cluster.hosts]
    words = [
        ANSIBLE_PLAYBOOK,
        "-i",
        cluster.inventory(FOUR),
        PLAYBOOK,
        "-e",
        "mlx_network_over=thunderbolt",
        "-e",
        "mlx_network_apply=true",
    ]
    checked = cluster._run([*words, "--check", "--diff"])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "would change  node1 en2: 10.213.64.1/30" in checked.stdout
    assert "+en2: 10.213.64.1/30, service mlxlaunch Thunderbolt 1, manual" in checked.stdout
    assert "changed=1" in checked.stdout
    assert [shown(host) for host in cluster.hosts] == before
    # The example does it, and trains over the cables in the same run.
    job = json.dumps({"mlx_script": str(ALL_SUM), "mlx_python": sys.executable})
    trained = cluster._run([*words[:3], str(CHECKOUT / "examples/train_over_cables.yml"), "-e", job])
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert sums(trained.stdout) == right_sums(4)
    assert "set  node1 en2: 10.213.64.1/30" in trained.stdout
    assert "changed=0" in cluster._run(words).stdout
    back = cluster._run([*words[:4], "-e", "mlx_network_state=absent"])
    assert back.returncode == 0, back.stdout + back.stderr
    assert [shown(host) for host in cluster.hosts] == before


@pytest.mark.long
@pytest.mark.mac(cables="ring")
def test_host_without_sudo_gets_its_commands_and_the_others_are_set(cluster: Cluster) -> None:
    rule = cluster.hosts[1].path("/etc/sudoers.d/mlx")
    rule.rename(rule.with_name("mlx.off~"))  # sudo reads no file with a dot or a tilde
    try:
        inventory = cluster.inventory(FOUR, ansible_user="mlx")
        done = network(cluster, "--apply", "--output-hostfile", "hosts.json", inventory=inventory)
    finally:
        rule.with_name("mlx.off~").rename(rule)
    assert done.returncode == 3, done.stderr
    assert "by hand  node2: " in done.stdout
    by_hand = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("sudo ")]
    assert "sudo networksetup -createnetworkservice 'mlxlaunch Thunderbolt 1' 'Thunderbolt 1'" in by_hand
    assert not (cluster.here / "hosts.json").exists()
    assert "10.213.64." not in cluster.hosts[1].run(["ifconfig", "-a"]).stdout
    assert all("10.213.64." in host.run(["ifconfig", "-a"]).stdout for host in (cluster.hosts[0], *cluster.hosts[2:]))
    # What a person would type is all that was missing.
    for line in by_hand:
        cluster.hosts[1].run(["sh", "-c", line], check=True)
    assert "nothing to change; 4 links work" in network(cluster, "--apply", inventory=inventory).stderr
    assert network(cluster, "--undo", inventory=inventory).returncode == 0
    for service in ("mlxlaunch Thunderbolt 1", "mlxlaunch Thunderbolt 2"):
        cluster.hosts[1].run(["networksetup", "-removenetworkservice", service], check=True)


@pytest.mark.mac(cables="ring")
def test_undo_that_would_cut_its_own_connection_is_refused(cluster: Cluster) -> None:
    assert network(cluster, "--apply").returncode == 0
    set_up = [shown(host) for host in cluster.hosts]
    keys = f"  IdentityFile {cluster.lab.dir}/key\n  UserKnownHostsFile {cluster.lab.dir}/known_hosts\n  HostKeyAlias node2\n"
    jump = f"Host 10.213.64.*\n{keys}  ProxyJump node1\n  User root\nHost *\nInclude {cluster.lab.ssh_config}\n"
    (cluster.here / "ssh_config").write_text(jump)
    ssh = f"-F {cluster.here / 'ssh_config'}"
    own = {"ansible_host": "10.213.64.2", "ansible_ssh_common_args": ssh}
    inventory = cluster.inventory({name: own if name == "node2" else {} for name in FOUR})
    done = network(cluster, "--undo", inventory=inventory)
    assert done.returncode == 3, done.stderr
    assert "node2: en3 carries the connection by which it would be changed (10.213.64.2)" in done.stderr
    assert [shown(host) for host in cluster.hosts] == set_up
    assert network(cluster, "--undo").returncode == 0


# -- hosts and controllers that vanish


@contextlib.contextmanager
def held(cluster: Cluster, host: Host, word: str) -> Iterator[Path]:
    """Let networksetup of a host wait for ever at a command; give the file that it makes when it has come there."""
    program = host.path("/usr/sbin/networksetup")
    real, sign = program.with_name("networksetup.real"), host.path("/tmp/held")
    program.rename(real)
    program.write_text(f'#!/bin/sh\n[ "$1" = {word} ] && {{ touch /tmp/held; sleep 1000; }}\nexec /usr/sbin/networksetup.real "$@"\n')
    program.chmod(0o755)
    try:
        yield sign
    finally:
        if not host.is_on:
            host.power_on()
        host.path("/usr/sbin/networksetup.real").rename(host.path("/usr/sbin/networksetup"))


@pytest.mark.long
@pytest.mark.mac(cables="ring")
def test_host_that_vanishes_during_a_setup_is_named_and_can_be_undone(cluster: Cluster) -> None:
    before = [shown(host) for host in cluster.hosts]
    lost = cluster.hosts[2]
    argv = [*MLXLAUNCH, "network", "-i", cluster.inventory(FOUR), "--over", "thunderbolt", "--apply", "--lease", LEASE]
    with held(cluster, lost, "-setmanual") as sign, cluster.started(argv) as process:
        wait_until(sign.exists, "node3 is being set up")
        lost.power_off()
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, err
    assert b"failed  node3: " in out
    assert b"not known: en3, en2; when it is there, run this again, or --undo" in out
    assert b"set  node1 en2: 10.213.64.1/30" in out
    assert network(cluster, "--undo").returncode == 0
    assert [shown(host) for host in cluster.hosts] == before


@pytest.mark.mac(cables="ring")
def test_setup_whose_controller_was_killed_can_be_undone(cluster: Cluster) -> None:
    before = [shown(host) for host in cluster.hosts]
    argv = [*MLXLAUNCH, "network", "-i", cluster.inventory(FOUR), "--over", "thunderbolt", "--apply", "--lease", LEASE]
    with held(cluster, cluster.hosts[0], "-setmanual") as sign:
        with cluster.started(argv, start_new_session=True) as process:
            wait_until(sign.exists, "node1 is being set up")
            os.killpg(process.pid, signal.SIGKILL)
        wait_until(lambda: not cluster.lab.leftovers(), "nothing of it runs any more")
    assert network(cluster, "--undo").returncode == 0
    assert [shown(host) for host in cluster.hosts] == before


# -- what is in the way


@pytest.mark.long
def test_bridges_docks_collisions_and_a_vpn_are_minded_and_put_back(make_cluster: MakeCluster) -> None:
    cables = [
        {"ends": ["node1:1", "node2:2"]},
        {"ends": ["node2:1", "node3:2"], "speed": "40 Gb/s", "through": ["Thunderbolt Dock"], "seen_from": "node3"},
        {"ends": ["node3:1", "node1:2"], "speed": "40 Gb/s", "through": ["Hub", "Dock"]},
        {"ends": ["node1:3", "node2:3"]},
    ]
    plan = {
        "cables": cables,
        "bridge": True,
        "interfaces": {"node2": {"2": "en6", "5": "en3"}},
        "services": {"node3": {"Fabric $(reboot)": 1}},
        "addresses": {"node1": {"en20": ["10.213.64.5/24"]}},
        "routes": {"node2": ["10.187.0.0/16"]},
    }
    cluster = make_cluster(3, plan)
    before = [shown(host) for host in cluster.hosts]
    everything = {"en2", "en3", "en4", "en5", "en6", "en7"}
    assert [ports(host) for host in cluster.hosts] == [everything] * 3
    done = network(cluster, "--backend", "ring", "--apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "through Thunderbolt Dock, seen only from" in done.stdout
    # Neither the block that node1 has an address in, nor the one that the VPN takes.
    assert "node1 en2: 10.231.64.1/30" in done.stdout
    # Only ports in the plan have left their bridge.
    assert [ports(host) for host in cluster.hosts] == [
        everything - {"en2", "en3"},
        everything - {"en2", "en6"},
        everything - {"en2", "en3"},
    ]
    assert "set  node3 en2: 10.231.64.6/30, service Fabric $(reboot), manual; after a restart bridge0 has the port again" in done.stdout
    # As it says. Another run sets that right, and what was there at first is what an undo goes back to.
    restart(cluster.hosts[1])
    rows = document(network(cluster, "--backend", "ring", "--json"))["links"]
    states = {f"{row['host']} {row['interface']}": row["state"] for row in rows}
    assert (states["node1 en2"], states["node2 en2"], states["node2 en6"]) == ("to set", "bridged", "bridged")
    assert network(cluster, "--backend", "ring", "--apply").returncode == 0
    undone = network(cluster, "--undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert [shown(host) for host in cluster.hosts] == before


def test_rdma_ports_are_verified_and_a_dead_link_is_named(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(2, {"cables": [{"ends": ["node1:1", "node2:1"]}], "rdma": True, "bridge": ["node2"]})
    done = network(cluster, "--backend", "jaccl", "--apply", "--json")
    found = document(done)
    assert (done.returncode, found["rdma"], found["plan"]["ranks"][0]["rdma"]) == (0, [], [None, "rdma_en2"])
    cluster.hosts[1].run(["iptables", "-A", "INPUT", "-i", "en2", "-p", "tcp", "-j", "DROP"], check=True)
    done = network(cluster, "--backend", "jaccl", "--apply")
    assert done.returncode == 3
    assert "fail  node1 en2 -> node2 en2: no answer: a firewall or a VPN drops the packets" in done.stdout


# -- beside the original


def original(cluster: Cluster, *words: str) -> Done:
    """Run mlx.distributed_config of the installed MLX on all hosts to its end."""
    argv = [str(CONFIG), "--hosts", ",".join(names(cluster)), *words]
    return cluster.lab.run(argv, plain_ssh=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)


def hostfile_in(text: str) -> Any:
    return json.loads(text[text.index("Hostfile\n========\n") :].split("========\n", 1)[1])


@pytest.mark.long
@pytest.mark.mac(cables="mesh")
def test_both_tools_on_the_same_macs_give_the_same_graph_order_and_shape(cluster: Cluster) -> None:
    ours = network(cluster, "--dot")
    assert sorted(ours.stdout.splitlines()) == sorted(original(cluster, "--dot").stdout.splitlines())
    theirs = hostfile_in(original(cluster, "--auto-setup").stdout)
    addresses = [host.run(["ifconfig", "-a"]).stdout.count("192.168.0.") for host in cluster.hosts]
    for host in cluster.hosts:
        restart(host)
    # Theirs is gone after a restart, and has set cables that its ring does not use.
    assert [host.run(["ifconfig", "-a"]).stdout.count("192.168.0.") for host in cluster.hosts] == [0] * 4
    assert addresses == [6] * 4  # three cables, each address and its broadcast
    argv = [*MLXLAUNCH, "config", "--hosts", ",".join(names(cluster)), "--auto-setup"]
    done = cluster._run(argv)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [host["ssh"] for host in found["hosts"]] == [host["ssh"] for host in theirs["hosts"]]
    assert (found["backend"], found.keys()) == (theirs["backend"], theirs.keys())
    assert [len(host["ips"]) for host in found["hosts"]] == [len(host["ips"]) for host in theirs["hosts"]]
    assert done.stderr.count("mlxlaunch: set: ") == 8
    assert network(cluster, "--undo").returncode == 0


# -- measurement and speed


class Traffic:
    """What the ports of Macs receive, watched until the block is left."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._tables = {host.name: Path(f"/proc/{host.pid}/net/dev") for host in hosts}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._looks: list[tuple[float, dict[str, int]]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            rows = [(name, *line.split()[:2]) for name, table in self._tables.items() for line in table.read_text().splitlines()[2:]]
            self._looks.append((time.monotonic(), {f"{name} {port}": int(count) for name, port, count in rows if port.startswith("en")}))

    def most(self, rate: float) -> int:
        """Return how many ports have received at this rate, in bytes a second, at the same time."""
        numbers = [0]
        for (begun, before), (ended, after) in pairwise(self._looks):
            if ended - begun < 1:
                numbers.append(sum(after[port] - count > rate * (ended - begun) for port, count in before.items()))
        return max(numbers)


def test_eight_links_are_measured_at_the_same_time(make_cluster: MakeCluster) -> None:
    """In one direction, then in the other. They are slow: all of them are one machine."""
    pairs = [("node1:1", "node2:1"), ("node1:2", "node2:2"), ("node2:3", "node3:1"), ("node2:4", "node3:2")]
    pairs += [("node3:3", "node4:1"), ("node3:4", "node4:2"), ("node4:3", "node1:3"), ("node4:4", "node1:4")]
    cables = {"cables": [{"ends": list(pair), "rate": "10mbit", "speed": "0.01 Gb/s"} for pair in pairs]}
    cluster = make_cluster(4, cables)
    assert network(cluster, "--apply").returncode == 0
    with Traffic(cluster.hosts) as traffic:
        done = network(cluster, "--measure", "--json")
    found = document(done)
    assert (done.returncode, found["problems"]) == (0, []), done.stderr
    rates = [link["bandwidth"] / 1e6 for link in found["measured"]]
    print(f"measuring took {found['measured_in']:.1f} s; {min(rates):.0f} to {max(rates):.0f} Mb/s")
    assert len(rates) == 16
    assert all(6 < rate < 11 for rate in rates), rates
    assert (found["all_sum"]["hosts"], found["all_sum"]["error"]) == (4, "")
    assert traffic.most(rate=500_000) >= len(pairs)


def test_eight_hosts_are_probed_at_the_same_time(make_cluster: MakeCluster) -> None:
    """A program of each Mac ends when those of all have begun."""
    cluster = make_cluster(8, "ring")
    with contextlib.ExitStack() as stack:
        gates = [stack.enter_context(cluster.gate(host, "go")) for host in cluster.hosts]  # of one path
        for host in cluster.hosts:
            program = host.path("/usr/sbin/system_profiler")
            real = program.rename(program.with_name("system_profiler.real"))
            program.write_text(f'#!/bin/sh\ntouch /tmp/begun\nhead -c 1 "{gates[0].path}" >/dev/null\nexec /usr/sbin/{real.name} "$@"\n')
            program.chmod(0o755)
        argv = [*MLXLAUNCH, "network", "-i", cluster.inventory(names(cluster)), "--over", "thunderbolt"]
        process = stack.enter_context(cluster.started(argv))
        wait_until(lambda: all(host.path("/tmp/begun").exists() for host in cluster.hosts), "the program runs on every host", PATIENCE)
        for gate in gates:
            gate.open()
        _out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err


@pytest.mark.mac(cables="ring")
def test_measurement_is_refused_while_a_job_runs(cluster: Cluster) -> None:
    script = cluster.script("import time\nprint('here', flush=True)\ntime.sleep(1000)\n")
    argv = [*MLXLAUNCH, "run", "-i", cluster.inventory(FOUR), script]
    with cluster.started(argv) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = cluster._run([*MLXLAUNCH, "network", "-i", cluster.inventory(FOUR), "--measure"])
        assert done.returncode == 3
        assert "runs there; nothing was measured" in done.stderr
        assert "runs there; end it, then run this again; nothing was changed" in network(cluster, "--apply").stderr


# -- stray variables


def test_launch_clears_stray_variables_and_says_so_in_one_line(cluster: Cluster) -> None:
    file = cluster.hosts[1].path("/root/.ssh/environment")
    file.write_text("JACCL_RANK=7\nJACCL_RING=1\nMLX_JACCL_RING=0\n")
    script = cluster.script("import os\nprint(sorted(name for name in os.environ if 'JACCL' in name))\n")
    try:
        done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), script)
    finally:
        file.unlink()
    assert (done.returncode, done.stdout) == (0, "[]\n[]\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("mlxlaunch: warning: node2: cleared JACCL_RANK, JACCL_RING, MLX_JACCL_RING, which this host's profile sets")
