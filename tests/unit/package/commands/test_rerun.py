"""An earlier job, from its record to one that runs again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import RUN_SETTINGS
from mlxlaunch_ansible import UsageError
from mlxlaunch_ansible._inventory import AnsibleOptions, Source
from mlxlaunch_ansible.commands import rerun

NOTHING = {"project": "", "project_digest": "", "script": "", "environment": "", "lock_sha256": ""}
ORIGIN = {"paths": [], "hosts": {"127.0.0.1": {"ansible_connection": "local"}}, "not_recorded": [], "env": []}


def record(folder: Path, settings: dict[str, Any] | None = None, **fields: Any) -> str:
    """Write a run directory and return its path."""
    every = {setting.name: list(setting.default) if isinstance(setting.default, tuple) else setting.default for setting in RUN_SETTINGS}
    every |= {"command": ["hostname"], "env": [], **(settings or {})}
    told = {"format": 2, "settings": every, "inventory": ORIGIN, "hostfile": [{"ssh": "127.0.0.1", "ips": []}]}
    told |= {"ranks": [{"rank": 0}], "deployed": NOTHING, **fields}
    run_dir = folder / "j1"
    run_dir.mkdir(exist_ok=True)
    (run_dir / "job.json").write_text(json.dumps(told))
    return str(run_dir)


def refused(*arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        rerun.load(*arguments)
    return str(caught.value)


def test_run_is_named_by_directory_or_id(tmp_path: Path) -> None:
    by_path = rerun.load(record(tmp_path), None, {})
    assert by_path == rerun.load("j1", str(tmp_path), {})
    assert (by_path.ranks, by_path.notes) == ([{"rank": 0}], [])
    assert by_path.settings["command"] == ["hostname"]
    assert "env" not in by_path.settings


def test_inventory_is_the_one_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.touch()
    assert rerun.load(record(tmp_path, inventory={"paths": [str(path)]}), None, {}).inventory == Source(paths=(str(path),))
    path.unlink()
    assert refused(record(tmp_path, inventory={"paths": [str(path)]}), None, {}) == f"the inventory of that run is gone: {path}"


def test_options_of_ansible_are_those_of_that_run(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.touch()
    told = {"limit": "a", "user": "ada", "become": True, "vault_ids": ["x@f"], "extra_vars": ["@/v.yml"]}
    origin = {"paths": [str(path)], "listed": ["b", "c"], "slots": 2, "ansible": told, "again": ["-e token", "--ask-become-pass"]}
    run_dir = record(tmp_path, inventory=origin)
    assert "given -e token, --ask-become-pass for Ansible" in refused(run_dir, None, {})
    given = AnsibleOptions(extra_vars=("token=x",), passwords=(("become", "y"),), user="eve")
    again = rerun.load(run_dir, None, {}, given).inventory
    assert isinstance(again, Source)
    assert (again.slots, again.data) == (2, {"mlx": {"hosts": {"b": {}, "c": {}}}})
    expected = AnsibleOptions("a", ("@/v.yml", "token=x"), "eve", become=True, vault_ids=("x@f",), passwords=given.passwords)
    assert again.ansible == expected


def test_values_of_variables_are_asked_for_again(tmp_path: Path) -> None:
    run_dir = record(tmp_path, {"env": ["TOKEN", "A"]})
    assert "was given A, TOKEN for its ranks" in refused(run_dir, None, {})
    assert "was given TOKEN for its ranks" in refused(run_dir, None, {"env": {"A": "1"}})
    assert rerun.load(run_dir, None, {"env": {"A": "1", "TOKEN": "x"}}).notes == []


def test_variables_of_an_inventory_that_is_in_no_file_are_asked_for_too(tmp_path: Path) -> None:
    run_dir = record(tmp_path, {"env": ["A"]}, inventory={**ORIGIN, "env": ["B"]})
    assert "was given A, B for its ranks" in refused(run_dir, None, {})


def test_credentials_are_asked_for_again(tmp_path: Path) -> None:
    run_dir = record(tmp_path, {"index_url": "https://***@pkg.example/simple"})
    assert "https://***@pkg.example/simple; credentials are not recorded, so give --index-url again" in refused(run_dir, None, {})
    rerun.load(run_dir, None, {"index_url": "https://a:b@pkg.example/simple"})
    for address in ("s3://***@bucket", "https://host/path?page=2&token=***"):
        run_dir = record(tmp_path, {"args": ["--data", address]})
        assert "an address with credentials in its args" in refused(run_dir, None, {})


def test_hosts_of_no_file_are_reached_as_they_were(tmp_path: Path) -> None:
    reach = {"mac-1": {"ansible_host": "10.0.0.1", "ansible_user": "ada", "ansible_port": 2222}}
    hostfile = [{"ssh": "mac-1", "ips": ["10.0.0.1"]}]
    again = rerun.load(record(tmp_path, {"group": "g"}, inventory={**ORIGIN, "hosts": reach}, hostfile=hostfile), None, {})
    assert isinstance(again.inventory, Source)
    assert again.inventory.data == {"g": {"hosts": reach}}
    assert again.inventory.hostfile
    assert [entry.ssh for entry in again.inventory.hostfile.entries] == ["mac-1"]


def test_hosts_that_were_reached_by_what_may_be_secret_are_refused(tmp_path: Path) -> None:
    told = refused(record(tmp_path, inventory={**ORIGIN, "not_recorded": ["ansible_ssh_common_args"]}), None, {})
    assert told.startswith("the hosts of that run were reached with ansible_ssh_common_args, which is not recorded; ")


@pytest.mark.parametrize(("text", "problem"), [(None, "No such file"), ("{", "not JSON"), ('{"format": 1}', "not a record that")])
def test_record_that_cannot_be_read_is_named(text: str | None, problem: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "job.json").write_text(text)
    message = refused(str(tmp_path), None, {})
    assert message.startswith(f"--from-run {tmp_path}: {tmp_path}/job.json: ")
    assert problem in message


def test_changed_script_runs_as_it_was(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print(2)\n")
    deployed = {**NOTHING, "project_digest": "another", "project": "/opt/p/train-1", "script": "/opt/p/train-1/train.py"}
    given = {"command": [], "script": str(script)}
    again = rerun.load(record(tmp_path, given, deployed=deployed), None, {})
    assert again.settings["script"] == "/opt/p/train-1/train.py"
    assert again.notes == [f"{script} is not what it was; running /opt/p/train-1, which was brought to the hosts then"]
    kept_nowhere = record(tmp_path, given, deployed={**deployed, "project": ""})
    assert refused(kept_nowhere, None, {}) == f"{script} is not what it was in that run, and no copy of it was kept"


def test_lock_that_is_gone_leaves_its_environment(tmp_path: Path) -> None:
    deployed = {**NOTHING, "lock_sha256": "1", "environment": "/opt/e/1"}
    again = rerun.load(record(tmp_path, {"environment": "/no/such.lock"}, deployed=deployed), None, {})
    assert (again.settings["environment"], again.settings["python"]) == ("", "/opt/e/1/bin/python")
    assert again.notes == ["/no/such.lock is not what it was; using /opt/e/1, which was made on the hosts then"]
