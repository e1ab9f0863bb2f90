"""What plugin_utils/hosts/ansible_core.py uses of Ansible without being promised it, held to each version these tests run with.

A probe in a process of its own sees the inventory as the launch action does, and prints what the module makes of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import run_job
from tests.integration.cluster import PATIENCE, Cluster
from tests.lab.start import CHECKOUT

PROBE = """
import json, os, sys
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict
context.CLIARGS = ImmutableDict()
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader, connection_loader, init_plugin_loader, shell_loader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

init_plugin_loader()
for plugins in (connection_loader, shell_loader, become_loader):
    list(plugins.all(class_only=True))  # as PlaybookExecutor.run does
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.ansible_core import Connector, TaskVariables
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError

loader = DataLoader()
inventory = InventoryManager(loader=loader, sources=[sys.argv[1]])
manager = VariableManager(loader=loader, inventory=inventory)
hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
keywords = json.loads(sys.argv[2])
path = os.path.join(os.path.dirname(sys.argv[1]), "play.yml")
with open(path, "w") as file:
    json.dump({"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.ping": {}}], **keywords}, file)
loader.set_basedir(os.path.dirname(path))
play = Play.load(loader.load_from_file(path, trusted_as_template=True), variable_manager=manager, loader=loader)
task = play.tasks[0].block[0]
variables = TaskVariables(task, Templar(loader, {}), {"hostvars": hostvars})
connector = Connector(task, PlayContext(play=play))
told = {}
for host in inventory.get_hosts("all", order="inventory"):
    name = host.get_name()
    try:
        argv = connector.argv(name, variables.of(name), "COMMAND 'with $words'")
        fresh = connector.argv(name, variables.of(name), "COMMAND", fresh=True)
    except UsageError as exc:
        argv, fresh = str(exc), None
    env = variables.layers(name, "mlx_env")
    told[name] = {"argv": argv, "fresh": fresh, "env": env, "slots": variables.of(name).get("mlx_slots")}
print("TOLD" + json.dumps(told))
"""


def probe(
    tmp_path: Path, hosts: Mapping[str, Any], *, play: Mapping[str, Any] | None = None, variables: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what the module makes of an inventory, for the task of a play with these keywords: argv and variables by host."""
    path = tmp_path / "hosts.yml"
    if not path.exists():
        path.write_text(json.dumps({"mlx": {"hosts": hosts, "vars": variables or {}}}))
    argv = [sys.executable, "-c", PROBE, str(path), json.dumps(play or {})]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition("TOLD")[2])  # type: ignore[no-any-return]


def options(argv: list[str]) -> list[str]:
    """The values of ssh's -o options, in order."""
    return [value for flag, value in pairwise(argv) if flag == "-o"]


def option(argv: list[str], name: str) -> str | None:
    """The value ssh takes: the first."""
    return next((value.partition("=")[2] for value in options(argv) if value.startswith(f"{name}=")), None)


def test_ssh_is_called_as_ansible_would(tmp_path: Path) -> None:
    ssh = tmp_path / "other-ssh"
    ssh.touch(0o700)
    hosts = {
        "plain": {},
        "full": {
            "ansible_host": "{{ network }}.7",
            "ansible_port": "{{ 2000 + 22 }}",
            "ansible_user": "{{ who }}",
            "ansible_ssh_private_key_file": "/keys/{{ who }}",
            "ansible_ssh_common_args": "-o ProxyJump={{ who }}@gate -F '/my config'",
            "ansible_ssh_extra_args": "-o Ciphers=x",
        },
        "binary": {"ansible_ssh_executable": str(ssh)},
        "ipv6": {"ansible_host": "fe80::1"},
    }
    told = probe(tmp_path, hosts, variables={"network": "10.0.0", "who": "ada"})
    plain, full, binary, ipv6 = (told[name]["argv"] for name in hosts)
    # What comes last: the address, where no option can hide, and one word for the shell there.
    assert plain[-3:] == ["--", "plain", "COMMAND 'with $words'"]
    assert full[-3:] == ["--", "10.0.0.7", "COMMAND 'with $words'"]
    assert ipv6[-2] == "fe80::1"
    assert option(plain, "Port") is None
    assert (option(full, "Port"), option(full, "User"), option(full, "IdentityFile")) == ("2022", '"ada"', '"/keys/ada"')
    assert option(full, "ProxyJump") == "ada@gate"
    assert full[full.index("-F") + 1] == "/my config"
    assert option(full, "Ciphers") == "x"
    assert (plain[0], binary[0]) == ("ssh", str(ssh))
    for argv in (plain, full, binary):
        assert "-T" in argv  # no terminal: bytes stay bytes
        assert "-tt" not in argv
        assert option(argv, "BatchMode") == "yes"
        assert option(argv, "StrictHostKeyChecking") in (None, "yes")


