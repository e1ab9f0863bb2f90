"""Secrets that a user gives are nowhere but where they are needed: a canary at each place, and a search for it.

They run on this machine and need no lab.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.delays import without_delays

CANARY = f"canary-{os.getpid()}-end"  # of this test process alone: each rank looks at all processes
PLAYBOOK = Path(__file__).parents[2] / "playbooks/launch.yml"
ANSIBLE_PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
#: What ranks do: they know the secret, look who else could read it, and print neither.
RANK = """
import os, pathlib, sys
assert os.environ["TOKEN"].startswith("canary"), "the secret has not arrived"
me = {os.getpid()}
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
        words = path.read_bytes()
    except OSError:
        continue
    if b"CANARY" in words and b"typed-by-the-user" not in words:
        print("SEEN", words)
print("done")
""".replace("CANARY", CANARY)
TYPED = "typed-by-the-user"  # marks the command lines that a test, as the user, types itself


def rank(folder: Path) -> str:
    (folder / "train.py").write_text(RANK)
    return str(folder / "train.py")


def cli(*words: str) -> list[str]:
    return [sys.executable, "-m", "mlxlaunch_ansible", "run", *words]


def inventory(folder: Path, **variables: Any) -> str:
    data = {"mlx": {"hosts": {"here": {"ansible_connection": "local", "mlx_ips": ["127.0.0.1"]}}, "vars": variables}}
    (folder / "hosts.yml").write_text(json.dumps(data))
    return str(folder / "hosts.yml")


def hostfile(folder: Path) -> str:
    data = {"backend": "ring", "envs": [f"TOKEN={CANARY}"], "hosts": [{"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}]}
    (folder / "hosts.json").write_text(json.dumps(data))
    return str(folder / "hosts.json")


def program(folder: Path, settings: str) -> list[str]:
    """A program with a secret of its own on its command line, that calls `run_job`."""
    source = f"""
