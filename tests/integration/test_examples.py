"""What documentation shows as an example runs, as it is but for names of hosts and files."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import mlxlaunch_ansible
from tests.integration.cluster import ALL_SUM, Cluster, right_sums, sums
from tests.lab.start import CHECKOUT

DOCUMENTED: list[Any] = [mlxlaunch_ansible, mlxlaunch_ansible.run_job, mlxlaunch_ansible.start_job]
TRAIN = "import sys; print('trained', *sys.argv[1:], flush=True)\n"


def code_blocks(thing: Any) -> list[str]:
    """The indented blocks of a docstring that are Python; sections of arguments and errors have a heading."""
    text = inspect.cleandoc(thing.__doc__)
    found = re.findall(r"^(?!\w+:$)[^\n]*\n\n((?:    [^\n]*\n|\n)+?)(?=\n?\S|\Z)", text + "\n", re.MULTILINE)
    return [textwrap.dedent(block).strip() for block in found]


def fenced(path: Path, language: str) -> list[str]:
    """The fenced blocks of a Markdown file in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def as_documented(cluster: Cluster) -> Cluster:
    """The files that examples name, where they name them: from here, and on the hosts."""
    inventory = cluster.inventory(["node1", "node2"])
    (cluster.here / "inventory").mkdir()
    inventory.rename(cluster.here / "inventory/hosts.yml")
    cluster.script(TRAIN)
    cluster.script(Path(ALL_SUM).read_text(), "examples/all_sum.py")
    return cluster


def run_here(cluster: Cluster, source: str) -> None:
    """Run an example with its files in this test's directory."""
    for folder in ("/opt/", "/path/on/hosts/"):
        source = source.replace(folder, f"{cluster.here}/")
    with cluster.lab.enter():
        exec(compile(source, "<example>", "exec"), {"__name__": "__main__"})  # noqa: S102 - what it is for


@pytest.mark.parametrize("thing", DOCUMENTED, ids=lambda thing: thing.__name__)
def test_docstring_examples_run(as_documented: Cluster, thing: Any, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = code_blocks(thing)
    assert blocks, "no example"
    for block in blocks:
        prologue = "" if "import" in block else "from mlxlaunch_ansible import run_job, start_job\n"
        run_here(as_documented, prologue + block)
    said = capsys.readouterr().out
    assert "trained" in said or "0 " in said


def test_python_in_the_documentation_runs(as_documented: Cluster) -> None:
    paths = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
    blocks = [block for path in paths for block in fenced(path, "python")]
    assert blocks
    for block in blocks:
        run_here(as_documented, block)


def test_example_all_sum_runs_as_its_docstring_says(cluster: Cluster) -> None:
    (command,) = re.findall(r"^Run it with: mlxlaunch run (.*)$", Path(ALL_SUM).read_text(), re.MULTILINE)
    done = cluster.mlxlaunch(*command.split(), cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(2)


def test_examples_of_help_are_flags_that_exist(cluster: Cluster) -> None:
    said = cluster.mlxlaunch("--help").stdout
    shown = re.findall(r"^  mlxlaunch run (.*)$", said, re.MULTILINE)
    assert shown
    for line in shown:
        for flag in re.findall(r"(?<!\S)(--?[a-z-]+)", line.partition(".py")[0].partition(" -- ")[0]):
            assert re.search(rf"(?<!\S){flag}\b", said.partition("options:")[2]), flag


def test_example_inventory_is_one_that_launches(cluster: Cluster) -> None:
    """As it is, its hosts do not exist; with addresses of hosts that do, it runs."""
    text = (CHECKOUT / "inventory/hosts.yml").read_text()
    text = text.replace("/opt/mlxlaunch/env/bin/python", sys.executable)
    for number in (1, 2):
        address = cluster.hosts[number - 1].address
        text = text.replace(f"studio-{number}.local", address).replace(f"[10.0.0.{number}]", f"[{address}]")
    (cluster.here / "hosts.yml").write_text(text)
    done = cluster.mlxlaunch("-i", "hosts.yml", cluster.script("import os; print(os.environ['MLX_METAL_FAST_SYNCH'])"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n1\n"
