"""The inventory that `init` writes: read by Ansible as it was meant, and never over another file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

from mlxlaunch_ansible import LaunchError, UsageError
from mlxlaunch_ansible._contact.inventory_file import check_free, host_of, inventory_text, write_new


def read_by_ansible(text: str, path: Path) -> tuple[list[str], dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the hosts of the group in their order, the group's variables, and those of each host."""
    path.write_text(text)
    inventory = InventoryManager(DataLoader(), [str(path)])
    group = inventory.groups["mlx"]
    return (
        [host.name for host in group.hosts],
        group.vars,
        {host.name: {name: host.vars[name] for name in host.vars if not name.startswith("inventory_")} for host in group.hosts},
    )


@pytest.mark.parametrize(
    ("word", "name", "variables"),
    [
        ("mac-1.local", "mac-1.local", {}),
        ("me@mac", "mac", {"ansible_user": "me"}),
        ("10.0.0.1:2222", "10.0.0.1", {"ansible_port": 2222}),
        ("a@b@mac:22", "mac", {"ansible_user": "a@b", "ansible_port": 22}),
        ("fe80::1", "fe80::1", {}),
        ("me@[fe80::1%en0]:2222", "fe80::1%en0", {"ansible_user": "me", "ansible_port": 2222}),
        ("mac[1]:22", "mac[1]", {"ansible_port": 22}),
        ("127.0.0.1", "127.0.0.1", {"ansible_connection": "local"}),
        ("localhost", "localhost", {}),
    ],
)
def test_host_is_named_as_for_ssh(word: str, name: str, variables: dict[str, Any]) -> None:
    assert host_of(word) == (name, variables)


@pytest.mark.parametrize("word", ["mac:0", "me@10.0.0.1:99999", "[fe80::1]:65536"])
def test_port_that_cannot_be_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is no port; want 1 to 65535"):
        host_of(word)


NASTY: dict[str, Any] = {
    "mlx_env": {"A": "{{ x }} # 'y' \"z\"\n", "B": "yes", "C": "a: b"},
    "mlx_ips": ["10.0.0.1"],
    "mlx_rdma": [None, "x"],
}


@pytest.mark.parametrize("copy", [True, False])
def test_ansible_reads_what_was_meant(copy: bool, tmp_path: Path) -> None:
    hosts: dict[str, dict[str, Any]] = {"z": {"ansible_port": 22}, "a": NASTY, "yes": {}, "7": {}}
    names, of_group, of_hosts = read_by_ansible(inventory_text(hosts, {"ansible_user": "me"}, copy=copy), tmp_path / "i.yml")
    assert names == ["z", "a", "yes", "7"]
    assert of_group == {"ansible_user": "me", **({"mlx_environment": "copy"} if copy else {})}
    assert of_hosts["a"] == NASTY
    assert of_hosts["z"] == {"ansible_port": 22}


@pytest.mark.parametrize("copy", [True, False])
def test_text_is_short_and_explains_itself(copy: bool) -> None:
    lines = inventory_text({"a": {}, "b": {}}, {}, copy=copy).splitlines()
    assert len(lines) < 12
    assert max(map(len, lines)) <= 120
    assert any("rank 0" in line for line in lines)


def test_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yml"
    check_free(str(path))
    write_new(str(path), "mine")
    for call in (lambda: write_new(str(path), "other"), lambda: check_free(str(path))):
        with pytest.raises(UsageError, match=r"inventory\.yml is there already, and stays as it is"):
            call()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("inventory.yml", "mine")]
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError):
        check_free(str(tmp_path / "link"))


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"/no/inventory\.yml: cannot be written: No such file or directory"):
        write_new(str(tmp_path / "no" / "inventory.yml"), "x")