import sys
from mlxlaunch_ansible import run_job
run_job(["127.0.0.1"], {rank(folder)!r}, backend="ring", log_dir={str(folder / "log")!r}, {settings})
"""
    (folder / "driver.py").write_text(source)
    return [sys.executable, str(folder / "driver.py"), "--api-key", CANARY, TYPED]


def playbook(folder: Path, *words: str, **variables: Any) -> list[str]:
    extra = json.dumps({"mlx_script": rank(folder), "mlx_backend": "ring", "mlx_log_dir": str(folder / "log")})
    hosts = inventory(folder, mlx_python=sys.executable, **variables)
    return [ANSIBLE_PLAYBOOK, "-i", hosts, str(PLAYBOOK), "-e", extra, *words, "-e", f"note={TYPED}"]


def local(folder: Path, *words: str) -> list[str]:
    return cli("-n", "1", *words, "--backend", "ring", "--starting-port", "auto", "--log-dir", str(folder / "log"), rank(folder), TYPED)


#: Places for a secret, by way in and spelling: the command of the user.
PLACES: dict[str, Callable[[Path], list[str]]] = {
    "--env X": lambda folder: local(folder, "--env", f"TOKEN={CANARY}"),
    "--env=X": lambda folder: local(folder, f"--env=TOKEN={CANARY}"),
    "cut short": lambda folder: local(folder, "--en", f"TOKEN={CANARY}"),
    "cut short, with =": lambda folder: local(folder, f"--en=TOKEN={CANARY}"),
    "address of an index": lambda folder: local(
        folder, "--env", f"TOKEN={CANARY}", "--index-url", f"https://ada:{CANARY}@pkg.example/simple?token={CANARY}"
    ),
    "hostfile": lambda folder: cli(
        "--hostfile", hostfile(folder), "--log-dir", str(folder / "log"), "--python", sys.executable, rank(folder), TYPED
    ),
    "inventory": lambda folder: cli(
        *("-i", inventory(folder, mlx_env={"TOKEN": CANARY}), "--backend", "ring", "--python", sys.executable),
        *("--log-dir", str(folder / "log"), rank(folder), TYPED),
    ),
    "run_job": lambda folder: program(folder, f"env={{'TOKEN': {CANARY!r}}}"),
    "run_job with an index": lambda folder: program(folder, f"env={{'TOKEN': {CANARY!r}}}, index_url='https://{CANARY}@pkg.example'"),
    "-e mapping": lambda folder: playbook(folder, "-e", json.dumps({"mlx_env": {"TOKEN": CANARY}})),
    "-e key=value": lambda folder: playbook(folder, "-e", f"token={CANARY}", mlx_env={"TOKEN": "{{ token }}"}),
    "-e=X, another name": lambda folder: playbook(folder, f"--extra-vars=hf={CANARY}", mlx_env={"TOKEN": "{{ hf }}"}),
    "-e @file": lambda folder: playbook(folder, "-e", f"@{secret_file(folder)}"),
}


def secret_file(folder: Path) -> Path:
    (folder / "secret.json").write_text(json.dumps({"mlx_env": {"TOKEN": CANARY}}))
    return folder / "secret.json"


def run(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **variables}
    return subprocess.run(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=200)


def recorded(folder: Path) -> str:
    """Return all files of all run directories."""
    files = [path for path in (folder / "log").rglob("*") if path.is_file()]
    assert any(path.name == "job.json" for path in files)
    return "".join(f"{path}: {path.read_text()}\n" for path in files)


@pytest.mark.parametrize("place", PLACES)
def test_secret_is_nowhere_but_in_the_rank(place: str, tmp_path: Path) -> None:
    done = run(PLACES[place](tmp_path), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done" in done.stdout + recorded(tmp_path)
    assert "SEEN" not in recorded(tmp_path)
    assert CANARY not in done.stdout + done.stderr + recorded(tmp_path)


@pytest.mark.parametrize("name", ["LD_SDK_KEY", "PYTHONSECRET", "MLX_TOKEN", "DYLD_X"])
def test_host_s_own_variable_is_recorded_by_name(name: str, tmp_path: Path) -> None:
    done = run(local(tmp_path, "--env", "TOKEN=canary"), tmp_path, **{name: CANARY})
    assert (done.returncode, without_delays(done.stderr)) == (0, ""), done.stderr
    assert name in recorded(tmp_path)
    assert CANARY not in done.stdout + recorded(tmp_path)


def test_values_of_a_host_are_shown_when_they_are_asked_for_and_not_recorded(tmp_path: Path) -> None:
    done = run(local(tmp_path, "--env", "TOKEN=canary", "--verbose"), tmp_path, MLX_TOKEN=CANARY)
    assert f"MLX_TOKEN='{CANARY}'" in done.stderr
    assert CANARY not in recorded(tmp_path)


#: Mistakes with a secret in them, which end in a message.
MISTAKES: dict[str, Callable[[Path], list[str]]] = {
    "misspelled": lambda folder: cli("-n", "1", "--evn", f"TOKEN={CANARY}", rank(folder)),
    "misspelled, with =": lambda folder: cli("-n", "1", f"--evn=TOKEN={CANARY}", rank(folder)),
    "misspelled in sync": lambda folder: [*cli()[:-1], "sync", f"--evn=TOKEN={CANARY}", "--hosts", "x"],
    "no name": lambda folder: cli("-n", "1", "--env", f"-{CANARY}", rank(folder)),
    "mpi argument": lambda folder: cli("-n", "1", "--mpi-arg", f"-x 'TOKEN={CANARY}", rank(folder)),
    "text for a mapping": lambda folder: playbook(folder, "-e", f"mlx_env=TOKEN={CANARY}"),
    "list for a mapping": lambda folder: playbook(folder, "-e", json.dumps({"mlx_env": [f"TOKEN={CANARY}"]})),
    "list for a value": lambda folder: playbook(folder, "-e", json.dumps({"mlx_env": {"TOKEN": [CANARY]}})),
    "lock": lambda folder: cli("-n", "1", "--environment", lock(folder, f"--proxy https://ada:{CANARY}@proxy.example"), rank(folder)),
    "requirement": lambda folder: cli("-n", "1", "--environment", lock(folder, f"x @ https://{CANARY}@pkg.example/x.whl"), rank(folder)),
}


def lock(folder: Path, line: str) -> str:
    (folder / "lock.txt").write_text(line + "\n")
    return str(folder / "lock.txt")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_message_about_a_mistake_has_no_secret(mistake: str, tmp_path: Path) -> None:
    done = run(MISTAKES[mistake](tmp_path), tmp_path)
    assert done.returncode != 0
    assert CANARY not in done.stdout + done.stderr
