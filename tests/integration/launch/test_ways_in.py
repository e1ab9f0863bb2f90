"""Every way to say where a job runs leads to the same ranks, and MLX's ring gives the right answer on them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import run_job
from tests.integration.cluster import ALL_SUM, Cluster, right_sums, sums
from tests.lab import Host

FOUR = ["node1", "node2", "node3", "node4"]

# Tells who this rank is and how the launcher came here.
WHO = """
import json, os, socket
who = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
who |= {"host": socket.gethostname(), "uid": os.getuid(), "ring": open(os.environ["MLX_HOSTFILE"]).read()}
who |= {"ssh": os.environ.get("SSH_CONNECTION", "").split()}
print(json.dumps(who), flush=True)
"""


def told(text: str) -> list[dict[str, Any]]:
    """What the ranks of WHO said, in rank order."""
    said = [json.loads(line) for line in text.splitlines()]
    assert [who["WORLD_SIZE"] for who in said] == [str(len(said))] * len(said)
    said.sort(key=lambda who: int(who["RANK"]))
    assert [int(who["RANK"]) for who in said] == list(range(len(said)))
    return said


def hosts_of(said: list[dict[str, Any]]) -> list[str]:
    return [who["host"] for who in said]


def ring_of(said: list[dict[str, Any]]) -> list[list[str]]:
    """The ring's addresses, which have to be the same for every rank."""
    (ring,) = {who["ring"] for who in said}
    return json.loads(ring)  # type: ignore[no-any-return]


# -- the real thing, by each of the three ways in


def test_ansible_playbook_adds_up_over_four_hosts(cluster: Cluster) -> None:
    done = cluster.playbook(cluster.inventory(FOUR), "-e", f"mlx_script={ALL_SUM}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sums(done.stdout) == right_sums(4)


def test_mlxlaunch_run_adds_up_over_four_hosts(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(FOUR), ALL_SUM)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(4)
    assert done.stderr == ""


def test_run_job_adds_up_over_four_hosts(cluster: Cluster) -> None:
    with cluster.lab.enter():
        result = run_job(cluster.inventory(FOUR), ALL_SUM, check=True)
    logs = [path.read_text() for rank in result.ranks.values() if (path := rank.stdout)]
    assert sums("".join(logs)) == right_sums(4)


def test_two_local_ranks_add_up_without_ssh(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-n", "2", ALL_SUM, env={"ANSIBLE_SSH_EXECUTABLE": "/bin/false"})
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(2)


@pytest.mark.parametrize("by", ["addresses", "connections"])
def test_a_ring_of_two_links_per_neighbour_adds_up(cluster: Cluster, by: str) -> None:
    """MLX itself says how it is connected. It waits longer for each link, so not both at once here."""
    hosts = {host.name: {"mlx_ips": [host.address2, host.address][: 1 + (by == "addresses")]} for host in cluster.hosts[:2]}
    options = ["--connections-per-ip", "2"] if by == "connections" else []
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts), "--verbose", *options, ALL_SUM)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(2)
    assert "[ring] Rank 0 accepting" in done.stderr, done.stderr


# -- other ways to say the same


def test_run_job_takes_an_inventory_as_a_mapping(cluster: Cluster) -> None:
    inventory = cluster.mapping({"node3": {"mlx_slots": 2}, "node1": {}})
    with cluster.lab.enter():
        result = run_job(inventory, cluster.script(WHO), check=True)
    logs = [path.read_text() for rank in result.ranks.values() if (path := rank.stdout)]
    assert hosts_of(told("".join(logs))) == ["node3", "node3", "node1"]
    assert [rank.host for rank in result.ranks.values()] == ["node3", "node3", "node1"]


def test_run_job_takes_a_list_of_addresses(cluster: Cluster) -> None:
    two, four = cluster.hosts[1], cluster.hosts[3]
    with cluster.lab.enter():
        result = run_job([four.address, two.address], cluster.script(WHO), check=True)
    logs = [path.read_text() for rank in result.ranks.values() if (path := rank.stdout)]
    said = told("".join(logs))
    assert hosts_of(said) == ["node4", "node2"]
    assert ring_of(said) == [[f"{four.address}:32323"], [f"{two.address}:32324"]]


