"""An MLX hostfile is an inventory, what is no hostfile is left alone, and a hostfile from that inventory is the same again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from hypothesis import given

from ansible_collections.mlxlaunch.cluster.plugins.inventory.mlx_hostfile import InventoryModule
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._backends import parse_env
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._hostfile import Entry, Hostfile, hostfile_from_data
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._hostfile_inventory import (
    group_variables,
    host_variables,
    hostfile_from_inventory,
)
from tests.unit.test_hostfile import hostfiles

CHECKOUT = Path(__file__).parent.parent.parent
A = {"ssh": "a", "ips": ["10.0.0.1"]}
B = {"ssh": "mlx@b.local", "ips": ["10.0.0.2", "10.1.0.2"]}


def write(folder: Path, data: Any, name: str = "hosts.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the plugin makes of a hostfile: variables of each host, and of the group."""
    plugin, inventory = InventoryModule(), InventoryData()
    assert plugin.verify_file(str(path))
    plugin.parse(inventory, DataLoader(), str(path))
    group = inventory.groups["mlx"]
    own = ("inventory_file", "inventory_dir")
    return {host.name: {name: host.vars[name] for name in host.vars if name not in own} for host in group.hosts}, group.vars


def ansible_inventory(path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ansible-inventory on it, with the plugins that the checkout's ansible.cfg enables."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(path), "--list"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / ".ansible"), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# -- what it reads


def test_hosts_of_a_list_are_the_group_in_their_order(tmp_path: Path) -> None:
    hosts, group = read(write(tmp_path, [B, A]))
    assert list(hosts) == ["mlx@b.local", "a"]
    assert hosts["a"] == {"ansible_host": "a", "mlx_ips": ["10.0.0.1"]}
    assert hosts["mlx@b.local"] == {"ansible_host": "b.local", "ansible_user": "mlx", "mlx_ips": ["10.0.0.2", "10.1.0.2"]}
    assert group == {}


def test_newer_schema_sets_backend_env_and_rdma(tmp_path: Path) -> None:
    data = {"backend": "jaccl", "envs": ["K=a=b", "E="], "hosts": [A | {"rdma": [None, ["en3", "en4"]]}, B]}
    hosts, group = read(write(tmp_path, data))
    env = {"K": "a=b", "E": ""}
    assert group == {"mlx_backend": "jaccl", "mlx_env": env, "mlx_hostfile_env": env}
    assert hosts["a"]["mlx_rdma"] == [None, ["en3", "en4"]]
    assert "mlx_rdma" not in hosts["mlx@b.local"]


def test_a_host_that_stands_there_in_a_row_has_slots(tmp_path: Path) -> None:
    hosts, group = read(write(tmp_path, [A, A, A, B]))
    assert (hosts["a"]["mlx_slots"], hosts["mlx@b.local"].get("mlx_slots")) == (3, None)
    assert group == {}


@pytest.mark.parametrize(
    "entries", [[A, B, A], [A, A | {"ips": ["10.1.0.1"]}, B], [A, A | {"rdma": ["en2"]}]], ids=["interleaved", "addresses", "rdma"]
)
def test_what_slots_cannot_tell_is_told_rank_by_rank(tmp_path: Path, entries: list[dict[str, Any]]) -> None:
    _hosts, group = read(write(tmp_path, entries))
    assert group["mlx_hostfile"] == entries


def test_loopback_is_this_machine(tmp_path: Path) -> None:
    hosts, _group = read(write(tmp_path, [{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}] * 2))
    assert hosts == {"127.0.0.1": {"ansible_connection": "local", "mlx_ips": ["127.0.0.1"], "mlx_slots": 2}}


def test_text_of_a_hostfile_is_no_template(tmp_path: Path) -> None:
    """It is data from elsewhere; Ansible would run what stands between braces."""
    path = write(tmp_path, {"envs": ["K={{ lookup('pipe', 'echo no') }}"], "hosts": [A]})
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible"), "-i", str(path), "mlx", "-m", "ansible.builtin.debug", "-a", "var=mlx_env.K"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / ".ansible"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "{{ lookup('pipe', 'echo no') }}" in done.stdout


# -- what it takes, and what it leaves to others


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("hosts.yml", [A]),
        ("hosts", [A]),
        ("hosts.json", ""),
        ("hosts.json", []),
        ("hosts.json", ["a", "b"]),
        ("hosts.json", {"hosts": ["ssh", "b"]}),
        ("hosts.json", {"mlx": {"hosts": {"a": {"ssh": 1, "ips": []}}}}),
        ("hosts.json", {"mlx": {"hosts": {"a": None}, "vars": {"x": {"hosts": [A]}}}}),
        ("hosts.json", '{mlx: {vars: {\'x\': {"hosts": []}, "ssh": 1}}}'),
        ("hosts.json", b"\xff\xfe".decode("latin-1")),
    ],
)
def test_what_is_no_hostfile_is_left_to_other_plugins(tmp_path: Path, name: str, data: Any) -> None:
    assert not InventoryModule().verify_file(str(write(tmp_path, data, name)))


