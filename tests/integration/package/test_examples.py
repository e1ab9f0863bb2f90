"""What documentation shows as an example runs, as it is but for names of hosts and files."""

from __future__ import annotations

import inspect
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import mlxlaunch_ansible
from tests.integration.backends.test_distributed import BACKENDS
from tests.integration.cluster import ALL_SUM, ANSIBLE_PLAYBOOK, MLXLAUNCH, PATIENCE, Cluster, events_of, last_run, right_sums, sums
from tests.lab.start import CHECKOUT

DOCUMENTED: list[Any] = [mlxlaunch_ansible, mlxlaunch_ansible.run_job, mlxlaunch_ansible.start_job]
EXAMPLES = CHECKOUT / "examples"
# Those of mlx-lm take a model: tests/field/test_mlx_lm.py makes one.
SCRIPTS = sorted(path for path in EXAMPLES.glob("*.py") if "mlx_lm" not in path.read_text(encoding="utf-8"))
FOUR = ["node1", "node2", "node3", "node4"]
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


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_runs_as_its_head_says(cluster: Cluster, script: Path) -> None:
    (command,) = re.findall(r"^Run it with: mlxlaunch run (.*)$", script.read_text(), re.MULTILINE)
    words = [str(script) if word == f"examples/{script.name}" else word for word in command.split()]
    assert str(script) in words
    done = cluster.mlxlaunch(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_sum_adds_up(cluster: Cluster, backend: str) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(FOUR), "--backend", backend, ALL_SUM)
    assert done.returncode == 0, done.stderr
    assert sums(done.stdout) == right_sums(4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_data_parallel_gives_what_one_process_gives(cluster: Cluster, backend: str) -> None:
    words = (f"{EXAMPLES}/data_parallel.py", "--steps", "15", "--save")
    done = cluster.mlxlaunch("-i", cluster.inventory(FOUR), "--backend", backend, *words, "weights.npz")
    assert done.returncode == 0, done.stderr
    alone = cluster._run([sys.executable, *words, "alone.npz"])
    assert alone.returncode == 0, alone.stderr
    losses, losses_alone = (re.findall(r"^step (\d+) loss ([\d.]+)$", text, re.MULTILINE) for text in (done.stdout, alone.stdout))
    assert [step for step, _loss in losses] == [step for step, _loss in losses_alone] == ["0", "14"]
    assert [float(loss) for _step, loss in losses] == pytest.approx([float(loss) for _step, loss in losses_alone], abs=1e-4)
    assert float(losses[1][1]) < float(losses[0][1]) / 2  # it has learned something
    assert_same_weights(cluster.hosts[0].path(cluster.here) / "weights.npz", cluster.here / "alone.npz")
    assert not (cluster.hosts[1].path(cluster.here) / "weights.npz").exists()


def assert_same_weights(path: Path, other: Path) -> None:
    """Compare two files of weights, but for rounding."""
    import mlx.core as mx

    weights, others = mx.load(str(path)), mx.load(str(other))
    assert sorted(weights) == sorted(others) != []
    for name, weight in weights.items():
        assert mx.allclose(weight, others[name], rtol=1e-3, atol=1e-4).item(), name


def test_tensor_parallel_gives_what_the_whole_model_gives(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(FOUR), f"{EXAMPLES}/tensor_parallel.py")
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^rank (\d) of 4: 61440 weights, off by ([\d.e+-]+)$", done.stdout, re.MULTILINE)
    assert sorted(rank for rank, _off in said) == ["0", "1", "2", "3"]  # a quarter of the weights each
    assert all(float(off) < 1e-4 for _rank, off in said)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pipeline_gives_what_the_whole_model_gives(cluster: Cluster, backend: str) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(FOUR), "--backend", backend, f"{EXAMPLES}/pipeline.py")
    assert done.returncode == 0, done.stderr
    stages = sorted(re.findall(r"^rank (\d of 4: layers \d+ to \d+)$", done.stdout, re.MULTILINE))
    assert stages == [f"{rank} of 4: layers {3 * rank} to {3 * rank + 2}" for rank in range(4)]
    (off,) = re.findall(r"^6 pieces through 12 layers, off by ([\d.e+-]+)$", done.stdout, re.MULTILINE)
    assert float(off) < 1e-5


def test_tokens_stream_from_rank_0(cluster: Cluster) -> None:
    words = ["-i", str(cluster.inventory(FOUR)), f"{EXAMPLES}/token_stream.py", "--tokens", "17", "--rate", "8"]
    with cluster.started([*MLXLAUNCH, "run", *words]) as process:
        assert process.stdout
        first = os.read(process.stdout.fileno(), 100)
        whole = first + process.stdout.read()
        assert process.wait(PATIENCE) == 0
    assert (whole, len(first) < len(whole)) == (b"the quick brown fox jumps", True)
    pieces = [event for event in events_of(last_run(cluster)) if event["event"] == "rank_output"]
    assert {piece["rank"] for piece in pieces} == {0}


def test_training_brings_its_weights_back(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node2", "node1"], ansible_python_interpreter=sys.executable)
    words = ("-i", inventory, EXAMPLES / "train_and_fetch.yml", "-e", "mlx_args='--steps 5 --save weights.safetensors'")
    done = cluster._run([ANSIBLE_PLAYBOOK, *words])
    assert done.returncode == 0, done.stdout + done.stderr
    there = cluster.hosts[1].path(cluster.here) / "weights.safetensors"  # rank 0 is on node2
    assert (cluster.here / "fetched/weights.safetensors").read_bytes() == there.read_bytes()


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
    done = cluster.mlxlaunch(
        "-i", "hosts.yml", cluster.script("import os; print(os.environ['HF_HOME'] + ' ' + str('MLX_METAL_FAST_SYNCH' in os.environ))")
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "/Users/Shared/huggingface False\n" * 2