def test_connections_are_shared_and_each_host_has_its_own(tmp_path: Path) -> None:
    hosts: dict[str, Any] = {f"host{n}": {"ansible_host": f"10.0.0.{n}"} for n in range(3)}
    told = probe(tmp_path, hosts)
    sockets = {option(one["argv"], "ControlPath") for one in told.values()}
    assert None not in sockets
    assert len(sockets) == len(hosts)
    for one in told.values():
        assert option(one["argv"], "ControlMaster") == "auto"
        assert option(one["argv"], "ControlPersist") == "60s"
        # When a connection broke, the shared one may lead nowhere.
        assert option(one["fresh"], "ControlPath") == "none"
        assert option(one["fresh"], "ControlMaster") == "no"


def test_compression_is_off_unless_it_was_asked_for(tmp_path: Path) -> None:
    told = probe(tmp_path, {"default": {}, "asked": {"ansible_ssh_args": "-C -o ControlMaster=auto"}})
    assert {name: compresses(one["argv"]) for name, one in told.items()} == {"default": "no", "asked": "yes"}


def compresses(argv: list[str]) -> str:
    """Return what ssh itself makes of a command line."""
    done = subprocess.run([argv[0], "-G", *argv[1:]], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("compression "))


def test_keywords_of_the_task_count_below_the_hosts_variables(tmp_path: Path) -> None:
    told = probe(tmp_path, {"own": {"ansible_user": "host"}, "bare": {}}, play={"remote_user": "task"})
    assert option(told["own"]["argv"], "User") == '"host"'
    assert option(told["bare"]["argv"], "User") == '"task"'


def test_become_wraps_the_command(tmp_path: Path) -> None:
    hosts = {
        "sudo": {"ansible_become": True},
        "other": {"ansible_become": "yes", "ansible_become_user": "ada", "ansible_become_method": "ansible.builtin.sudo"},
        "su": {"ansible_become": True, "ansible_become_method": "su"},
        "none": {},
        "off": {"ansible_become": False},
    }
    told = probe(tmp_path, hosts)
    assert told["none"]["argv"][-1] == told["off"]["argv"][-1] == "COMMAND 'with $words'"
    assert told["sudo"]["argv"][-1].startswith("sudo -H -S -n")
    assert "-u root /bin/sh -c " in told["sudo"]["argv"][-1]
    assert "-u ada /bin/sh -c " in told["other"]["argv"][-1]
    assert told["su"]["argv"][-1].startswith("su ")
    told = probe(tmp_path, hosts, play={"become": True})
    assert told["none"]["argv"][-1].startswith("sudo ")
    assert told["off"]["argv"][-1] == "COMMAND 'with $words'"


def test_a_local_connection_needs_no_ssh(tmp_path: Path) -> None:
    long = {"ansible_connection": "ansible.builtin.local", "ansible_become": True}
    told = probe(tmp_path, {"a": {"ansible_connection": "local"}, "b": long})
    assert told["a"]["argv"] == ["/bin/sh", "-c", "COMMAND 'with $words'"]
    assert told["b"]["argv"][:2] == ["/bin/sh", "-c"]
    assert told["b"]["argv"][2].startswith("sudo ")