def test_a_file_that_is_not_there_or_a_directory_is_none() -> None:
    assert not InventoryModule().verify_file("/nonexistent/hosts.json")
    assert not InventoryModule().verify_file("/")


@pytest.mark.parametrize("suffix", ["json", "yml"])
def test_inventories_of_ansible_s_own_still_work(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, {"mlx": {"hosts": {"a": {"mlx_ips": ["10.0.0.1"], "ssh": "x"}}}}, f"inventory.{suffix}")
    done = ansible_inventory(path)
    told = json.loads(done.stdout)
    assert told["mlx"]["hosts"] == ["a"]
    assert told["_meta"]["hostvars"]["a"]["mlx_ips"] == ["10.0.0.1"]
    assert done.stderr == ""


def test_group_vars_beside_a_hostfile_count(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    write(tmp_path / "group_vars", "mlx_python: /opt/python\n", "mlx.yml")
    done = ansible_inventory(write(tmp_path, [A, B]))
    told = json.loads(done.stdout)
    assert told["mlx"]["hosts"] == ["a", "mlx@b.local"]
    assert [told["_meta"]["hostvars"][name]["mlx_python"] for name in told["mlx"]["hosts"]] == ["/opt/python"] * 2


# -- a bad one


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ([A, {"ips": []}], 'host 1: "ssh" is missing'),
        ([A, B | {"ips": ["fe80::1"]}], "host 1 (mlx@b.local): ips: fe80::1 is IPv6"),
        ([A, A | {"ssh": "-oProxyCommand=x", "ips": []}], "host 1: ssh: '-oProxyCommand=x' begins with '-'"),
        ({"hosts": [A, 7]}, "host 1: want an object"),
        ({"envs": "K=V", "hosts": [A]}, "envs: want a list"),
        ({"backend": 1, "hosts": [A]}, "backend: want a name"),
        (json.dumps([A])[:-1], "not JSON: Expecting ',' delimiter: line 1"),
        (json.dumps({"backend": "ring", "hosts": [A]}).replace("}]", "},]"), "not JSON: "),
    ],
)
def test_a_mistake_ends_it_with_one_line_that_names_file_and_field(
    tmp_path: Path, data: Any, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, data)
    plugin = InventoryModule()
    assert plugin.verify_file(str(path))
    with pytest.raises(SystemExit) as caught:
        plugin.parse(InventoryData(), DataLoader(), str(path))
    assert caught.value.code == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{path}: {wrong}" in line


def test_ansible_says_nothing_else_about_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path, {"backend": "ring", "hosts": [A, B | {"ips": "10.0.0.2"}]})
    done = ansible_inventory(path, ANSIBLE_NOCOLOR="1")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"[ERROR]: {path}: host 1 (mlx@b.local): ips: want a list of IPv4 addresses, not '10.0.0.2'\n"


# -- and back


