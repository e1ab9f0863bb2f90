"""The content and the path of a hostfile, from a task's options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.hostfile_render import hostfile_path, hostfile_text
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError

HOSTVARS: dict[str, dict[str, Any]] = {"a": {"mlx_ips": ["10.0.0.1"]}, "b": {"mlx_ips": ["10.0.0.2"]}}


def text(**options: Any) -> str:
    return hostfile_text(list(HOSTVARS), HOSTVARS, **{"schema": None, "backend": None, "env": None, "ranks": None, "user": "", **options})


def test_hosts_are_in_the_order_of_the_inventory() -> None:
    assert [entry["ssh"] for entry in json.loads(text())] == ["a", "b"]


def test_user_of_the_configuration_is_named_where_variables_name_nobody() -> None:
    hosts = {**HOSTVARS, "c": {"ansible_ssh_user": "ada", "ansible_ssh_host": "10.0.0.3"}}
    options: dict[str, Any] = {"schema": None, "backend": None, "env": None, "ranks": None, "user": "bob"}
    assert [entry["ssh"] for entry in json.loads(hostfile_text(list(hosts), hosts, **options))] == ["bob@a", "bob@b", "ada@10.0.0.3"]


def test_options_may_be_text() -> None:
    ranks = '[{"ssh": "b", "ips": []}, {"ssh": "a", "ips": []}]'
    written = json.loads(text(schema="object", env='{"A": "1"}', ranks=ranks))
    assert [entry["ssh"] for entry in written["hosts"]] == ["b", "a"]
    assert written["envs"] == ["A=1"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("schema", "table", "hostfile: schema 'table': want list or object"),
        ("backend", 7, "mlx_backend: 7: want a name"),
        ("backend", "foo", "hostfile: unknown backend 'foo'; this version starts: ring, "),
        ("env", ["A=1"], r"mlx_hostfile_env: \['A=1'\]: want a mapping"),
    ],
)
def test_wrong_option_is_named(option: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        text(**{option: value})


def test_path_may_be_left_out() -> None:
    assert hostfile_path(None, []) == hostfile_path("", []) == ""


@pytest.mark.parametrize(("given", "written"), [(None, ""), ("", ""), ("auto", ""), ("jaccl", "jaccl")])
def test_backend_may_be_left_to_whoever_launches(given: Any, written: str) -> None:
    assert json.loads(text(schema="object", backend=given))["backend"] == written


@pytest.mark.parametrize("given", [7, "a\0b"])
def test_wrong_path_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match="is not a path"):
        hostfile_path(given, [])


def test_inventory_is_never_written_over(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    (inventory / "hosts.yml").touch()
    (tmp_path / "link.yml").symlink_to(inventory / "hosts.yml")
    for given in ("inventory/hosts.yml", "inventory/new.json", "link.yml"):
        with pytest.raises(UsageError, match="is the inventory; name another file"):
            hostfile_path(str(tmp_path / given), [str(inventory)])
    assert hostfile_path(str(tmp_path / "hosts.json"), [str(inventory)]) == str(tmp_path / "hosts.json")