@pytest.mark.parametrize("schema", ["list", "object"])
def test_hostfile_of_either_schema_says_rank_host_and_address(cluster: Cluster, schema: str) -> None:
    one, two = cluster.hosts[:2]
    # An ssh name that stands twice, and not in a row: rank is position.
    entries = [
        {"ssh": one.address, "ips": [one.address]},
        {"ssh": two.address, "ips": [two.address2]},
        {"ssh": one.address, "ips": [one.address2, one.address]},
    ]
    data = entries if schema == "list" else {"backend": "ring", "envs": ["FROM_HOSTFILE=a=b c"], "hosts": entries}
    script = cluster.script(WHO + 'import sys; print(os.environ.get("FROM_HOSTFILE"), file=sys.stderr)')
    done = cluster.mlxlaunch("--hostfile", cluster.json("hosts.json", data), script)
    assert done.returncode == 0, done.stderr
    said = told(done.stdout)
    assert hosts_of(said) == ["node1", "node2", "node1"]
    assert [(who["LOCAL_RANK"], who["LOCAL_WORLD_SIZE"]) for who in said] == [("0", "2"), ("0", "1"), ("1", "2")]
    assert ring_of(said) == [[f"{one.address}:32323"], [f"{two.address2}:32324"], [f"{one.address2}:32325", f"{one.address}:32326"]]
    assert done.stderr.split("\n")[:-1] == ["None" if schema == "list" else "a=b c"] * 3


def test_run_job_takes_a_hostfile_by_path_and_as_data(cluster: Cluster) -> None:
    entries = [{"ssh": host.address, "ips": [host.address2]} for host in cluster.hosts[:2]]
    script = cluster.script(WHO)
    with cluster.lab.enter():
        for inventory in (cluster.json("hosts.json", entries), entries, {"hosts": entries}):
            result = run_job(inventory, script, check=True)
            logs = [path.read_text() for rank in result.ranks.values() if (path := rank.stdout)]
            assert ring_of(told("".join(logs))) == [["198.18.1.11:32323"], ["198.18.1.12:32324"]]


def test_hosts_flag_repeats_each_host(cluster: Cluster) -> None:
    names = ",".join(host.address for host in cluster.hosts[:2])
    done = cluster.mlxlaunch("--hosts", names, "-n", "2", "-p", "31000", cluster.script(WHO))
    assert done.returncode == 0, done.stderr
    said = told(done.stdout)
    assert hosts_of(said) == ["node1", "node1", "node2", "node2"]
    assert [who["LOCAL_RANK"] for who in said] == ["0", "1", "0", "1"]
    assert ring_of(said) == [["198.18.0.11:31000"], ["198.18.0.11:31001"], ["198.18.0.12:31002"], ["198.18.0.12:31003"]]


def test_hosts_flag_takes_names(cluster: Cluster) -> None:
    # plain_ssh: in there /etc/hosts and ssh's own configuration know the names.
    done = cluster.mlxlaunch("--hosts", "node2,mlx@node3", cluster.script(WHO), plain_ssh=True)
    assert done.returncode == 0, done.stderr
    said = told(done.stdout)
    assert [(who["host"], who["uid"]) for who in said] == [("node2", 0), ("node3", 2000)]
    assert ring_of(said) == [["198.18.0.12:32323"], ["198.18.0.13:32324"]]


def test_a_world_of_one_has_no_ring(cluster: Cluster) -> None:
    script = cluster.script("import os\nprint(os.environ.get('MLX_HOSTFILE'))\n")
    done = cluster.mlxlaunch("--hosts", cluster.hosts[0].address, script)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


def test_group_is_a_parameter(cluster: Cluster) -> None:
    inventory = cluster.mapping(["node1", "node2"], group="studios") | cluster.mapping(["node4"])
    path = cluster.json("hosts.yml", inventory)
    script = cluster.script(WHO)
    by_flag = cluster.mlxlaunch("-i", path, "--group", "studios", script)
    by_variable = cluster.playbook(path, "-e", f"mlx_script={script}", "-e", "mlx_group=studios")
    assert hosts_of(told(by_flag.stdout)) == ["node1", "node2"]
    lines = [line for line in by_variable.stdout.splitlines() if line.startswith("{")]
    assert hosts_of(told("\n".join(lines))) == ["node1", "node2"]


def test_limit_chooses_hosts_of_a_play(cluster: Cluster) -> None:
    done = cluster.playbook(cluster.inventory(FOUR), "--limit", "node4,node2", "-e", f"mlx_script={cluster.script(WHO)}")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert hosts_of(told("\n".join(lines))) == ["node2", "node4"]


