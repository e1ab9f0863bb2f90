"""The run of a playbook: its private directory, whose sockets have short names, and Ansible's reasons for a failure."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlxlaunch_ansible import _ansible_playbook, _runner
from mlxlaunch_ansible._ansible_playbook import ASKED, SURROUNDINGS, WORDS
from mlxlaunch_ansible._inventory import AnsibleOptions, ReadText, Source
from mlxlaunch_ansible._runner import PasswordWanted, PlaybookRun

#: What macOS gives each user: 48 bytes.
MACOS = "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T"


@pytest.mark.parametrize(
    ("base", "chosen"),
    [("/tmp", "/tmp"), (MACOS, MACOS), ("/home/ada/" + "x" * 60, "/tmp"), ("/home/ada/" + "é" * 25, "/tmp"), ("/caf\udce9", "/tmp")],
    ids=["short", "macOS", "long", "long in bytes", "not UTF-8"],
)
def test_names_of_sockets_are_short_enough(base: str, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def mkdtemp(*, prefix: str, dir: str) -> str:
        made.append(dir)
        return f"{dir}/{prefix}12345678"

    monkeypatch.setattr(tempfile, "tempdir", base)
    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    folder: Path = _runner.private_folder()
    assert made == [chosen]
    assert len(bytes(folder / "pymp-12345678" / "listener-12345678")) < 104  # sun_path in macOS's sys/un.h, with its zero


# -- a run, of a runner that is not Ansible's


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


class Runner:
    """ansible_runner, which reports events and ends, or breaks."""

    def __init__(self, events: list[dict[str, Any]], error: str = "", returncode: int = 2) -> None:
        self.interface = self
        self.options: dict[str, Any] = {}
        self.config = SimpleNamespace(command=["python"], env={"A": "1"}, cwd="/here")
        self._events = events
        self._error = error
        self._returncode = returncode

    def init_runner(self, **options: Any) -> Runner:
        self.options = options
        return self

    def run(self) -> tuple[str, int]:
        if self._error:
            raise OSError(self._error)
        for event in self._events:
            assert self.options["event_handler"](event) is False
        return "failed", self._returncode


def ended(runner: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch, source: Source | None = None) -> PlaybookRun:
    """Return a run that has ended."""
    monkeypatch.setitem(sys.modules, "ansible_runner", runner)
    over = threading.Event()
    run = PlaybookRun("launch.yml", source or Source(paths=("/hosts.yml",)), over.set)
    assert run.join()  # nothing has been started
    run.start(folder, {"mlx_group": "mlx"})
    assert over.wait(60)
    assert run.join(60)
    return run


FATAL = {"event": "runner_on_failed", "stdout": "fatal: [x]: FAILED!", "event_data": {"res": {"msg": "no such file"}}}
UNDEFINED = {"event": "runner_on_failed", "event_data": {"res": {"msg": "Task failed: Error rendering template: x"}}}
LINE = {"event": "verbose", "stdout": "PLAY [x]\n"}
WARNING = {"event": "warning", "stdout": "[WARNING]: a bit odd"}
ERROR = {"event": "error", "stdout": "[ERROR]: cannot parse the inventory"}
TRACEBACK = {"event": "verbose", "stdout": "Traceback (most recent call last):\nModuleNotFoundError: No module named 'x'"}
USAGE = {"event": "verbose", "stdout": "usage: x\nansible-playbook: error: the number of processes must be 1 or more"}
MISSING = {"event": "verbose", "stdout": "FileNotFoundError: [Errno 2] No such file or directory: '/x'"}
REFUSED = {"event": "verbose", "stdout": "Traceback (most recent call last):\nansible.errors.AnsibleOptionsError: x"}
SCRIPT = {"event": "error", "stdout": "[ERROR]: Invalid vault password was provided from script (/bin/cat)"}
NOT_THERE = {"event": "error", "stdout": "[ERROR]: Unable to retrieve file contents.\nCould not find or access '/x' on the Controller"}
MALFORMED, PLACE = {"event": "error", "stdout": "[ERROR]: YAML parsing failed."}, {"event": "error", "stdout": "Origin: /x.yml:2:1\n"}
BECOME = {"event": "runner_on_failed", "event_data": {"res": {"msg": "Task failed: Invalid become method specified, 'x'."}}}
ADVICE = "'x'. It is set by --become-method, ansible_become_method, or become_method of ansible.cfg (ANSIBLE_BECOME_METHOD)."
BUG = {"event": "error", "stdout": "[ERROR]: Unexpected Exception, this is probably a bug: x"}


@pytest.mark.parametrize(
    ("events", "reason", "status"),
    [
        ([LINE, WARNING, ERROR, FATAL], "no such file", 1),
        ([BECOME], f"Task failed: Invalid become method specified, {ADVICE}", 2),
        ([UNDEFINED], "Task failed: Error rendering template: x", 2),
        ([LINE, WARNING, ERROR], "Ansible: cannot parse the inventory", 2),
        ([SCRIPT], f"Ansible: {SCRIPT['stdout'][9:]}; a program that gives a password finds nothing on standard input", 2),
        ([NOT_THERE, LINE], "Ansible: Unable to retrieve file contents. Could not find or access '/x'", 2),
        ([MALFORMED, PLACE], "Ansible: YAML parsing failed. Origin: /x.yml:2:1", 2),
        ([MALFORMED, WARNING, PLACE], "Ansible: YAML parsing failed.", 2),
        ([LINE, BUG], "[ERROR]: Unexpected Exception, this is probably a bug: x", 1),
        ([LINE, WARNING, TRACEBACK], "ModuleNotFoundError: No module named 'x'", 1),
        ([REFUSED], "Ansible: x", 2),
        ([USAGE], "Ansible: the number of processes must be 1 or more", 2),
        ([MISSING], "Ansible: [Errno 2] No such file or directory: '/x'", 2),
        ([LINE, WARNING], "[WARNING]: a bit odd", 1),
        ([LINE], "PLAY [x]", 1),
        ([], "Ansible ended without a word", 1),
        ([{"event": "runner_on_failed", "event_data": {"res": None}}], "Ansible ended without a word", 1),
    ],
)
def test_reason_of_a_failure_is_the_most_exact_one(
    events: list[dict[str, Any]], reason: str, status: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended(Runner(events), folder, monkeypatch)
    failure = run.failure()
    assert (str(failure), failure.returncode, run.returncode) == (reason, status, 2)


def test_recap_of_a_play_that_ended_well_is_no_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ended(Runner([LINE], returncode=0), folder, monkeypatch)
    assert str(run.failure()) == "Ansible's play ended well, and without a result"


WRONG = "Failed to parse inventory with '{}' plugin: {}"
AUTO = f"[WARNING]: {WRONG.format('auto', 'no root ')}'plugin' key found, '/x' is not a valid YAML inventory plugin config file"
YAML = f"[WARNING]: {WRONG.format('yaml', 'YAML parsing failed')}\n\n{WRONG}\n\n<<< caused by >>>\n\nOrigin: /x/a b.yml:5:1\n"
SKIPPED = 'Skipping unexpected key (host) in group (mlx), only "vars", "children" and "hosts" are valid'
NOBODY = "inventory /x: group 'mlx' has no hosts; the groups are: all"


@pytest.mark.parametrize(
    ("printed", "failure", "text"),
    [
        ([f"[WARNING]: {SKIPPED}"], NOBODY, f"{NOBODY}; Ansible: {SKIPPED}"),
        ([AUTO, *YAML.splitlines()], NOBODY, f"{NOBODY}; Ansible: {WRONG.format('yaml', 'YAML parsing failed')} (/x/a b.yml:5:1)"),
        ([YAML, *["TASK [x]"] * 50], NOBODY, f"{NOBODY}; Ansible: {WRONG.format('yaml', 'YAML parsing failed')} (/x/a b.yml:5:1)"),
        (
            [f"[WARNING]: {SKIPPED}", "[ERROR]: Task failed: x\nOrigin: /x/tasks/main.yml:3:1"],
            NOBODY,
            f"{NOBODY}; Ansible: {SKIPPED}",
        ),
        ([YAML, f"[WARNING]: {SKIPPED}"], "no such file", "no such file"),
        (["Origin: /x/tasks/main.yml:3:1", WARNING["stdout"]], NOBODY, NOBODY),
    ],
)
def test_group_without_hosts_is_explained_by_what_ansible_cannot_read(
    printed: list[str], failure: str, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {"event": "runner_on_failed", "event_data": {"res": {"msg": failure}}}
    run = ended(Runner([*({"event": "verbose", "stdout": piece} for piece in printed), failed]), folder, monkeypatch)
    assert run.explained(failure) == text
    assert str(run.failure()) == text


def test_runner_that_breaks_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ended(Runner([], "no pty"), folder, monkeypatch)
    assert (str(run.failure()), run.returncode) == ("ansible-runner: no pty", None)


def test_question_that_nobody_answered_is_the_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ASKED).write_text("Vault password: ")
    failure = ended(Runner([ERROR]), folder, monkeypatch).failure()
    assert isinstance(failure, PasswordWanted)
    assert (failure.question, failure.returncode) == ("Vault password: ", 2)
    assert "(Vault password)" in str(failure)
    assert "vault_password_file" in str(failure)


def test_answer_goes_to_the_prompt_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_runner.ANSWERS, "Vault password (dev): ", "geheim")
    runner = Runner([])
    ended(runner, folder, monkeypatch)
    assert runner.options["passwords"] == {r"Vault\ password\ \(dev\):": "geheim"}
    assert '["Vault password (dev): "]' in runner.options["cmdline"]
    assert "geheim" not in repr(runner.options | {"passwords": None})


def test_facts_are_those_that_were_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [{"event": "runner_on_ok", "event_data": {"res": {"ansible_facts": {name: 1}}}} for name in "ab"]
    assert ended(Runner(events), folder, monkeypatch).facts == {"a": 1, "b": 1}


def test_ansible_gets_inventory_variables_and_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner([])
    ended(runner, folder, monkeypatch)
    assert json.loads((folder / WORDS).read_text()) == ["--inventory=/hosts.yml"]
    assert runner.options["extravars"] == {"mlx_group": "mlx"}
    assert runner.options["private_data_dir"] == str(folder)
    assert runner.options["cmdline"].endswith("/launch.yml")
    assert "ANSIBLE_INVENTORY_ENABLED" not in runner.options["envvars"]


def test_generated_inventory_is_a_private_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner([])
    ended(runner, folder, monkeypatch, Source(data={"mlx": {"hosts": {"mac-1": {}}}}))
    [word] = json.loads((folder / WORDS).read_text())
    path = Path(word.removeprefix("--inventory="))
    assert path.parent == folder
    assert path.stat().st_mode & 0o777 == 0o600
    assert runner.options["envvars"]["ANSIBLE_INVENTORY_ENABLED"] == "yaml"


def test_inventory_that_was_read_here_is_a_private_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, variables = ReadText("/dev/fd/63"), ReadText("@/dev/stdin")
    read.content, variables.content = "mlx: {}", "a: 1"
    options = AnsibleOptions(extra_vars=(variables,))
    run = ended(Runner([]), folder, monkeypatch, Source(paths=("/hosts.yml", read), data={"mlx": {}}, ansible=options))
    of_e, first, *others = json.loads((folder / WORDS).read_text())
    path, made = (Path(word.removeprefix("--inventory=")) for word in others)
    assert (first, path.parent, path.suffix, made) == ("--inventory=/hosts.yml", folder, "", folder / "hosts")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("mlx: {}", 0o600)
    run._on_event({"event": "playbook_on_start"})
    assert path.exists()
    run._on_event({"event": "warning", "stdout": f"[WARNING]: {path}, {made}, {of_e.partition('@')[2]}"})
    assert str(run.failure()) == "[WARNING]: /dev/fd/63, (given as data), /dev/stdin"


@pytest.mark.parametrize(
    ("env", "cwd", "kept", "kept_cwd"),
    [
        ({"A": "\udce9"}, "/here", {}, ""),
        ({"A\udce9": "1", "B": "é"}, "/here", {"B": "é"}, ""),
        ({"B": "2"}, "/caf\udce9", {"B": "2"}, ""),
        ({"B": "2"}, "/café", {"B": "2"}, "/café"),
    ],
    ids=["value", "name", "directory", "nothing"],
)
def test_what_is_not_utf8_goes_by_a_file_of_ours(
    env: dict[str, str], cwd: str, kept: dict[str, str], kept_cwd: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner([])
    runner.config.env, runner.config.cwd = dict(env), cwd
    ended(runner, folder, monkeypatch)
    assert (runner.config.env, runner.config.cwd) == (kept, kept_cwd or str(folder))
    path, went = folder / SURROUNDINGS, []
    assert path.exists() is not bool(kept_cwd)
    if path.exists():
        assert path.stat().st_mode & 0o777 == 0o600
        monkeypatch.setattr(os, "environ", dict(kept))
        monkeypatch.setattr(os, "chdir", went.append)
        _ansible_playbook._take_surroundings(str(folder))
        assert (os.environ, went, path.exists()) == (env, [cwd], False)


def test_installation_that_is_not_utf8_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner([])
    runner.config.command = ["/caf\udce9/python"]
    failure = ended(runner, folder, monkeypatch).failure()
    assert (failure.returncode, str(failure)) == (2, r"'/caf\udce9/python': the path is not UTF-8; install mlxlaunch at one that is")


def test_secrets_are_in_files_that_are_gone_once_they_were_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ReadText("@/dev/stdin")
    read.content = "token: x"
    options = AnsibleOptions(extra_vars=("a=1", read), passwords=(("become", "geheim"),))
    (folder / "pymp-1").mkdir()  # multiprocessing's
    run = ended(Runner([]), folder, monkeypatch, Source(paths=("/hosts.yml",), ansible=options))
    first, second, _inventory, become = json.loads((folder / WORDS).read_text())
    files = [Path(word.partition("=")[2].removeprefix("@")) for word in (second, become)]
    assert (first, second, [path.read_text() for path in files]) == (
        "--extra-vars=a=1",
        f"--extra-vars=@{files[0]}",
        ["token: x", "geheim"],
    )
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    run._on_event({"event": "playbook_on_start"})
    assert [path for path in files if path.exists()] == []


def test_program_for_a_password_finds_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()
    monkeypatch.setattr(os, "dup2", lambda null, fd: fd or os.read(null, 1) or os.write(theirs, b"end"))
    _ansible_playbook._read_nothing()
    assert os.read(ours, 9) == b"end"


def test_cancel_is_what_the_runner_asks_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner([])
    run = ended(runner, folder, monkeypatch)
    assert not runner.options["cancel_callback"]()
    run.cancel()
    assert runner.options["cancel_callback"]()


def test_processes_are_gone_when_the_last_one_has_closed(folder: Path) -> None:
    run = PlaybookRun("launch.yml", Source(paths=("/hosts.yml",)), lambda: None)
    assert run.wait_for_processes(0)  # nothing has been started
    run._life = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with run._life as listener:
        listener.bind(str(folder / "e"))
        listener.listen(1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as process:
            process.connect(str(folder / "e"))
        assert run.wait_for_processes(20)
