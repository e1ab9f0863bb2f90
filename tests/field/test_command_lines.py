"""Command lines as people write them: those of mlx.launch, of its older versions, of ansible-playbook, and mistyped ones.

Each row is a line and what it means, or the line that it is answered with.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import UsageError, cli, plan_job, run_job, start_job
from tests.unit.package.sessions import Requested, start_none

P = "/env/bin/python"

#: Files of the current directory; `tool` and `run.py` are executable.
FILES = {
    "train.py": "print(1)\n",
    "run.py": "#!/usr/bin/env python3\nprint(1)\n",
    "tool": "#!/bin/sh\nexec true\n",
    "rank.sh": "#!/bin/sh\nexec true\n",
    "hosts.ini": "[mlx]\na\nb\n",
    "hosts.json": json.dumps([{"ssh": "10.0.0.7", "ips": ["10.0.0.7"]}]),
    "v.yml": "mlx_backend: ring\n",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    start_none(monkeypatch)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for name in ("tool", "run.py"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said_by(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[Requested | int, list[str]]:
    """Return what a line would start, or the exit status; and the lines it prints on standard error."""
    try:
        status: Requested | int = cli.main(shlex.split(line))
    except SystemExit as exc:
        status = int(exc.code or 0)
    except Requested as request:
        status = request
    return status, capsys.readouterr().err.splitlines()


#: A line, what it runs (script and arguments, or a command), and its note.
MEANINGS: list[tuple[str, list[str], str]] = [
    # older mlx.launch
    ("run -n 2 --no-verify-script train.py", ["./train.py"], "--no-verify-script is not needed any more"),
    ("run --no-verify-script -n 2 --env A=1 train.py a", ["./train.py", "a"], "--no-verify-script is not needed any more"),
    ("run -n 2 train.py --no-verify-script", ["./train.py", "--no-verify-script"], ""),
    ("run -n 2 -- train.py --lr 1", ["./train.py", "--lr", "1"], "train.py cannot be run as a program, so it runs as a script"),
    ("run -n 2 -- ./train.py", ["./train.py"], "./train.py cannot be run as a program, so it runs as a script"),
    ("run -n 2 -- ./run.py", ["./run.py"], ""),
    ("run -n 2 -- nowhere.py", ["nowhere.py"], ""),
    # the interpreter
    (f"run -n 2 --python {P} -- {P} train.py", ["./train.py"], f"{P} stands after --python {P} once more, and is left out"),
    (f"run -n 2 --python {P} {P} train.py", ["./train.py"], "once more, and is left out"),
    (f"run -n 2 --python {P} -- {P} -m mlx_lm lora", [P, "-m", "mlx_lm", "lora"], "once more, and is left out"),
    ("run -n 2 --python python3 -- python3 train.py", ["./train.py"], "python3 stands after --python python3 once more"),
    (f"run -n 2 --python {P} -- python train.py", ["./train.py"], "python stands after"),
    (f"run -n 2 --python {P} ./rank.sh", ["./rank.sh"], "./rank.sh is no Python script, and --python runs it with Python all the same"),
    ("run -n 2 ./rank.sh", ["./rank.sh"], ""),
    # Python's own options
    (f"run -n 2 --python {P} -m mlx_lm.generate --model x", [P, "-m", "mlx_lm.generate", "--model", "x"], ""),
    (f"run -n 2 --python {P} -c print(1)", [P, "-c", "print(1)"], ""),
    (f"run -n 2 --python {P} -u train.py", ["./train.py"], ""),
    (f"run -n 2 --python={P} -u -m x -u", [P, "-u", "-m", "x", "-u"], ""),
    (f"run -n 2 --python {P} -v train.py", [P, "-v", "train.py"], ""),
    (f"run -n 2 --py {P} -b train.py", [P, "-b", "train.py"], ""),
    (f"run -n 2 --python {P} -W ignore -X dev train.py", [P, "-W", "ignore", "-X", "dev", "train.py"], ""),
    (f"run -n 2 --python {P} -OO -B --backend ring train.py", [P, "-OO", "-B", "train.py"], ""),
    (f"run --python {P} -n 2 -Xdev -mpkg a", [P, "-Xdev", "-mpkg", "a"], ""),
    (f"run -n 2 --python {P} -- -u train.py", [P, "-u", "train.py"], ""),
    (f"run -i hosts.ini -u ada -v --python {P} train.py", ["./train.py"], ""),
    (f"run --python {P} -i hosts.ini -l a -e x=1 train.py", ["./train.py"], ""),
    # ansible-playbook's
    ("run -i hosts.ini -e @v.yml -u ada -b train.py -u x -b", ["./train.py", "-u", "x", "-b"], ""),
    ("run -i a,b -n 2 -vv -- hostname -s", ["hostname", "-s"], ""),
    ("run -i hosts.ini --connection 4 train.py", ["./train.py"], ""),
    # quotes
    ("run -n 2 --env 'PATH=/x:$PATH' train.py", ["./train.py"], "--env PATH: $PATH is given to the ranks as it is"),
    ("run -n 2 --env 'A=${HOME}/x' train.py", ["./train.py"], "--env A: ${HOME} is given to the ranks as it is"),
    ("run -n 2 --env 'A=5$' train.py", ["./train.py"], ""),
    ("run --hosts bob@198.18.0.11 train.py", ["./train.py"], ""),
]


@pytest.mark.parametrize(("line", "words", "note"), MEANINGS, ids=[row[0] for row in MEANINGS])
def test_line_means_what_its_writer_meant(line: str, words: list[str], note: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, said = said_by(line, capsys)
    assert isinstance(found, Requested), said
    settings = found.settings
    assert bool(settings["script"]) != bool(settings["command"])
    script = [f"./{Path(settings['script']).relative_to(here)}", *settings["args"]] if settings["script"] else []
    assert script or settings["command"] == words
    assert not script or script == [f"./{words[0].removeprefix('./')}", *words[1:]]
    assert [text for text in said if not text.startswith("mlxlaunch: note: ")] == []
    assert len(said) == bool(note)
    assert note in "".join(said)


#: A line that is refused, and its answer.
MISTAKES: list[tuple[str, str]] = [
    # mistyped
    ("run -n 2 --bakend ring train.py", "unrecognized arguments: --bakend; did you mean --backend?"),
    ("run -n 2 --conect-timeout=5 train.py", "unrecognized arguments: --conect-timeout; did you mean --connect-timeout?"),
    ("run -n 2 --project-dri . train.py", "did you mean --project-dir?"),
    ("run -n 2 --zzz train.py", "unrecognized arguments: --zzz"),
    ("run -i hosts.ini --vault-pasword-file f train.py", "did you mean --vault-password-file?"),
    ("sync -i hosts.ini --enviroment x", "did you mean --environment?"),
    ("check -i hosts.ini --backed ring", "did you mean --backend?"),
    ("hostfile -i hosts.ini --shema list", "did you mean --schema?"),
    ("runs --prun", "did you mean --prune?"),
    ("rn -n 2 train.py", "rn: no such command; did you mean run?"),
    ("chek -i hosts.ini", "chek: no such command; did you mean check?"),
    ("hostfiles", "hostfiles: no such command; did you mean hostfile?"),
    ("train.py", "train.py: no such command; the commands are run, "),
    ("run -i hosts.ini -e mlx_bakend=ring train.py", "-e mlx_bakend: there is no such variable; did you mean mlx_backend?"),
    ("run -i hosts.ini -e '{\"mlx_slot\": 2}' train.py", "-e mlx_slot: there is no such variable; did you mean mlx_slots?"),
    ("check -i hosts.ini -e mlx_pyhton=/x", "-e mlx_pyhton: there is no such variable; did you mean mlx_python?"),
    # ansible-playbook's that would mean something else
    ("run -i hosts.ini -f 10 train.py", "-f is for ansible-playbook; all hosts take part at the same time"),
    ("run -i hosts.ini -C train.py", "-C is for ansible-playbook; use mlxlaunch run --dry-run"),
    ("run -i hosts.ini -T 5 train.py", "-T is for ansible-playbook; use --connect-timeout"),
    ("run -i hosts.ini -t x train.py", "-t is for ansible-playbook; a launch has no tags"),
    ("run -i hosts.ini --list-hosts train.py", "use mlxlaunch run --dry-run"),
    ("sync -i hosts.ini --check", "--check is for ansible-playbook; "),
    ("check -i hosts.ini --forks=5", "--forks is for ansible-playbook; "),
    ("hostfile -i hosts.ini --diff", "--diff is for ansible-playbook; "),
    # files that are not there
    ("run -n 2 nope.py", "nope.py: no such file"),
    ("run nope.py a", "nope.py: no such file"),
    ("run -n 2 sub/nope.py", "sub/nope.py: no such file"),
    ("run -n 2 /no/such/nope.py", "/no/such/nope.py: no such file"),
    (f"run -n 2 --python {P} nope", "nope: no such file"),
    ("run --hosts 127.0.0.1,127.0.0.1 nope.py", "nope.py: no such file"),
    ("run -n 2 --dry-run nope.py", "nope.py: no such file"),
    ("run -n 2 sub", "sub is a directory without a __main__.py"),
    ("run -n 2 pipe", "pipe is a pipe, not a file; ranks run a script from a file"),
    ("run -i hosts.ini ./pipe", "pipe is a pipe, not a file"),
    (f"run -n 2 --python {P} pipe", "pipe is a pipe, not a file"),
    ("run -n 2 /dev/null", "/dev/null is something special, not a file"),
    ("run -i none.ini train.py", "none.ini: no such inventory; to name a host, write none.ini, with a comma"),
    ("check -i hosts.ini -i dir/none", "dir/none: no such inventory"),
    # empty words: variables of the shell that are not set
    ("run -i '' -- true", "-i/--inventory/--inventory-file: a name cannot be empty"),
    ("check -i hosts.ini -i ''", "-i/--inventory/--inventory-file: a name cannot be empty"),
    ("run --hosts '' train.py", "--hosts: a host name cannot be empty"),
    ("run --hostfile '' train.py", "--hostfile: a name cannot be empty"),
    ("config --hostfile ''", "--hostfile: a name cannot be empty"),
    ("config --hosts a --output-hostfile ''", "--output-hostfile: a name cannot be empty"),
    ("hostfile -i hosts.ini -o ''", "-o/--output: a name cannot be empty"),
    ("init --hostfile ''", "--hostfile: a name cannot be empty"),
    ("init a -o ''", "-o/--output: a name cannot be empty"),
    ("run -i hosts.ini --vault-password-file '' train.py", "--vault-password-file/--vault-pass-file: a name cannot be empty"),
    ("run -i hosts.ini --from-run '' train.py", "--from-run: a name cannot be empty"),
    ("run -n 2 ''", "no script is given"),
    ("run -n 2 '' a", "no script is given"),
    (f"run -n 2 --python {P} -u ''", "no script is given"),
    ("run -n 2 -- ''", "no script is given"),
    # what goes against itself
    ("run -n 2 -m mlx_lm.generate", "-m is an option of Python; say of which with --python"),
    (f"run -n 2 --python {P} -- /usr/bin/python3 train.py", f"--python {P} would be given /usr/bin/python3 as its script"),
    (f"run -n 2 --python {P} -- {P}", "no script is given"),
    ("run -n 2 --", "no script is given"),
    ("run -i hosts.json -n 2 train.py", "--repeat-hosts: the hostfile has an entry for each rank; repeat its entries"),
    ("run -i hosts.ini --hosts a train.py", "hosts can come from one of them only"),
    ("run -i hosts.ini -n 0 train.py", "--repeat-hosts 0: want 1 or more"),
    ("run -i , train.py", ",: a list of hosts without a host"),
    ("run -i hosts.ini", "no script is given"),
]


#: The ends of answers that a start gives.
STARTED = ("no such file", "__main__.py", "not a file", "from a file")


@pytest.mark.parametrize(("line", "answer"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_mistake_is_answered_by_one_line(
    line: str, answer: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if answer.endswith(STARTED):
        monkeypatch.undo()  # a real start, which comes to its end before Ansible
        monkeypatch.chdir(here)
    found, said = said_by(line, capsys)
    assert (found, len(said)) == (2, 1)
    assert said[0].startswith("mlxlaunch")
    assert answer in said[0]


@pytest.mark.parametrize("function", [run_job, start_job, plan_job])
def test_missing_script_is_a_mistake_in_python_too(function: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(here)
    with pytest.raises(UsageError, match=r"^nope\.py: no such file$"):
        function(["127.0.0.1"], "nope.py")


#: Options that turn something on or off, and the beginning of their help.
SWITCHES = {"--no-sync": "Do not bring", "--prefix": "Put", "--verbose": "Tell more", "--tty": "Give the rank"}


def test_help_says_what_an_option_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert [flag for flag, text in SWITCHES.items() if f" {flag} {text}" not in told] == []
