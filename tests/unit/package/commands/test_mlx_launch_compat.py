"""A command line written for mlx.launch means the same to `mlxlaunch run`: mlx.launch's own parser says what that is."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.hostfile import Hostfile
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import BY_NAME, JobSettings, check_settings
from mlxlaunch_ansible import cli
from mlxlaunch_ansible.commands import mlx_launch_compat, run

Meaning = dict[str, Any]

pytestmark = pytest.mark.filterwarnings(
    # mlx.launch 0.32 leaves the hostfile open that it has read.
    "ignore:Exception ignored in. <_io.FileIO .*json:pytest.PytestUnraisableExceptionWarning"
)

A, B = "198.18.0.11", "198.18.0.12"
PYTHON = "/env/bin/python"

#: Files of the current directory. `tool` and `old` are executable.
FILES = {
    "train.py": "print(1)\n",
    "tool": "#!/bin/sh\nexec true\n",
    "old": "#!/usr/bin/env python3\nprint(1)\n",
    "text": "print(1)\n",
    "hosts.json": json.dumps([{"ssh": "one", "ips": [B]}, {"ssh": "two", "ips": [A]}, {"ssh": "one", "ips": [B]}]),
    "newer.json": json.dumps({"backend": "ring", "envs": ["A=file", "B=file"], "hosts": [{"ssh": "one", "ips": [B]}]}),
    "jaccl.json": json.dumps({"backend": "jaccl", "hosts": [{"ssh": "one", "ips": [B], "rdma": [None]}]}),
    "bare.json": json.dumps({"envs": ["EMPTY"], "hosts": [{"ssh": "one", "ips": [B]}]}),
}

#: Each a command line that mlx.launch takes.
ROWS: list[str] = [
    # what to run
    "train.py",
    "./train.py --lr 1e-3",
    "train.py a -- b",
    "train.py --lr 1e-3 --layers=4 -x",
    "-- train.py",
    "python train.py",
    "python3.12 -m mlx_lm.generate --model x",
    "hostname -s",
    "/bin/hostname",
    "./tool --x",
    "old a",
    "text",
    "/not/here/on/hosts/bin/mlx_lm.generate --model x",
    "/not/here/train.py",
    "-- hostname -s",
    "-- python -m mlx_lm.generate --verbose",
    "-n 2 -- ./tool -- a",
    # --python stands before whatever it is
    f"--python {PYTHON} train.py a",
    f"--python {PYTHON} -- train.py --verbose",
    f"--python={PYTHON} tool",
    f"--python {PYTHON} -m mlx_lm.generate --model x",
    f"--python {PYTHON} -c print(1)",
    f"--python {PYTHON} -- -m mlx_lm.generate --verbose",
    # where
    "-n 2 train.py",
    "-n4 train.py",
    "--repeat-hosts 3 train.py",
    "--repeat-hosts=3 train.py",
    f"--hosts {A} train.py",
    f"--hosts {A},{B} -n 2 train.py",
    f"--hosts={A},{A} train.py",
    f"-n 2 --hosts {B},127.0.0.1 train.py",
    "--hostfile hosts.json train.py",
    "--hostfile=newer.json train.py",
    "--hostfile hosts.json -n 2 train.py",
    f"--hostfile hosts.json --hosts {A} train.py",
    # with what
    "--env X=1 --env Y=a=b --env X=2 train.py",
    "--env EMPTY= train.py",
    "--env EMPTY train.py",
    "--env B=flag --hostfile newer.json train.py",
    "--hostfile bare.json train.py",
    "--cwd /opt/job train.py",
    "--cwd /opt/job ./there.py",
    "--starting-port 40000 train.py",
    "-p 40000 train.py",
    "-p40000 train.py",
    "--connections-per-ip 4 train.py",
    "--backend ring train.py",
    "--verbose train.py",
    f"--verbose -n 2 --env X=1 --cwd /opt --python {PYTHON} -p 1024 --connections-per-ip 2 --backend ring -- train.py --verbose",
    "--backend nccl --nccl-port 23456 -n 2 train.py",
    "--backend nccl --n 23456 train.py",
    "--hostfile jaccl.json train.py",
    "--hostfile jaccl.json --backend ring train.py",
    "--backend mpi train.py",
    "--backend mpi --mpi-arg=--bind-to --mpi-arg=none train.py",
    "--backend mpi --mpi-arg '--mca btl_tcp_if_include en0' train.py",
    "--backend mpi --mpi-arg=-v --m=-v train.py",
    # as short as argparse allows
    "--rep 2 train.py",
    "--r=2 train.py",
    "--hostf hosts.json train.py",
    "--bac ring train.py",
    "--e X=1 train.py",
    "--con 2 train.py",
    "--s 40000 train.py",
    "--cw /opt train.py",
    f"--py {PYTHON} train.py",
    "--verb train.py",
]

#: Both refuse these.
MISTAKES = [
    "",
    "-n 0 train.py",
    "-n x train.py",
    "-p x train.py",
    "--hosts= train.py",
    f"--hosts {A},,{B} train.py",
    "--backend x train.py",
]
MISTAKES += ["--hostfile none.json train.py", "--p 1 train.py", "--ho x train.py", "--hosts", "--repeat-hosts= train.py"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for name in ("tool", "old"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLX_LAUNCH_TEST", "1")
    return tmp_path


class Launched(Exception):
    """What would have been launched."""

    def __init__(self, meaning: Meaning) -> None:
        self.meaning = meaning


def meaning_of(run: Callable[[], Any]) -> Meaning:
    with pytest.raises(Launched) as caught:
        run()
    return caught.value.meaning


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], Meaning]:
    """Give what mlx.launch makes of a command line."""
    from mlx._distributed_utils import launch

    def launched(_parser: Any, hosts: Any, args: Any, command: list[str]) -> None:
        env = dict([*item.split("=", 1), ""][:2] for item in args.env)
        raise Launched(
            {
                "hosts": [host.ssh_hostname for host in hosts],
                "ips": [host.ips for host in hosts],
                "backend": args.backend,
                "env": {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")},
                "cwd": args.cwd or "",
                "starting_port": args.starting_port,
                "connections_per_ip": args.connections_per_ip,
                "nccl_port": args.nccl_port,
                "mpi_arg": [word for arg in args.mpi_arg for word in shlex.split(arg)],
                "verbose": args.verbose,
                "words": ([args.python] if args.python else []) + command,
            }
        )

    for name in ("launch_ring", "launch_mpi", "launch_nccl", "launch_jaccl"):
        monkeypatch.setattr(launch, name, launched)

    def run(words: Sequence[str]) -> Meaning:
        monkeypatch.setattr(sys, "argv", ["mlx.launch", *words])
        return meaning_of(launch.main)

    return run


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], Meaning]:
    """Give what `mlxlaunch run` makes of it, up to starting a job, whose settings are checked."""

    def launched(inventory: Any, settings: dict[str, Any], *_more: Any, **_options: Any) -> None:
        inventory = inventory.hostfile
        assert isinstance(inventory, Hostfile)
        given = {name: value for name, value in settings.items() if value is not None}
        checked = check_settings(({"backend": inventory.backend} if inventory.backend else {}) | given)
        raise Launched(
            {
                "hosts": [entry.ssh for entry in inventory.entries],
                "ips": [list(entry.ips) for entry in inventory.entries],
                "backend": "ring" if checked.backend == "auto" else checked.backend,
                "env": dict([*item.split("=", 1), ""][:2] for item in inventory.envs) | dict(checked.env),
                "cwd": checked.cwd,
                "starting_port": checked.starting_port,
                "connections_per_ip": checked.connections_per_ip,
                "nccl_port": checked.nccl_port,
                "mpi_arg": list(checked.mpi_args),
                "verbose": checked.verbose,
                "words": words_of(checked),
                "script": bool(checked.script),
            }
        )

    monkeypatch.setattr(run, "launch", launched)
    return lambda words: meaning_of(lambda: cli.main(["run", *words]))


def words_of(settings: JobSettings) -> list[str]:
    """What a rank would be: without --python, mlx.launch leaves it to a script how it is run."""
    python = [settings.python] if settings.python else []
    return list(settings.command) or [*python, settings.script, *settings.args]


def comparable(meaning: Meaning, script: bool) -> Meaning:
    """Mlx.launch gives a script's path to the host as it is, which goes to the directory of the same name there, or to --cwd."""
    if not script:
        return meaning
    at = 1 if meaning["words"][0] == PYTHON else 0
    words = list(meaning["words"])
    there = words[at] if Path(words[at]).exists() else str(Path(meaning["cwd"], words[at]))
    words[at] = os.path.abspath(there)
    return {**meaning, "words": words}


