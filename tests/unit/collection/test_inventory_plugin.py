"""An MLX hostfile is an inventory, and a file that is none is left alone."""

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

from ansible_collections.mlxlaunch.cluster.plugins.inventory import mlx_hostfile
from ansible_collections.mlxlaunch.cluster.plugins.inventory.mlx_hostfile import InventoryModule

CHECKOUT = Path(__file__).parents[3]
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
        timeout=200,
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
        timeout=200,
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
def test_mistake_is_one_line_that_names_file_and_field(tmp_path: Path, data: Any, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, data)
    plugin = InventoryModule()
    assert plugin.verify_file(str(path))
    with pytest.raises(SystemExit) as caught:
        plugin.parse(InventoryData(), DataLoader(), str(path))
    assert caught.value.code == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{path}: {wrong}" in line


def test_hostfile_is_not_read_where_it_would_be_a_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hosts.json"
    path.write_text('[{"ssh": "a"}]')
    monkeypatch.setattr(mlx_hostfile, "CORE", "2.18.1")
    with pytest.raises(SystemExit):
        InventoryModule().parse(InventoryData(), DataLoader(), str(path))
    assert "ansible-core 2.18.1 is older than those that mlxlaunch.cluster" in " ".join(capsys.readouterr().err.split())


def test_ansible_says_nothing_else_about_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path, {"backend": "ring", "hosts": [A, B | {"ips": "10.0.0.2"}]})
    done = ansible_inventory(path, ANSIBLE_NOCOLOR="1")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"[ERROR]: {path}: host 1 (mlx@b.local): ips: want a list of IPv4 addresses, not '10.0.0.2'\n"