def test_command_line_is_stronger_than_the_inventory(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1", "node2"], mlx_starting_port=30500)
    script = cluster.script(WHO)
    done = cluster.mlxlaunch("-i", inventory, script)
    assert done.returncode == 0, done.stderr
    assert ring_of(told(done.stdout)) == [["198.18.0.11:30500"], ["198.18.0.12:30501"]]
    done = cluster.mlxlaunch("-i", inventory, "-p", "31500", script)
    assert ring_of(told(done.stdout)) == [["198.18.0.11:31500"], ["198.18.0.12:31501"]]


def test_a_command_runs_instead_of_a_script(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), "--", "hostname", "-s")
    assert (done.returncode, sorted(done.stdout.split()), done.stderr) == (0, ["node1", "node2"], "")


def test_print_python_says_which_one_ranks_would_use(cluster: Cluster) -> None:
    assert cluster.mlxlaunch("--print-python").stdout == f"{sys.executable}\n"
    assert cluster.mlxlaunch("--print-python", "--python", "/opt/x/python").stdout == "/opt/x/python\n"


# -- hosts as Ansible is configured to reach them


def test_port_user_and_key_of_the_inventory_reach_the_host(cluster: Cluster) -> None:
    one, two = cluster.hosts[:2]
    listen_on(two, 2222)
    plain = f"-F /dev/null -o UserKnownHostsFile={known_hosts_for_any_port(cluster)}"
    inventory = cluster.inventory(
        {one.name: {"ansible_user": "mlx"}, two.name: {"ansible_port": "{{ 2000 + 222 }}"}},
        ansible_ssh_common_args=plain,
        ansible_ssh_private_key_file=str(cluster.lab.dir / "{{ 'key' }}"),
    )
    done = cluster.mlxlaunch("-i", inventory, cluster.script(WHO))
    assert done.returncode == 0, done.stderr
    said = told(done.stdout)
    assert [(who["uid"], who["ssh"][3]) for who in said] == [(2000, "22"), (0, "2222")]


def test_a_jump_host_leads_to_the_others(cluster: Cluster) -> None:
    jump = f"-F {cluster.lab.ssh_config} -o ProxyJump=root@{cluster.hosts[3].address}"
    script = cluster.script(WHO)
    inventory = cluster.inventory(["node1", "node2"], ansible_ssh_common_args=jump)
    done = cluster.mlxlaunch("-i", inventory, script)
    assert done.returncode == 0, done.stderr
    assert [who["ssh"][0] for who in told(done.stdout)] == [cluster.hosts[3].address] * 2


def test_become_without_a_password_makes_the_rank_another_user(cluster: Cluster) -> None:
    hosts = {
        "node1": {"ansible_user": "mlx", "ansible_become": True},
        "node2": {"ansible_become": True, "ansible_become_user": "mlx"},
        "node3": {"ansible_user": "mlx"},
    }
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts), cluster.script(WHO))
    assert done.returncode == 0, done.stderr
    assert [who["uid"] for who in told(done.stdout)] == [0, 2000, 2000]


def test_a_local_connection_runs_beside_hosts_behind_ssh(cluster: Cluster) -> None:
    here = {"ansible_connection": "local", "mlx_ips": ["198.18.0.1"]}
    done = cluster.mlxlaunch("-i", cluster.inventory({"localhost": here, "node1": {}}), cluster.script(WHO))
    assert done.returncode == 0, done.stderr
    said = told(done.stdout)
    assert [bool(who["ssh"]) for who in said] == [False, True]
    assert ring_of(said) == [["198.18.0.1:32323"], ["198.18.0.11:32324"]]


def listen_on(host: Host, port: int) -> None:
    """Let a second sshd of a host listen; `restore` ends it."""
    host.run(["/usr/sbin/sshd", "-p", str(port), "-o", "PidFile=none"], check=True)


def known_hosts_for_any_port(cluster: Cluster) -> Path:
    """The lab's known hosts, with port 2222 as well."""
    path = cluster.here / "known_hosts"
    lines = (cluster.lab.dir / "known_hosts").read_text().splitlines()
    more = [f"[{name}]:2222 {key}" for line in lines for names, key in [line.split(" ", 1)] for name in names.split(",")]
    path.write_text("\n".join([*lines, *more]) + "\n")
    return path
