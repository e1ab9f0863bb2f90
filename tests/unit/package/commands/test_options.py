"""Flags of hosts and settings, and the arguments of the API they become."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import RUN_SETTINGS
from mlxlaunch_ansible import UsageError
from mlxlaunch_ansible.commands.options import add_hosts, add_settings, inventory_of, settings_of, unexpanded


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_hosts(parser)
    add_settings(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {}),
        ("--prefix --verbose --tty --no-sync", {"prefix": True, "verbose": True, "tty": True, "sync": False}),
        ("--env A=1 --env B=a=b", {"env": {"A": "1", "B": "a=b"}}),
        ("--exclude *.o --exclude data", {"exclude": ["*.o", "data"]}),
        ("-p auto --grace 1.5 --stdin 0", {"starting_port": "auto", "grace": "1.5", "stdin": "0"}),
        ("--environment copy --project-dir llm", {"environment": "copy", "project_dir": "/here/llm"}),
        ("--cwd there --python bin/python", {"cwd": "there", "python": "bin/python"}),
        ("--mpi-arg=-v --mpi-arg=--bind-to", {"mpi_args": ["-v", "--bind-to"]}),
    ],
)
def test_flags_become_settings(words: str, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = settings_of(parse(*words.split()))
    assert found == {name: value.replace("/here", str(tmp_path)) if isinstance(value, str) else value for name, value in expected.items()}


def test_env_that_is_no_assignment_is_named() -> None:
    with pytest.raises(UsageError, match="1A"):
        settings_of(parse("--env", "1A=x"))


@pytest.mark.parametrize("setting", [setting for setting in RUN_SETTINGS if setting.flags], ids=lambda setting: setting.name)
def test_help_of_a_flag_is_the_setting_s_text(setting: Any) -> None:
    parser = argparse.ArgumentParser()
    add_settings(parser, [setting.name])
    told = " ".join(parser.format_help().split())
    if setting.default is True:
        assert f"Do not {setting.doc[0].lower()}{setting.doc[1:]}" in told
    else:
        assert all(word in told for word in setting.doc.split())


def test_command_has_only_the_settings_it_names() -> None:
    parser = argparse.ArgumentParser()
    add_settings(parser, ["grace"], {"--grace": ["--gr"]})
    assert vars(parser.parse_args(["--gr", "1"])) == {"grace": "1"}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["127.0.0.1"]),
        (["-n", "3"], ["127.0.0.1"] * 3),
        (["--hosts", "a,b"], ["a", "b"]),
        (["--hosts", "a,b", "-n", "2"], ["a", "a", "b", "b"]),
    ],
)
def test_hosts_become_a_hostfile(words: list[str], names: list[str]) -> None:
    hosts = inventory_of(parse(*words)).hostfile
    assert hosts
    assert [entry.ssh for entry in hosts.entries] == names


def test_hostfile_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps([{"ssh": "a", "ips": ["10.0.0.1"]}]))
    hosts = inventory_of(parse("--hostfile", str(path))).hostfile
    assert hosts
    assert hosts.entries[0].ips == ("10.0.0.1",)


def test_inventories_are_kept_in_order_with_their_slots(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).touch()
    source = inventory_of(parse("-i", f"{tmp_path}/b", "-i", f"{tmp_path}/a", "-n", "2"))
    assert (source.paths, source.slots, source.hostfile) == ((f"{tmp_path}/b", f"{tmp_path}/a"), 2, None)


@pytest.mark.parametrize(
    ("value", "note"),
    [("$PATH:/x", "--env A: $PATH is given"), ("/x:${HOME}/y", "--env A: ${HOME} is given"), ("5$", None), ("$1", None), ("x", None)],
)
def test_variable_in_a_value_is_noted(value: str, note: str | None) -> None:
    found = unexpanded([f"A={value}"])
    assert found == [] if note is None else found[0].startswith(note)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-i", "x", "--hosts", "a"], "--inventory and --hosts: hosts can come from one of them only"),
        (["--hostfile", "x", "--hosts", "a"], "--hostfile and --hosts: "),
        (["-n", "0"], "--repeat-hosts 0: want 1 or more"),
        (["--hosts", "a,,b"], ""),
    ],
)
def test_hosts_that_cannot_be_meant_are_refused(words: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        inventory_of(parse(*words))
    assert text in str(caught.value)
