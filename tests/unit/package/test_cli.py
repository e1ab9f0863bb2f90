"""The command line: its parts, its mistakes and its exit statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mlxlaunch_ansible
from mlxlaunch_ansible import LaunchError, __version__, cli
from mlxlaunch_ansible.commands import check, hostfile, network, prepare, run, sync
from tests.unit.package.sessions import requested, start_none

COMMANDS = {"run": run, "sync": sync, "check": check, "network": network, "prepare": prepare, "hostfile": hostfile}


def status(*words: str) -> int:
    """Return the exit status of a command line, also of one that the parser ends."""
    try:
        return cli.main(words)
    except SystemExit as exc:
        return int(exc.code or 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_usage_examples_and_exit_status(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(command, "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: mlxlaunch {command} ")
    assert f"  mlxlaunch {command} -i inventory/hosts.yml" in said
    assert "exit status:" in said


def test_list_of_commands_has_each_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--help") == 0
    said = capsys.readouterr().out
    assert all(f"    {command} " in said for command in COMMANDS)


def test_version_is_first_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--version") == 0
    assert capsys.readouterr().out.startswith(f"mlxlaunch {__version__} in ")


def test_versions_that_cannot_be_written_are_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert status("--version") == 1
        full.buffer.raw.close()  # what is buffered cannot be written either
    assert capsys.readouterr().err.startswith("mlxlaunch: standard output cannot be written")


def test_no_word_at_all_is_answered_by_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert status() == 2
    said = capsys.readouterr()
    assert (said.out, said.err.partition(" ")[0]) == ("", "usage:")
    assert "run a script or a command on every rank" in said.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["lauch"], "mlxlaunch: lauch: no such command; the commands are run, "),
        (["chek"], "mlxlaunch: chek: no such command; did you mean check?"),
        (["--hlep"], "mlxlaunch: unrecognized arguments: --hlep; did you mean --help?; see"),
        (["--token=secret", "run"], "mlxlaunch: unrecognized arguments: --token; a command comes first; see"),
        (["sync", "--lerase", "1"], "mlxlaunch: unrecognized arguments: --lerase; did you mean --lease?"),
        (["check", "--grace", "1"], "mlxlaunch: unrecognized arguments: --grace"),
        (["check", "x.py", "--", "y"], "mlxlaunch: a check runs nothing; want nothing after --"),
        (["hostfile"], "mlxlaunch: hostfile: which hosts?"),
        (["hostfile", "-n", "2", "--", "y"], "mlxlaunch: hostfile: nothing can follow --"),
        (["sync", "x.py", "--", "y"], "mlxlaunch: sync: nothing can follow --"),
        (["runs", "--"], "mlxlaunch: runs: nothing can follow --"),
        (["run", "-n", "2"], "mlxlaunch: no script is given"),
        (["run", "-n", "2", "train.ipynb"], "train.ipynb is a notebook, and a rank is a program"),
        (["run", "--json", "-n", "2", "x.py"], "mlxlaunch: --json goes with --dry-run"),
        (["run", "--from-run", "j1", "x.py"], "mlxlaunch: --from-run says everything that is to be run"),
        (["run", "--from-run", "j1", "--grace", "1"], "mlxlaunch: --from-run says everything that is to be run"),
        (["run", "--from-run", "j1", "-n", "1"], "mlxlaunch: --from-run says everything that is to be run"),
        (["run", "--from-run", "/no/such/run"], "mlxlaunch: --from-run /no/such/run: "),
    ],
)
def test_mistake_is_one_line_and_status_2(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert text in line


@pytest.mark.parametrize(("error", "expected"), [(LaunchError("Ansible broke"), LaunchError.returncode), (KeyboardInterrupt(), 130)])
def test_error_of_a_command_is_its_status(
    error: BaseException, expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(run, "launch", fail)
    assert status("run", "-n", "2", "x.py") == expected
    assert capsys.readouterr().err == ("mlxlaunch: Ansible broke\n" if isinstance(error, LaunchError) else "")


def test_words_after_two_dashes_are_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    start_none(monkeypatch)
    assert requested(cli.main, ["run", "-n", "1", "--", "echo", "--", "x"]).settings["command"] == ["echo", "--", "x"]


PROGRAM = """
import atexit, sys, threading
from mlxlaunch_ansible import cli
cli.main = lambda: print("said") or 7
atexit.register(lambda: print("at exit"))
class Left:
    def __del__(self):
        print("tidied up")
left = Left()
WITH
cli.entry()
"""


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("", "said\nat exit\n"),
        ("threading.Thread(target=lambda: print(threading.main_thread().join())).start()", "said\nNone\nat exit\ntidied up\n"),
    ],
    ids=["alone", "after a thread"],
)
def test_command_ends_with_its_status_and_without_tidying_up(before: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM.replace("WITH", before)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (7, said, "")


def test_command_whose_output_nobody_reads_reports_it_as_python_does() -> None:
    read, write = os.pipe()
    os.close(read)
    program = "from mlxlaunch_ansible import cli; cli.main = lambda: print('said') or 0; cli.entry()"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with os.fdopen(write, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, stdout=out, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert done.returncode == 120
    assert "entry" not in done.stderr


def test_command_that_is_named_imports_no_other() -> None:
    program = "import sys; from mlxlaunch_ansible import cli\ncli._make_parser(['runs'])\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    found = {name.rpartition(".")[2] for name in done.stdout.split() if name.startswith("mlxlaunch_ansible.commands.")}
    assert "runs" in found
    assert not found & {*COMMANDS, "config"}


def test_package_has_every_name_that_it_promises() -> None:
    assert {
        name: getattr(mlxlaunch_ansible, name, None) for name in mlxlaunch_ansible.__all__ if not hasattr(mlxlaunch_ansible, name)
    } == {}
    assert set(mlxlaunch_ansible.__all__) <= set(dir(mlxlaunch_ansible))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = mlxlaunch_ansible.nothing