def again(hostfile: Hostfile) -> Hostfile:
    """Return the hostfile of the inventory that a hostfile is."""
    hosts, group = host_variables(hostfile), group_variables(hostfile)
    return hostfile_from_inventory(
        list(hosts),
        {name: group | own for name, own in hosts.items()},
        lambda name: [],
        ranks=group.get("mlx_hostfile"),
        backend=group.get("mlx_backend", ""),
        env=group.get("mlx_hostfile_env"),
    )


@given(hostfiles().filter(lambda hostfile: all(entry.ips for entry in hostfile.entries)))
def test_hostfile_of_the_inventory_is_the_hostfile(hostfile: Hostfile) -> None:
    have = again(hostfile)
    assert (have.entries, have.backend) == (hostfile.entries, hostfile.backend)
    assert parse_env(have.envs) == parse_env(hostfile.envs)


def test_a_host_without_addresses_gets_what_its_name_resolves_to() -> None:
    made = hostfile_from_inventory(["a"], {"a": {"ansible_host": "mac-1"}}, {"mac-1": ["10.0.0.7", "10.0.0.8"]}.__getitem__)
    assert made == Hostfile((Entry("mac-1", ("10.0.0.7",)),))


@pytest.mark.parametrize(
    ("variables", "ssh"),
    [
        ({}, "a"),
        ({"ansible_host": "mac-1"}, "mac-1"),
        ({"ansible_host": "mac-1", "ansible_user": "mlx"}, "mlx@mac-1"),
        ({"ansible_host": "x@mac-1", "ansible_user": "mlx"}, "x@mac-1"),
        ({"ansible_connection": "local"}, "127.0.0.1"),
        ({"ansible_connection": "ansible.builtin.local", "ansible_host": "mac-1"}, "127.0.0.1"),
    ],
)
def test_a_host_is_called_what_ssh_reaches_it_by(variables: dict[str, Any], ssh: str) -> None:
    made = hostfile_from_inventory(["a"], {"a": variables | {"mlx_ips": ["10.0.0.1"]}}, lambda name: [])
    assert made.entries == (Entry(ssh, ("10.0.0.1",)),)


@pytest.mark.parametrize(
    ("variables", "options", "wrong"),
    [
        ({"mlx_rdma": "en2"}, {}, "a: mlx_rdma: want a list"),
        ({"mlx_slots": 0}, {}, "a: mlx_slots: 0"),
        ({"mlx_ips": ["fe80::1"]}, {}, "a: mlx_ips: fe80::1 is IPv6"),
        ({"mlx_ips": ["10.0.0.2"]}, {}, "host 1 (b): ips: 10.0.0.2 is an address of host 0 (a) already"),
        ({"mlx_ips": []}, {}, "a: cannot tell its IPv4 address"),
        ({}, {"ranks": [{"ssh": "c"}]}, "mlx_hostfile: c is not among the hosts: a, b"),
        ({}, {"env": {"1": "x"}}, "mlx_hostfile_env: '1' is not a valid name"),
    ],
)
def test_an_inventory_that_gives_no_hostfile_is_refused(variables: dict[str, Any], options: dict[str, Any], wrong: str) -> None:
    hostvars = {"a": {"mlx_ips": ["10.0.0.1"]} | variables, "b": {"mlx_ips": ["10.0.0.2"]}}
    with pytest.raises(UsageError) as caught:
        hostfile_from_inventory(["a", "b"], hostvars, lambda name: [], **options)
    assert wrong in str(caught.value)


@pytest.mark.parametrize("schema", ["list", "object"])
def test_text_has_a_line_per_rank_and_says_what_the_data_says(schema: str) -> None:
    hostfile = hostfile_from_data({"backend": "ring", "envs": ["K=ü"], "hosts": [A, B, A]})
    text = hostfile.render(schema)
    assert json.loads(text) == hostfile.data(schema)
    lines = [line for line in text.splitlines() if '"ssh"' in line]
    assert [json.loads(line.rstrip(",")) for line in lines] == [A, B, A]
