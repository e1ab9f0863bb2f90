"""The programs of mlx-lm run distributed as they are: a completion over HTTP, a fine-tune with its adapters, a text.

The model is made here and has random weights. All tests share it.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlxlaunch_ansible import start_job
from tests.integration.cluster import ANSIBLE_PLAYBOOK, MLXLAUNCH, PLAYBOOK, Cluster, Done
from tests.lab.start import CHECKOUT
from tests.support.waiting import wait_until

pytest.importorskip("mlx_lm", reason="mlx-lm is not installed: make .venv/.stamp-mlx-lm")

from tests.support.tiny_model import make_lines, make_model

SERVE, FINE_TUNE = CHECKOUT / "examples/serve.py", CHECKOUT / "examples/fine_tune.py"
HOSTS = ["node1", "node2"]
PORT = 8080
#: Seconds after which something hangs. Ranks of a ring that wait turn in a loop, and are more than there are cores.
PATIENCE = 240.0
#: Nothing is asked of the hub, and no kernels are compiled: without a GPU, MLX calls a C++ compiler for each.
QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "MLX_DISABLE_COMPILE": "1"}
GENERATE = str(Path(sys.executable).with_name("mlx_lm.generate"))
PROMPT = ["--prompt", "ships", "--max-tokens", "4", "--temp", "0"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with a model and lines to train it with."""
    folder = tmp_path_factory.mktemp("made")
    make_model(folder / "model")
    make_lines(folder / "lines")
    return folder


@pytest.fixture
def there(cluster: Cluster, made: Path) -> Cluster:
    """Give hosts that have the model and the lines in the directory of their jobs."""
    for host in cluster.hosts[: len(HOSTS)]:
        shutil.copytree(made, host.path(cluster.here), dirs_exist_ok=True)
    return cluster


@dataclass(frozen=True)
class Way:
    """A way in, with a backend."""

    name: str
    backend: str

    def argv(self, cluster: Cluster, script: Path | None, words: Sequence[str]) -> list[Any]:
        """Return the command that launches on the first hosts: a script with its arguments, or a command."""
        inventory = cluster.inventory(HOSTS, mlx_env=QUIET, mlx_cwd=str(cluster.here), mlx_backend=self.backend)
        if self.name == "run":
            return [*MLXLAUNCH, "run", "-i", inventory, *([script, *words] if script else ["--", *words])]
        what = {"mlx_script": str(script), "mlx_args": words} if script else {"mlx_command": words}
        return [ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK, "-e", json.dumps(what)]

    def launch(self, cluster: Cluster, script: Path | None, words: Sequence[str]) -> str:
        """Launch to the end; return what rank 0 printed."""
        if self.name == "Python":
            what: dict[str, Any] = {"args": words} if script else {"command": words}
            with cluster.lab.enter(), start_job(cluster.mapping(HOSTS, **self.variables(cluster)), script or "", **what) as job:
                result = job.wait(PATIENCE)
            assert result.returncode == 0, result
            return Path(result.ranks[0].stdout).read_text()
        folder = CHECKOUT if self.name == "playbook" else cluster.here
        done: Done = cluster._run(self.argv(cluster, script, words), cwd=folder, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    def variables(self, cluster: Cluster) -> dict[str, Any]:
        """Return the variables of the inventory."""
        return {"mlx_env": QUIET, "mlx_cwd": str(cluster.here), "mlx_backend": self.backend}


def ways(*pairs: tuple[str, str]) -> pytest.MarkDecorator:
    """Return the mark that runs a test by these ways in with these backends."""
    return pytest.mark.parametrize("way", [Way(*pair) for pair in pairs], ids=["-".join(pair) for pair in pairs])


def complete(cluster: Cluster) -> dict[str, Any] | None:
    """Return the completion that rank 0 serves, None while it does not listen yet."""
    question = json.dumps({"prompt": "ships", "max_tokens": 4, "temperature": 0}).encode()
    address = f"http://{cluster.hosts[0].address}:{PORT}/v1/completions"
    request = urllib.request.Request(address, question, {"Content-Type": "application/json"})
    try:
        with cluster.lab.enter(), urllib.request.urlopen(request, timeout=PATIENCE) as said:  # noqa: S310 - http
            found: dict[str, Any] = json.load(said)
            return found
    except urllib.error.URLError:
        return None


def assert_completion(cluster: Cluster) -> None:
    """Wait for the server, and look at its answer."""
    found: list[dict[str, Any]] = []
    wait_until(lambda: found or found.extend(filter(None, [complete(cluster)])) or found, "rank 0 serves", PATIENCE)
    (choice,) = found[0]["choices"]
    assert choice["finish_reason"] == "length"
    assert found[0]["usage"]["completion_tokens"] == 4


SERVER = ["--model", "model", "--host", "0.0.0.0", "--port", str(PORT)]


@ways(("run", "ring"), ("run", "mpi"), ("playbook", "ring"))
def test_server_answers_from_rank_0(there: Cluster, way: Way) -> None:
    folder = CHECKOUT if way.name == "playbook" else there.here
    with there.started(way.argv(there, SERVE, SERVER), cwd=folder) as process:
        assert_completion(there)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0, said  # it was interrupted


@ways(("Python", "mpi"))
def test_server_of_a_job_of_python_answers(there: Cluster, way: Way) -> None:
    inventory = there.mapping(HOSTS, **way.variables(there))
    with there.lab.enter():
        job = start_job(inventory, SERVE, args=SERVER)
    with job:
        assert_completion(there)
        job.terminate()
        assert job.wait(PATIENCE).cause == "interrupted"


TRAIN = ["--model", "model", "--train", "--data", "lines", "--iters", "2", "--batch-size", "2", "--num-layers", "1"]
TRAIN += ["--val-batches", "1", "--max-seq-length", "64", "--steps-per-report", "1", "--adapter-path", "adapters"]


@ways(("run", "ring"), ("Python", "mpi"))
def test_fine_tune_writes_its_adapters_on_rank_0(there: Cluster, way: Way) -> None:
    way.launch(there, FINE_TUNE, TRAIN)
    first, second = (host.path(there.here) / "adapters" for host in there.hosts[:2])
    assert (first / "adapters.safetensors").stat().st_size > 0
    assert json.loads((first / "adapter_config.json").read_text())["num_layers"] == 1
    assert not (second / "adapters.safetensors").exists()


@ways(("playbook", "ring"))
def test_playbook_brings_the_adapters_of_a_fine_tune_back(there: Cluster, way: Way) -> None:
    inventory = there.inventory(HOSTS, **way.variables(there))
    variables = {"mlx_script": str(FINE_TUNE), "mlx_args": TRAIN, "mlx_fetch": "adapters/*", "ansible_python_interpreter": sys.executable}
    argv = [ANSIBLE_PLAYBOOK, "-i", inventory, CHECKOUT / "examples/train_and_fetch.yml", "-e", json.dumps(variables)]
    done = there._run(argv, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    fetched = sorted(path.name for path in (there.here / "fetched/adapters").iterdir())
    assert fetched == ["adapter_config.json", "adapters.safetensors"]


@ways(("run", "mpi"), ("playbook", "ring"), ("Python", "mpi"))
def test_generate_prints_a_text(there: Cluster, way: Way) -> None:
    said = way.launch(there, None, [GENERATE, "--model", "model", *PROMPT])
    assert "Generation: 4 tokens" in said
