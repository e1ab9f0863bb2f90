"""The source of hosts: every form that `inventory` may have."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import UsageError
from mlxlaunch_ansible._inventory import AnsibleOptions, Source, ansible_options, read_hostfile, resolve_inventory, variables_of

ENTRIES = [{"ssh": "mac-1", "ips": ["10.0.0.1"]}, {"ssh": "mac-2", "ips": ["10.0.0.2"]}, {"ssh": "mac-1", "ips": ["10.0.0.1"]}]
HOSTFILE = {"backend": "ring", "envs": ["A=1"], "hosts": ENTRIES}
YAML = {"mlx": {"hosts": {"mac-1": {}}}}


def ranks(source: Source) -> list[str]:
    assert source.hostfile
    return [entry.ssh for entry in source.hostfile.entries]


@pytest.mark.parametrize("inventory", [ENTRIES, HOSTFILE, ["mac-1", "mac-2", "mac-1"], ("mac-1", "mac-2", "mac-1")])
def test_hostfile_and_names_give_ranks_in_order(inventory: Any) -> None:
    source = resolve_inventory(inventory, "macs")
    assert ranks(source) == ["mac-1", "mac-2", "mac-1"]
    assert source.data
    assert list(source.data["macs"]["hosts"]) == ["mac-1", "mac-2"]
    assert source.paths == ()


def test_variables_of_a_hostfile_are_those_of_the_group() -> None:
    source = resolve_inventory(HOSTFILE)
    assert source.data
    assert source.data["mlx"]["vars"] == {"mlx_env": {"A": "1"}}


def test_resolved_hostfile_is_taken_as_it_is() -> None:
    hostfile = resolve_inventory(ENTRIES).hostfile
    assert hostfile
    assert resolve_inventory(hostfile).hostfile is hostfile


def test_mapping_is_an_inventory() -> None:
    assert resolve_inventory(YAML) == Source(data=YAML)


@pytest.mark.parametrize("data", [ENTRIES, HOSTFILE])
def test_file_may_be_a_hostfile(data: Any, tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps(data))
    assert ranks(resolve_inventory(path)) == ranks(resolve_inventory(str(path))) == ["mac-1", "mac-2", "mac-1"]


@pytest.mark.parametrize(("name", "text"), [("hosts.yml", "[]"), ("hosts.json", json.dumps(YAML)), ("other.json", "{")])
def test_other_files_are_for_ansible(name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    assert resolve_inventory(name) == Source(paths=(str(tmp_path / name),))


@pytest.mark.parametrize(
    ("inventory", "text"),
    [
        ("no/such.yml", "no/such.yml: no such inventory"),
        ([], "inventory: no hosts"),
        ({}, "inventory: no hosts"),
        ([{"ssh": 1}], "ssh"),
        ("", "cannot be empty"),
        (["", "a/b"], "cannot be empty"),
        ([""], "cannot be empty"),
    ],
)
def test_mistake_is_named(inventory: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        resolve_inventory(inventory)


@pytest.mark.parametrize(("text", "problem"), [(None, "cannot read the hostfile"), ("{", "not JSON"), ("{}", "hosts.json")])
def test_bad_hostfile_is_named(text: str | None, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=problem) as caught:
        read_hostfile(path)
    assert str(path) in str(caught.value)


# -- inventories as ansible-playbook takes them, and its options


@pytest.mark.parametrize(
    ("sources", "paths", "hosts"),
    [
        (["a,b"], [], ["a", "b"]),
        ("a,", [], ["a"]),
        (["inv", "more/"], ["inv", "more"], None),
        ([Path("inv"), "c,"], ["inv"], ["c"]),
        (["a,b", "inv", "c,"], ["inv"], ["a", "b", "c"]),
        (["inv"], ["inv"], None),
    ],
)
def test_several_sources_are_inventories(
    sources: Any, paths: list[str], hosts: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inv").touch()
    (tmp_path / "more").mkdir()
    monkeypatch.chdir(tmp_path)
    source = resolve_inventory(sources, "macs")
    assert source.paths == tuple(str(tmp_path / path) for path in paths)
    assert source.data == ({"macs": {"hosts": {key: {} for key in hosts}}} if hosts else None)
    assert source.hostfile is None


def test_localhost_in_a_list_is_this_machine() -> None:
    source = resolve_inventory("localhost,127.0.0.1")
    assert source.data == {"mlx": {"hosts": {key: {"ansible_connection": "local"} for key in ["localhost", "127.0.0.1"]}}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, []),
        ({"limit": "a", "user": None}, ["--limit=a"]),
        ({"extra_vars": {"a": [1]}}, ['--extra-vars={"a": [1]}']),
        ({"private_key": "", "vault_password_file": "", "limit": ""}, []),
        ({"extra_vars": "a=1"}, ["--extra-vars=a=1"]),
        ({"extra_vars": ["a=1", "@f"]}, ["--extra-vars=a=1", "--extra-vars=@f"]),
        ({"private_key": Path("k"), "become": True}, ["--private-key=k", "--become"]),
        ({"vault_password_file": "f", "become_user": "eve"}, ["--become-user=eve", "--vault-password-file=f"]),
    ],
)
def test_arguments_of_python_are_options_of_ansible(
    given: dict[str, Any], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").touch()
    monkeypatch.chdir(tmp_path)
    assert ansible_options(given).words == words


@pytest.mark.parametrize(("given", "text"), [({"user": 1}, "user: 1 is not text"), ({"extra_vars": {"a": object()}}, "extra_vars: want")])
def test_argument_of_a_wrong_type_is_named(given: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        ansible_options(given)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1 b='x y'", {"a": "1", "b": "x y"}),
        ('{"a": [1]}', {"a": [1]}),
        ("{a: 1", {}),
        ("@none.yml", {}),
        ("word", {}),
    ],
)
def test_variables_of_a_text_are_known(text: str, found: dict[str, Any]) -> None:
    assert variables_of([text]) == found


KINDS = ["pipe by its name", "pipe by its number", "file by its number"]


@contextmanager
def readable_once(kind: str, content: str, path: Path) -> Iterator[str]:
    """Give the name of a file of a kind, which can be read once or only by this process."""
    ours, theirs = os.pipe()
    if kind == "pipe by its name":
        os.mkfifo(path)
        threading.Thread(target=path.write_text, args=(content,)).start()
    elif kind == "pipe by its number":
        os.write(theirs, content.encode())
    else:
        path.write_text(content)
        os.close(ours)
        ours = os.open(path, os.O_RDONLY)
    os.close(theirs)
    yield f"/dev/fd/{ours}" if kind.endswith("number") else str(path)
    os.close(ours)


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_read_once_is_read_once(kind: str, tmp_path: Path) -> None:
    with readable_once(kind, "mlx_env: {A: 1}\ntoken: x\n", tmp_path / "v.yml") as name:
        options = ansible_options({"extra_vars": f"@{name}"})
    assert (options.variables, options.variables["token"]) == ({"mlx_env": {"A": 1}, "token": "x"}, "x")
    assert (options.record, options.not_recorded) == ({}, ["-e mlx_env", "-e token"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [json.dumps(YAML), json.dumps(HOSTFILE)])
def test_inventory_that_can_be_read_once_is_read_once(kind: str, content: str, tmp_path: Path) -> None:
    with readable_once(kind, content, tmp_path / "hosts") as given:
        source = resolve_inventory([Path(given), "b,"] if content == json.dumps(YAML) else given)
    if content == json.dumps(YAML):
        [read] = source.paths
        assert (read, read.content) == (given, content)  # type: ignore[attr-defined]
        assert source.origin == {"paths": [given], "listed": ["b"]}
    else:
        assert ranks(source) == ["mac-1", "mac-2", "mac-1"]


@pytest.mark.parametrize(("content", "reason"), [("", "there is nothing to read"), ("\udce9", "not UTF-8")])
def test_inventory_that_cannot_be_read_is_named(content: str, reason: str) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, os.fsencode(content))
    os.close(theirs)
    with pytest.raises(UsageError, match=f"^/dev/fd/{ours}: {reason}$"):
        resolve_inventory(f"/dev/fd/{ours}")
    os.close(ours)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@/dev/null", "there is nothing to read"),
        ("@/dev/fd/999", "no such file"),
        ("@nope.yml", "no such file"),
        ("@/", "Is a directory"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"^-e {text}: {reason}$"):
        ansible_options({"extra_vars": text})


def test_record_has_names_and_no_values(tmp_path: Path) -> None:
    options = AnsibleOptions(limit="a", extra_vars=("token=x", "@/v.yml"), ssh_common_args="-J x", passwords=(("become", "x"),))
    assert options.record == {"limit": "a", "extra_vars": ["@/v.yml"]}
    assert options.not_recorded == ["-e token", "--ssh-common-args", "--ask-become-pass"]
