"""Jobs on hosts that look like Macs over ssh: zsh, the short PATH, Apple's Python 3.9, none of Linux's programs.

What that says about real Macs, and what not, is in tests/lab/mac/README.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.integration.cluster import ALL_SUM, MLXLAUNCH, Cluster, assert_ended, right_sums, sums

pytestmark = pytest.mark.mac

FOUR = ["node1", "node2", "node3", "node4"]
APPLE_PYTHON = "/usr/bin/python3"

# Tells what this rank inherited.
WHO = """
import json, os, socket, subprocess, sys
who = {"host": socket.gethostname(), "uid": os.getuid(), "path": os.environ["PATH"], "shell": os.environ["SHELL"]}
who["python"] = sys.version_info[:2]
who["system"] = subprocess.run(["uname", "-sm"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
print(json.dumps(who), flush=True)
"""


# -- the personality itself, by the eyes of another program


def test_mlx_s_own_configuration_tool_takes_the_hosts_for_macs(cluster: Cluster) -> None:
    """It reads system_profiler, networksetup and ipconfig over ssh: the recordings have the form it knows."""
    tool = Path(sys.executable).with_name("mlx.distributed_config")
    command = [tool, "--hosts", ",".join(FOUR), "--backend", "ring"]
    options = {"plain_ssh": True, "cwd": cluster.here, "env": cluster.env}
    cables = cluster.lab.run([*command, "--over", "thunderbolt", "--dot"], **options)
    assert cables.returncode == 0, cables.stderr
    found = {line.strip() for line in cables.stdout.splitlines() if "--" in line}
    assert found == {'a -- b [label="en2/en3"]', 'a -- d [label="en3/en2"]', 'b -- c [label="en2/en3"]', 'c -- d [label="en2/en3"]'}
    hostfile = cluster.here / "hosts.json"
    done = cluster.lab.run([*command, "--over", "ethernet", "--output-hostfile", hostfile], **options)
    assert done.returncode == 0, done.stderr
    assert [host["ips"] for host in json.loads(hostfile.read_text())["hosts"]] == [[host.address] for host in cluster.hosts]


# -- jobs


def told(text: str) -> list[dict[str, object]]:
    """What the ranks of WHO said, by host name."""
    return sorted((json.loads(line) for line in text.splitlines()), key=lambda who: who["host"])


def test_ansible_playbook_adds_up_over_four_macs(cluster: Cluster) -> None:
    inventory = cluster.inventory(FOUR, ansible_python_interpreter=APPLE_PYTHON)
    done = cluster.playbook(inventory, "-e", f"mlx_script={ALL_SUM}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sums(done.stdout) == right_sums(4)


def test_apple_s_python_supervises_a_sum_over_four_macs(cluster: Cluster) -> None:
    inventory = cluster.inventory(FOUR, ansible_python_interpreter=APPLE_PYTHON)
    done = cluster.mlxlaunch("-i", inventory, "--verbose", ALL_SUM)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(4)
    assert done.stderr.count("supervisor on Python 3.9.") == 4


def test_the_lab_s_own_inventory_is_enough(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-i", cluster.lab.inventory, "--python", sys.executable, ALL_SUM)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(4)


def test_the_second_network_carries_the_ring(cluster: Cluster) -> None:
    hosts = {host.name: {"mlx_ips": [host.address2]} for host in cluster.hosts}
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts), ALL_SUM)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(4)


def test_ranks_inherit_sshd_s_environment_and_no_profile(cluster: Cluster) -> None:
    hosts = {"node1": {}, "node2": {"ansible_user": "mlx"}}
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts), "--python", APPLE_PYTHON, cluster.script(WHO))
    assert done.returncode == 0, done.stderr
    common = {"path": "/usr/bin:/bin:/usr/sbin:/sbin", "shell": "/bin/zsh", "python": [3, 9], "system": "Darwin arm64"}
    assert told(done.stdout) == [{"host": "node1", "uid": 0} | common, {"host": "node2", "uid": 2000} | common]


def test_become_makes_the_ranks_of_an_ordinary_user_root(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1", "node2"], ansible_user="mlx", ansible_become=True, ansible_python_interpreter=APPLE_PYTHON)
    done = cluster.mlxlaunch("-i", inventory, cluster.script(WHO))
    assert done.returncode == 0, done.stderr
    assert [who["uid"] for who in told(done.stdout)] == [0, 0]


def test_homebrews_python_is_found_by_its_path(cluster: Cluster) -> None:
    newest = max(int(path.name.partition(".")[2]) for path in cluster.hosts[0].path("/opt/homebrew/bin").glob("python3.*"))
    python = f"/opt/homebrew/bin/python3.{newest}"
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), "--python", python, cluster.script(WHO))
    assert done.returncode == 0, done.stderr
    assert [who["python"] for who in told(done.stdout)] == [[3, newest]] * 2


def test_python_off_the_path_is_told_before_anything_starts(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), "--python", "python3.12", cluster.script(WHO))
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "2 of 2 hosts not ready" in done.stderr
    assert "python3.12" in done.stderr


def test_foreign_address_is_told_with_those_of_ifconfig(cluster: Cluster) -> None:
    hosts = {"node1": {}, "node2": {"mlx_ips": ["198.18.0.99"]}}
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts, ansible_python_interpreter=APPLE_PYTHON), cluster.script(WHO))
    assert done.returncode == 3, done.stderr
    assert "198.18.0.99" in done.stderr
    assert "en0 198.18.0.12, en2 198.18.1.12" in done.stderr


def test_a_failing_rank_ends_the_others_and_their_children(cluster: Cluster) -> None:
    script = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen(['sleep', '900'], start_new_session=True)\n"
        "os.environ['RANK'] == '2' and sys.exit(7)\n"
        "time.sleep(900)"
    )
    inventory = cluster.inventory(FOUR, ansible_python_interpreter=APPLE_PYTHON)
    done = cluster.mlxlaunch("-i", inventory, cluster.script(script))
    assert done.returncode == 7
    assert "rank 2 on node3 exited with code 7" in done.stderr
    assert_ended(cluster.lab)


def test_homebrew_s_mpirun_adds_up_over_two_macs(cluster: Cluster) -> None:
    """Debian's plays it: at its path, with the short PATH of sshd, zsh and Apple's Python. The loader is not a Mac's."""
    links = [host.path(f"/opt/homebrew/bin/{name}") for host in cluster.hosts[:2] for name in ("mpirun", "orted")]
    for link in links:
        link.symlink_to(f"/usr/bin/{link.name}")
    try:
        inventory = cluster.inventory(FOUR[:2], ansible_python_interpreter=APPLE_PYTHON)
        done = cluster.mlxlaunch("-i", inventory, "--backend", "mpi", "--mpirun", "/opt/homebrew/bin/mpirun", ALL_SUM)
    finally:
        for link in links:
            link.unlink()
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(2)


# -- check


def test_a_check_finds_hosts_ready_and_tells_what_they_are(cluster: Cluster) -> None:
    inventory = cluster.inventory(FOUR[:2], ansible_python_interpreter=APPLE_PYTHON)
    done = cluster._run([*MLXLAUNCH, "check", "-i", inventory, "--json", ALL_SUM])
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert [host["host"] for host in found["hosts"]] == FOUR[:2]
    for host in found["hosts"]:  # of a Mac as it comes, only these three are not as they should be
        assert {name for name, cell in host["cells"].items() if cell["status"] in ("warn", "fail")} <= {"sleep", "restart", "wired"}, (
            done.stdout
        )
    assert {(host["facts"]["system"]["name"], host["facts"]["system"]["chip"]) for host in found["hosts"]} == {("macOS", "Apple M3 Ultra")}
