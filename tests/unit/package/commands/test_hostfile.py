"""`mlxlaunch hostfile`: its text, from hosts that are named or that Ansible knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import LaunchError, UsageError, cli
from mlxlaunch_ansible.commands import hostfile
from mlxlaunch_ansible.commands.hostfile import hostfile_text

HOSTS = [{"ssh": "mac-1", "ips": ["10.0.0.1"]}, {"ssh": "mac-2", "ips": ["10.0.0.2"]}]


class FakeRun:
    """Ansible, which renders a hostfile or fails."""

    facts: dict[str, Any] = {}  # noqa: RUF012 - each test sets its own
    reason = ""
    started: tuple[Any, ...] = ()

    def __init__(self, name: str, _source: Any, on_end: Callable[[], None]) -> None:
        self._name = name
        self._on_end = on_end

    def start(self, folder: Path, variables: dict[str, Any]) -> None:
        FakeRun.started = (self._name, folder, variables)
        self._on_end()

    def cancel(self) -> None:
        pass

    def join(self) -> bool:
        return True

    def failure(self) -> LaunchError:
        return LaunchError(self.reason or "Ansible ended without a word")


@pytest.fixture
def ansible(monkeypatch: pytest.MonkeyPatch) -> type[FakeRun]:
    run = type("Run", (FakeRun,), {})
    monkeypatch.setattr(hostfile, "PlaybookRun", run)
    return run


def test_named_hosts_get_their_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["hostfile", "--hosts", "127.0.0.1,10.0.0.7", "-n", "2"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["ssh"], row["ips"]) for row in rows] == [
        ("127.0.0.1", ["127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("10.0.0.7", ["10.0.0.7"]),
        ("10.0.0.7", ["10.0.0.7"]),
    ]


@pytest.mark.parametrize(("schema", "kind"), [("list", list), ("object", dict)])
def test_schema_of_a_hostfile_can_be_changed(schema: str, kind: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps(HOSTS))
    assert cli.main(["hostfile", "--hostfile", str(path), "--schema", schema]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), kind)


def test_output_goes_to_a_file_or_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    assert cli.main(["hostfile", "--hosts", "10.0.0.7", "-o", str(path)]) == 0
    assert json.loads(path.read_text())[0]["ssh"] == "10.0.0.7"
    assert cli.main(["hostfile", "--hosts", "10.0.0.7", "-o", f"{path}/x"]) == 2
    assert capsys.readouterr().err == f"mlxlaunch: --output {path}/x: cannot be written: Not a directory\n"


def test_inventory_is_rendered_by_ansible(ansible: type[FakeRun]) -> None:
    ansible.facts = {"mlx_hostfile_text": "[]\n"}
    assert hostfile_text({"mlx": {"hosts": {"mac-1": {}}}}, group="mlx", schema="object") == "[]\n"
    name, folder, variables = FakeRun.started
    assert (name, variables) == ("render_hostfile.yml", {"mlx_group": "mlx", "mlx_hostfile_schema": "object"})
    assert not folder.exists()


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (
            "[ERROR]: Task failed: The filter plugin 'mlxlaunch.cluster.x' failed: mac-1: mlx_slots: 0\n want 1",
            "mac-1: mlx_slots: 0 want 1",
        ),
        ("[ERROR]: no such group", "no such group"),
        ("", "Ansible ended without a word"),
    ],
)
def test_failure_is_one_line_with_the_reason(reason: str, message: str, ansible: type[FakeRun]) -> None:
    ansible.reason = reason
    with pytest.raises(UsageError) as caught:
        hostfile_text({"mlx": {"hosts": {"mac-1": {}}}})
    assert str(caught.value) == message
