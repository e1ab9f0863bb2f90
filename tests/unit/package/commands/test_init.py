"""`mlxlaunch init`: hosts from words, a file or a person; the file that is written; its exit status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlxlaunch_ansible import cli
from mlxlaunch_ansible._contact.contact import ContactResult
from mlxlaunch_ansible._inventory import Source
from mlxlaunch_ansible.commands import init

READY = {"host": "a", "state": "ready", "text": "", "user": "me", "key": None, "done": [], "facts": {"ranks_python": True}, "commands": []}
FINGERPRINT = f"SHA256:{'x' * 43}"


class World:
    """Hosts that are met as a test says, and a check that ends as it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.result, self.check, self.met, self.checked = ContactResult(0, "", (READY,)), 0, list[Any](), list[Any]()
        monkeypatch.setattr(init, "meet_hosts", self._meet)
        monkeypatch.setattr(init, "_check", self._check)

    def _meet(self, source: Source, settings: Mapping[str, Any], keys: Any, *, apply: bool) -> ContactResult:
        assert apply
        self.met.append((source.data, dict(settings), keys))
        return self.result

    def _check(self, path: str, _settings: Mapping[str, Any]) -> int:
        self.checked.append(path)
        return self.check


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    monkeypatch.chdir(tmp_path)
    return World(monkeypatch)


def written(name: str = "inventory.yml") -> Any:
    return yaml.safe_load(Path(name).read_text())["mlx"]


def test_hosts_of_the_line_are_met_written_and_checked(world: World) -> None:
    world.check = 3
    line = ["init", "me@a:2222", "b", "-u", "eve", "--private-key", "k", "--host-key", f"a={FINGERPRINT}", "--connect-timeout", "5"]
    assert cli.main(line) == 3
    hosts, variables = (
        {"a": {"ansible_user": "me", "ansible_port": 2222}, "b": {}},
        {"ansible_user": "eve", "ansible_ssh_private_key_file": "k"},
    )
    assert world.met == [({"mlx": {"hosts": hosts, "vars": variables}}, {"connect_timeout": "5"}, {"a": [FINGERPRINT]})]
    assert written() == {"hosts": {"a": hosts["a"], "b": None}, "vars": variables}
    assert world.checked == ["inventory.yml"]


def test_environment_goes_along_where_a_host_lacks_the_python(world: World) -> None:
    world.result = ContactResult(0, "", (READY, {**READY, "facts": {"ranks_python": False}}, {**READY, "facts": {}}))
    assert cli.main(["init", "a", "b", "-o", "lab.yml"]) == 0
    assert written("lab.yml")["vars"] == {"mlx_environment": "copy"}


def test_hostfile_gives_hosts_and_their_variables(world: World, tmp_path: Path) -> None:
    entries = [{"ssh": "me@a", "ips": ["10.0.0.1"]}, {"ssh": "b", "ips": ["10.0.0.2"]}, {"ssh": "b", "ips": ["10.0.0.2"]}]
    (tmp_path / "h.json").write_text(json.dumps({"backend": "ring", "envs": ["A={{ x }}"], "hosts": entries}))
    assert cli.main(["init", "--hostfile", "h.json"]) == 0
    assert world.met[0][0] == {"mlx": {"hosts": {"a": {"ansible_user": "me"}, "b": {}}, "vars": {}}}
    text = Path("inventory.yml").read_text()
    assert "mlx_ips: [10.0.0.2]" in text
    assert "mlx_slots: 2" in text
    assert "A: !unsafe" in text


def test_nothing_is_written_unless_all_hosts_are_met(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.result = ContactResult(3, "b: no route", ())
    assert cli.main(["init", "a", "b"]) == 3
    assert capfd.readouterr().err == "mlxlaunch: b: no route\nmlxlaunch: inventory.yml was not written\n"
    assert list(Path().iterdir()) == []
    assert world.checked == []


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("init a --hostfile x", "hosts can come from their names or from --hostfile, not from both"),
        ("init a a", "a is named twice"),
        ("init -- a", "nothing can follow --"),
        ("init {{a}}", "contains a brace"),
        ("init a --host-key b=" + FINGERPRINT, "--host-key b: no such host here; the hosts are a"),
        ("init a --host-key b", "want NAME=FINGERPRINT"),
        ("init --hostfile nowhere.json", "nowhere.json: cannot read the hostfile"),
        ("init", "which hosts?"),
        ("init a -k", "--ask-pass asks for a password on a terminal, and there is none"),
        ("init a -o taken.yml", "taken.yml is there already"),
    ],
)
def test_wrong_line_is_one_line_and_meets_nobody(
    line: str, answer: str, world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("taken.yml").touch()
    monkeypatch.setattr(init, "person", lambda: None)

    def no_terminal(*_arguments: Any) -> str:
        raise init.UsageError("--ask-pass asks for a password on a terminal, and there is none")

    monkeypatch.setattr(init, "ask_password", no_terminal)
    assert cli.main(line.split()) == 2
    said = capfd.readouterr().err
    assert (answer in said, said.count("\n")) == (True, 1), said
    assert world.met == []


@pytest.mark.parametrize(("typed", "hosts"), [("a b", ["a", "b"]), ("a, me@b", ["a", "b"])])
def test_hosts_may_be_typed(typed: str, hosts: list[str], world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init, "person", object)
    monkeypatch.setattr(init, "ask", lambda _question: typed)
    assert cli.main(["init"]) == 0
    assert list(written()["hosts"]) == hosts
    assert len(world.met) == 1