@pytest.mark.parametrize("row", ROWS)
def test_command_line_of_mlx_launch_means_the_same(
    row: str, ours: Callable[[Sequence[str]], Meaning], theirs: Callable[[Sequence[str]], Meaning]
) -> None:
    words = shlex.split(row)
    meant = ours(words)
    script = meant.pop("script")
    wanted = theirs(words)
    assert comparable(meant, script) == comparable(wanted, script)


@pytest.mark.parametrize("row", MISTAKES)
def test_what_mlx_launch_refuses_is_refused(
    row: str, monkeypatch: pytest.MonkeyPatch, theirs: Callable[[Sequence[str]], Meaning], capsys: pytest.CaptureFixture[str]
) -> None:
    words = row.split(" ") if row else []
    with pytest.raises(SystemExit) as caught:
        theirs(words)
    assert caught.value.code == 2
    capsys.readouterr()
    try:
        code: Any = cli.main(["run", *words])
    except SystemExit as exc:
        code = exc.code
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mlxlaunch")


def test_every_flag_of_mlx_launch_is_in_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mlx._distributed_utils import launch

    monkeypatch.setattr(sys, "argv", ["mlx.launch", "--help"])
    with pytest.raises(SystemExit):
        launch.main()
    flags = {word.strip("[],") for word in capsys.readouterr().out.split() if word.startswith(("--", "[--"))}
    assert flags == set(mlx_launch_compat.FLAGS)
    rows = " ".join(ROWS)
    told = {"--help", "--print-python"}  # nothing is launched
    assert {flag for flag in flags - told if f"{flag} " not in rows and f"{flag}=" not in rows} == set()