def test_what_cannot_work_says_so(tmp_path: Path) -> None:
    hosts = {
        "winrm": {"ansible_connection": "winrm"},
        "docker": {"ansible_connection": "community.docker.docker"},
        "su": {"ansible_become": True, "ansible_become_method": "su", "ansible_become_password": "x"},
        "method": {"ansible_become": True, "ansible_become_method": "no.such.method"},
        "dash": {"ansible_host": "-oProxyCommand=x"},
    }
    told = {name: one["argv"] for name, one in probe(tmp_path, hosts).items()}
    assert told["winrm"] == "winrm: connection type 'winrm' cannot carry a live stream; use ssh or local"
    assert "community.docker.docker" in told["docker"]
    assert told["su"].startswith("su: su cannot be given a password by a launch")
    assert told["method"] == "method: unknown become method 'no.such.method'"
    assert told["dash"].startswith("dash: ansible_host '-oProxyCommand=x' begins with '-'")
    assert not any("'x'" in text for text in told.values())  # no password in a message


def test_passwords_are_in_no_word(tmp_path: Path) -> None:
    hosts = {
        "ssh": {"ansible_password": "sesame"},
        "become": {"ansible_become": True, "ansible_become_password": "sesame"},
    }
    told = {name: one["argv"] for name, one in probe(tmp_path, hosts).items()}
    assert "SSH_ASKPASS_REQUIRE=force" in told["ssh"]
    assert "BatchMode=yes" not in told["ssh"]
    assert any("sudo" in word and "-S" in word for word in told["become"])
    assert "sesame" not in str(told)


