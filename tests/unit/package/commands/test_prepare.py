"""`mlxlaunch prepare`: its request, what it prints and its exit status."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.prepare.items import ITEMS
from mlxlaunch_ansible import cli
from mlxlaunch_ansible._contact.contact import ContactResult
from mlxlaunch_ansible._prepare.preparation import Preparation, PrepareResult
from mlxlaunch_ansible.commands import prepare as command
from tests.unit.package.sessions import requested, staged, start_none


def test_request_has_flags_as_options(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    words = ["--no-sleep", "--wired-limit", "auto", "--open-files", "off", "--linger", "--apply", "--python", "/opt/python"]
    found = requested(cli.main, ["prepare", "--hosts", "a,b", *words, "--connect-timeout", "5"])
    assert found.request.playbook == "prepare.yml"
    assert found.settings == {"connect_timeout": "5", "python": "/opt/python"}
    assert found.request.setup["own"] == {"sleep": False, "wired_limit": "auto", "open_files": "off", "linger": True, "apply": True}


@pytest.mark.parametrize(("words", "own"), [([], {}), (["--undo", "--dry-run"], {"state": "absent"})])
def test_what_is_not_said_is_left_to_the_variables(monkeypatch: pytest.MonkeyPatch, words: list[str], own: dict[str, Any]) -> None:
    start_none(monkeypatch)
    found = requested(cli.main, ["prepare", "--hosts", "a", *words])
    assert (found.request.setup["own"], found.request.setup["dry_run"]) == (own, "--dry-run" in words)


def test_every_item_has_a_flag_with_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["prepare", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(f" {item.flag} " in said.replace(",", " ") and item.doc in said for item in ITEMS)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "prepare: which hosts?"),
        (["--hosts", "a", "-n", "2"], "prepare: --repeat-hosts is about ranks"),
        (["--hosts", "a", "--", "x"], "prepare: nothing can follow --"),
        (["--hosts", "a", "--apply", "--undo"], "--undo takes a preparation back"),
        (["--hosts", "a", "--undo", "--no-sleep"], "--undo takes back all that was set, whatever it was; --sleep has no use"),
        (["--hosts", "a", "--wired-limit", "96"], "--wired-limit: '96': want auto, off, or a number of MB from 1024"),
        (["--hosts", "a", "--open-files", "many"], "--open-files: 'many': want off, or a number of files"),
        (["--hosts", "a", "-e", "mlx_prepare_wired_limt=auto"], "did you mean mlx_prepare_wired_limit?"),
        (["--hosts", "a,,b"], "--hosts: a host name cannot be empty"),
        (["--hosts", "a", "--no-apply"], "unrecognized arguments: --no-apply"),
    ],
)
def test_mistake_is_one_line_and_status_2(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = cli.main(["prepare", *words])
    except SystemExit as exc:
        status = int(exc.code or 0)
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert (status, said.out, text in line) == (2, "", True)


@pytest.mark.parametrize("as_json", [False, True])
def test_result_is_on_standard_output_and_its_message_is_not(
    as_json: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.event("waiting", text="looking at a")
        found = {"returncode": 3, "cause": "not_ready", "message": "a: no answer", "prepare": {"x": "\x9b2J"}, "text": "the table"}
        stage.finish(worker, "prepare_finished", **found, changed=False, diff=[])
        monkeypatch.setattr(command, "start_prepare", lambda *_arguments, **_how: Preparation(stage.session))
        assert cli.main(["prepare", "--hosts", "a", *(["--json"] if as_json else [])]) == 3
    said = capfd.readouterr()
    assert said.err == "mlxlaunch: looking at a\nmlxlaunch: a: no answer\n"
    assert said.out == ('{\n  "x": "\\u009b2J"\n}\n' if as_json else "the table\n")


# -- first contact, with --apply

UNKNOWN = "Host key verification failed.: its host key is unknown"


class World:
    """Hosts whose preparations end as a test says, one after the other, and a first contact that does so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: list[str], contact: int) -> None:
        self.failures, self.prepared, self.met = failures, 0, list[Any]()

        def prepare(*_arguments: Any) -> PrepareResult:
            failure = self.failures[self.prepared]
            self.prepared += 1
            hosts = [{"host": "a", "failure": failure}]
            return PrepareResult(3 if failure else 0, f"prepared {self.prepared}", {"hosts": hosts, "problems": []}, "table")

        def meet(_source: Any, settings: Any, keys: Any, *, apply: bool) -> ContactResult:
            self.met.append((dict(settings), keys, apply))
            return ContactResult(contact, "a: in the way", ())

        monkeypatch.setattr(command, "_prepare", prepare)
        monkeypatch.setattr(command, "meet_hosts", meet)


@pytest.mark.parametrize(
    ("words", "failures", "contact", "ran", "status"),
    [
        (["--apply"], ["", ""], 0, (1, 0), 0),
        (["--apply"], ["no route"], 0, (1, 0), 3),
        (["--apply"], [UNKNOWN, ""], 0, (2, 1), 0),
        (["--apply"], [UNKNOWN, "no route"], 3, (2, 1), 3),
        (["--apply"], [UNKNOWN], 2, (1, 1), 2),
        (["--apply"], [UNKNOWN], 130, (1, 1), 130),
        (["--apply", "--conn-pass-file", "x"], ["", ""], 0, (2, 1), 0),
        (["--apply", "--no-contact"], [UNKNOWN], 0, (1, 0), 3),
        (["--apply", "--dry-run"], [UNKNOWN], 0, (1, 0), 3),
        ([], [UNKNOWN], 0, (1, 0), 3),
        (["--undo"], [UNKNOWN], 0, (1, 0), 3),
    ],
)
def test_hosts_that_ssh_does_not_reach_are_met(
    words: list[str], failures: list[str], contact: int, ran: tuple[int, int], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(monkeypatch, failures, contact)
    assert cli.main(["prepare", "--hosts", "a", *words]) == status
    assert (world.prepared, len(world.met)) == ran


def test_first_contact_gets_keys_and_settings(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    world = World(monkeypatch, [UNKNOWN, UNKNOWN], 3)
    cli.main(["prepare", "--hosts", "a", "--apply", "--host-key", "a=SHA256:x", "--connect-timeout", "5", "--sleep"])
    assert world.met == [({"connect_timeout": "5"}, {"a": ["SHA256:x"]}, True)]
    assert capfd.readouterr().err.splitlines() == ["mlxlaunch: a: in the way", "mlxlaunch: prepared 2"]
