"""Data files of strangers: no text in a hostfile or a list of names is ever a template for Ansible.

They run on this machine and need no lab.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import UsageError, run_job
from tests.support.delays import without_delays

#: Texts that Ansible would evaluate, were they templates; MARK is made by the first two.
TEMPLATES = {
    "lookup": "{{ lookup('pipe', 'touch MARK') }}",
    "block": "{% set x = lookup('pipe', 'touch MARK') %}{{ x }}",
    "comment": "{# never closed",
    "loop": "{% for message in messages %}<|{{ message.role }}|>{% endfor %}",
    "braces": "}}{{",
    "yaml": '"!unsafe": [a, &b *b] # : \\u0041 \u2028 \x85 \U0001f600',
}
HERE = {"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}
PRINT = "import os; print(ascii(os.environ['TEXT']))"


def write(path: Path, data: Any) -> str:
    path.write_text(json.dumps(data))
    return str(path)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlxlaunch_ansible", "run", *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=200)


@pytest.mark.parametrize("name", TEMPLATES)
def test_variable_of_a_hostfile_arrives_as_it_is(name: str, tmp_path: Path) -> None:
    text = TEMPLATES[name].replace("MARK", str(tmp_path / "mark"))
    hostfile = write(tmp_path / "hosts.json", {"backend": "ring", "envs": [f"TEXT={text}"], "hosts": [HERE]})
    done = run("--hostfile", hostfile, "--log-dir", str(tmp_path / "log"), "--", sys.executable, "-c", PRINT)
    assert (done.returncode, done.stdout) == (0, f"{text!a}\n"), done.stderr
    assert not (tmp_path / "mark").exists()


#: Ways to give a name, as the words of a command.
NAMED: dict[str, Callable[[str, Path], list[str]]] = {
    "hosts": lambda name, _folder: ["--hosts", name],
    "hostfile": lambda name, folder: ["--hostfile", write(folder / "h.json", [{**HERE, "ssh": name}])],
    "newer hostfile": lambda name, folder: ["--hostfile", write(folder / "h.json", {"hosts": [{**HERE, "ssh": name}]})],
    "inventory": lambda name, folder: ["-i", write(folder / "h.json", [{**HERE, "ssh": name}])],
}


@pytest.mark.parametrize("user", ["", "root@"])
@pytest.mark.parametrize("way", NAMED)
def test_name_that_is_a_template_is_refused(way: str, user: str, tmp_path: Path) -> None:
    name = f"{user}{{{{lookup('pipe','touch${{IFS}}{tmp_path}/mark')}}}}"
    done = run(*NAMED[way](name, tmp_path), "--dry-run", "--", "true")
    assert done.returncode == 2
    assert len(without_delays(done.stderr).splitlines()) == 1
    assert "a brace" in done.stderr
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("hosts", [["{{x}}"], [{"ssh": "a{%b%}", "ips": ["127.0.0.1"]}]])
def test_name_that_is_a_template_is_refused_in_python(hosts: list[Any]) -> None:
    with pytest.raises(UsageError, match="a brace"):
        run_job(hosts, command=["true"])