def test_layers_of_a_variable_come_in_order_and_templated(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text("mlx_env: {A: all}\n")
    (tmp_path / "group_vars/inner.yml").write_text('mlx_env: {A: "{{ word }}"}\nword: inner\n')
    (tmp_path / "host_vars/a.yml").write_text("mlx_env: {A: host_vars}\n")
    inventory = {
        "mlx": {"vars": {"mlx_env": {"A": "mlx"}}, "children": {"inner": {"hosts": {"a": {}, "b": {}}}}},
        "bare": {"hosts": {"c": {}}},
    }
    (tmp_path / "hosts.yml").write_text(json.dumps(inventory))
    told = probe(tmp_path, {})
    layers = {name: [layer["A"] for layer in one["env"]] for name, one in told.items()}
    # The last is the value in force, whichever that is.
    assert layers == {"a": ["all", "mlx", "inner", "host_vars", "host_vars"], "b": ["all", "mlx", "inner", "inner"], "c": ["all", "all"]}


def test_variables_of_the_play_count_for_every_host(tmp_path: Path) -> None:
    keywords = {
        "vars": {"mlx_slots": "{{ own + 1 }}", "mlx_env": {"A": "play"}},
        "tasks": [{"block": [{"ansible.builtin.ping": {}}], "vars": {"mlx_env": {"A": "{{ inventory_hostname }}"}}}],
    }
    told = probe(tmp_path, {"a": {"own": 1}, "b": {"own": 2, "mlx_slots": 7}}, play=keywords, variables={"mlx_env": {"A": "mlx"}})
    assert {name: (one["slots"], one["env"]) for name, one in told.items()} == {
        "a": (2, [{"A": "mlx"}, {"A": "a"}]),
        "b": (3, [{"A": "mlx"}, {"A": "b"}]),
    }


# -- host keys stay checked, by whichever way a job is launched


@pytest.fixture
def strangers(cluster: Cluster) -> Path:
    """An inventory with one host whose key is not known, without a word on host keys in ssh's own configuration."""
    known = (cluster.lab.dir / "known_hosts").read_text().splitlines()
    path = cluster.here / "known_hosts"
    path.write_text("\n".join(line for line in known if not line.startswith("node2,")) + "\n")
    args = f"-F /dev/null -i {cluster.lab.dir}/key -o UserKnownHostsFile={path}"
    return cluster.inventory(["node1", "node2"], ansible_ssh_common_args=args)


def test_an_unknown_host_key_is_refused_by_run_job(cluster: Cluster, strangers: Path) -> None:
    """ansible-runner turns host key checking off by default."""
    with cluster.lab.enter():
        result = run_job(strangers, cluster.script("open('ran', 'w')"))
    assert result.returncode == 3
    assert list(result.problems) == ["node2"]
    assert "Host key verification failed" in result.problems["node2"][0]
    assert not cluster.hosts[0].path(cluster.here / "ran").exists()
    assert "node2" not in (cluster.here / "known_hosts").read_text()


def test_unknown_host_key_is_refused_by_both_commands(cluster: Cluster, strangers: Path) -> None:
    script = cluster.script("")
    for done in (cluster.mlxlaunch("-i", strangers, script), cluster.playbook(strangers, "-e", f"mlx_script={script}")):
        assert done.returncode != 0
        assert "1 of 2 hosts not ready: node2" in done.stderr
        assert "  node2  Host key verification failed" in done.stderr


#: Ways to configure that host keys are not checked: lines of ansible.cfg, variables of the environment and of the inventory.
UNCHECKED: dict[str, tuple[str, dict[str, str], str]] = {
    "ansible.cfg": ("[defaults]\nhost_key_checking = False\n", {}, ""),
    "environment": ("", {"ANSIBLE_HOST_KEY_CHECKING": "False"}, ""),
    "arguments": ("", {}, " -oStrictHostKeyChecking=no"),
    "arguments in ansible.cfg": ("[ssh_connection]\nssh_args = -o 'StrictHostKeyChecking no' -o ControlMaster=auto\n", {}, ""),
}


@pytest.mark.sweep
@pytest.mark.parametrize("way_in", ["mlxlaunch", "playbook"])
@pytest.mark.parametrize("way", UNCHECKED)
def test_host_keys_are_checked_though_configured_otherwise(way: str, way_in: str, cluster: Cluster, strangers: Path) -> None:
    lines, env, args = UNCHECKED[way]
    config = (CHECKOUT / "ansible.cfg").read_text() if way_in == "playbook" else ""
    (cluster.here / "ansible.cfg").write_text(lines + config.replace("[defaults]\n", "" if "[defaults]" in lines else "[defaults]\n"))
    data = json.loads(strangers.read_text())
    data["mlx"]["vars"]["ansible_ssh_common_args"] += args
    strangers.write_text(json.dumps(data))
    script = cluster.script("")
    env = {**env, "ANSIBLE_CONFIG": str(cluster.here / "ansible.cfg")}
    done = cluster.mlxlaunch("-i", strangers, script, env=env)
    if way_in == "playbook":
        done = cluster.playbook(strangers, "-e", f"mlx_script={script}", env=env)
    assert done.returncode != 0
    assert "  node2  Host key verification failed" in done.stderr
    [line] = [line for line in done.stderr.splitlines() if "host keys are checked all the same" in line]
    assert line.endswith("in Ansible's configuration or the inventory is not followed (node1, node2)")
    assert "node2" not in (cluster.here / "known_hosts").read_text()


def test_play_s_own_hosts_take_part_and_have_the_result(tmp_path: Path) -> None:
    """After a task of ours has failed, `ansible_play_hosts` has the first host alone, and the rescue is for all of them."""
    hosts = {f"n{each}": {"ansible_connection": "local", "mlx_ips": [f"127.0.0.{each}"]} for each in (1, 2, 3)}

    def launch(*command: str) -> dict[str, Any]:
        options = {"command": command, "backend": "ring", "starting_port": "auto"}
        return {"mlxlaunch.cluster.launch": options, "register": "found"}

    tasks = [
        {"meta": "end_host", "when": "inventory_hostname == 'n1'"},
        {"block": [launch("false")], "rescue": [launch("true")]},
        {"debug": {"msg": "{{ inventory_hostname }}: {{ found.ranks | map(attribute='host') | join(',') }}."}},
    ]
    (tmp_path / "hosts.yml").write_text(json.dumps({"mlx": {"hosts": hosts}}))
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "mlx", "gather_facts": False, "tasks": tasks}]))
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"]
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".ansible"), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [text for text in ("n2: n2,n3.", "n3: n2,n3.", "n1 (left the play") if text not in done.stdout] == []