def test_print_python_is_that_of_mlx_launch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mlx._distributed_utils import launch

    for row in (["--print-python"], ["--print-python", "--python", "/x"], ["--pri"], ["--print-python", "train.py"]):
        monkeypatch.setattr(sys, "argv", ["mlx.launch", *row])
        launch.main()
        wanted = capsys.readouterr().out
        assert cli.main(["run", *row]) == 0
        assert capsys.readouterr().out == wanted


# -- where the two differ on purpose, and say so


def test_options_after_the_script_are_its_own(ours: Callable[[Sequence[str]], Meaning], capsys: pytest.CaptureFixture[str]) -> None:
    assert ours(["train.py", "--verbose", "--rep", "2"])["words"][1:] == ["--verbose", "--rep", "2"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("flag", ["--hosts", "--hostfile=hosts.json", "-n"])
def test_option_for_hosts_after_the_script_is_noted(
    flag: str, ours: Callable[[Sequence[str]], Meaning], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ours(["train.py", flag, "x"])["words"][1:] == [flag, "x"]
    (line,) = capsys.readouterr().err.splitlines()
    assert flag.partition("=")[0] in line
    assert "before the script" in line


def test_options_that_do_not_count_beside_a_hostfile_are_named(
    ours: Callable[[Sequence[str]], Meaning], capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(ours(["--hostfile", "hosts.json", "--hosts", A, "-n", "7", "train.py"])["hosts"]) == 3
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in said] == ["--hosts", "--repeat-hosts"]


def test_an_option_of_python_wants_a_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "-m", "mlx_lm.generate"]) == 2
    assert "--python" in capsys.readouterr().err


def test_no_abbreviation_hides_an_option_of_ours() -> None:
    ours = {flag for setting in BY_NAME.values() for flag in setting.flags}
    words = [flag[:length] for flag in mlx_launch_compat.FLAGS for length in range(3, len(flag))]
    found = mlx_launch_compat.abbreviations(words, ours)
    assert not ours & {short for shorts in found.values() for short in shorts}
    assert "--rep" in found["--repeat-hosts"]
    assert "--p" not in [short for shorts in found.values() for short in shorts]
