"""Side by side with the real mlx.launch: the same command line gives ranks the same environment and the same files.

What is different, on purpose, stands in OURS and in `differs`, by name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import MLXLAUNCH, Cluster, Done

# Writes what a rank is given to a file beside the script: lines of several ranks mix in mlx.launch's output.
GIVEN = """
import json, os, sys
env = dict(os.environ)
files = {name: open(env[name]).read() for name in ("MLX_HOSTFILE", "MLX_IBV_DEVICES") if name in env}
with open(os.path.dirname(os.path.abspath(__file__)) + "/given." + env["MLX_RANK"], "w") as out:
    json.dump({"env": env, "files": files, "argv": sys.argv, "cwd": os.getcwd(), "python": sys.executable}, out)
"""

#: Variables that mlx.launch does not set: for programs written for other launchers, for live output, and the job's mark.
OURS = {
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("PYTHONUNBUFFERED", "MLXLAUNCH_JOB"),
}
#: Variables of a login over ssh, of a terminal and of a shell: nothing that a launcher sets for its ranks.
SESSION = {
    *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "MAIL", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "TZ"),
    *("SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "PWD", "OLDPWD", "SHLVL", "_", "MOTD_SHOWN"),
}
#: Known differences of a value.
COUNTS_BY_FLAG = "mlx.launch counts devices by --repeat-hosts, which a hostfile does not have: all ranks of a host get device 0"
FAILS_AT_IT = "mlx.launch gives a world of one an empty file, and MLX fails at it"
OWN_CHOICE = "mlx.launch ignores the devices that the user lists"


@dataclass(frozen=True)
class Row:
    """A command line.

    Attributes:
        name: what is special about it.
        hosts: --hosts, by position in the lab, or the hostfile: entries as (position, second address too, rdma).
        flags: the rest of it.
        newer: what the newer schema has beside hosts; None for the older one.
        differs: why a variable's value differs, by its name.
    """

    name: str
    hosts: Sequence[Any]
    flags: Sequence[str] = ()
    newer: dict[str, Any] | None = None
    differs: dict[str, str] | None = None


MESH = [(0, False, [None, "en2", "en3"]), (1, False, ["en2", None, ["en4", "en5"]]), (2, False, ["en3", ["en4", "en5"], None])]
WIDE = ["rdma_en2", "rdma_en3"]
CIRCLE = [(0, True, [None, WIDE, None, WIDE]), (1, True, [WIDE, None, WIDE, None])]
CIRCLE += [(2, True, [None, WIDE, None, WIDE]), (3, True, [WIDE, None, WIDE, None])]
PLAIN = [(0, False, []), (1, False, [])]

ROWS = [
    Row("ring", PLAIN),
    Row("ring of hosts with two addresses", [(0, True, []), (1, True, [])], ["--connections-per-ip", "3", "--verbose"]),
    Row(
        "ring that a newer hostfile asks for",
        PLAIN,
        ["--env", "A=flag", "--env", "C=a=b"],
        {"backend": "ring", "envs": ["A=file", "B=x  y"]},
    ),
    Row("ring over what a hostfile asks for", MESH, ["--backend", "ring"], {"backend": "jaccl"}),
    Row("ring with ranks of a host apart", [PLAIN[0], PLAIN[1], PLAIN[0]], ["-p", "5000"]),
    Row("ring by names, repeated", [1, 0], ["-n", "2", "--starting-port", "6000", "--env", 'QUOTED=it\'s $HOME `id` "x"']),
    Row("world of one", [0], differs={"MLX_HOSTFILE": FAILS_AT_IT}),
    Row("nccl by names, repeated", [0, 1], ["--backend", "nccl", "--repeat-hosts", "3", "--nccl-port", "7000"]),
    Row("nccl that a newer hostfile asks for", PLAIN, ["--verbose"], {"backend": "nccl", "envs": ["NCCL_IB_DISABLE=1"]}),
    Row(
        "nccl with ranks of a host in a hostfile",
        [PLAIN[0], PLAIN[0], PLAIN[1]],
        ["--backend", "nccl"],
        differs={"CUDA_VISIBLE_DEVICES": COUNTS_BY_FLAG},
    ),
    Row(
        "nccl on chosen devices",
        PLAIN,
        ["--backend", "nccl", "--env", "CUDA_VISIBLE_DEVICES=3"],
        differs={"CUDA_VISIBLE_DEVICES": OWN_CHOICE},
    ),
    Row("jaccl that a newer hostfile asks for", MESH, ["--env", "A=1"], {"backend": "jaccl", "envs": ["MLX_METAL_FAST_SYNCH=1"]}),
    Row("jaccl from an older hostfile", MESH, ["--backend", "jaccl", "--starting-port", "8000", "--verbose"]),
    Row("jaccl-ring", CIRCLE, ["--backend", "jaccl-ring"]),
    Row("jaccl-ring of two", [(0, False, [None, WIDE]), (1, False, [WIDE, None])], [], {"backend": "jaccl-ring"}),
]
RUN_TOO = ("ring of hosts with two addresses", "nccl by names, repeated", "jaccl from an older hostfile", "jaccl-ring")


@pytest.fixture
def gpus(cluster: Cluster) -> Iterator[None]:
    """Let every host seem to have CUDA devices."""
    nodes = [host.path(f"/dev/nvidia{number}") for host in cluster.hosts for number in range(4)]
    for node in nodes:
        node.touch()
    yield
    for node in nodes:
        node.unlink()


def words(cluster: Cluster, row: Row) -> list[str]:
    """Return the flags of a row, with its hostfile written."""
    if isinstance(row.hosts[0], int):
        return ["--hosts", ",".join(cluster.hosts[at].address for at in row.hosts), *row.flags]
    entries = []
    for at, second, rdma in row.hosts:
        host = cluster.hosts[at]
        ips = [host.address, host.address2] if second else [host.address]
        entries.append({"ssh": f"root@{host.address}", "ips": ips} | ({"rdma": rdma} if rdma else {}))
    data: Any = entries if row.newer is None else {"hosts": entries} | row.newer
    return ["--hostfile", cluster.json("hosts.json", data), *row.flags]


def launch(cluster: Cluster, argv: Sequence[str | Path]) -> Done:
    """Run a launcher in a network where host names and plain ssh work."""
    return cluster._run(argv, plain_ssh=True)


def collect(cluster: Cluster) -> list[dict[str, Any]]:
    """Return, and remove, what the ranks were given, by rank."""
    found = {}
    for host in cluster.hosts:
        for path in host.path(cluster.here).glob("given.*"):
            found[int(path.suffix[1:])] = json.loads(path.read_text())
            path.unlink()
    assert sorted(found) == list(range(len(found)))
    return [found[rank] for rank in range(len(found))]


def theirs(cluster: Cluster, row: Row, script: str) -> list[dict[str, Any]]:
    """Return what mlx.launch gives the ranks."""
    program = Path(sys.executable).with_name("mlx.launch")
    if not program.exists():
        pytest.skip("mlx.launch is not installed here")
    # Its default is this machine's; ours is tested in tests/unit/test_cuda.py.
    flags = words(cluster, row)
    done = launch(cluster, [program, *flags, "--python", sys.executable, script, "--lr", "a b"])
    assert done.returncode == 0, done.stderr
    return collect(cluster)


def of_the_job(env: dict[str, str]) -> dict[str, str]:
    """Return the variables that a launcher has set."""
    return {name: value for name, value in env.items() if name not in SESSION}


def differing(mine: dict[str, str], other: dict[str, str]) -> set[str]:
    """Return the variables with another value; ours has all that theirs has, and beside it only what is known."""
    assert set(mine) - set(other) == OURS
    paths = {"MLX_HOSTFILE", "MLX_IBV_DEVICES"} & set(mine)  # what is in the files is compared, not where they are
    return {name for name in set(other) - paths if mine.get(name) != other[name]}


@pytest.mark.sweep
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_plan_is_what_mlx_launch_gives_its_ranks(cluster: Cluster, row: Row) -> None:
    script = cluster.script(GIVEN)
    other = theirs(cluster, row, script)
    flags = [*words(cluster, row), "--python", sys.executable]
    done = launch(cluster, [*MLXLAUNCH, "run", "--dry-run", "--json", "--no-sync", *flags, script, "--lr", "a b"])
    assert (done.returncode, [line for line in done.stderr.splitlines() if "note: --env" not in line]) == (0, [])
    plan = json.loads(done.stdout)
    assert plan["world_size"] == len(plan["ranks"]) == len(other)
    given = {name for word in row.flags if "=" in word and (name := word.partition("=")[0])}
    given |= {word.partition("=")[0] for word in (row.newer or {}).get("envs", ())}
    differences = set()
    for rank, one in zip(plan["ranks"], other, strict=True):
        env, there = rank["env"], of_the_job(one["env"])
        if "--verbose" not in row.flags:
            hidden = {name for name, value in env.items() if value == "***"}
            assert hidden == given
            env |= {name: there[name] for name in hidden - set(row.differs or ())}
        differences |= differing(env, there)
        assert plan["files"] == {name: text.rstrip("\n") for name, text in one["files"].items() if text.strip()}
        assert (rank["argv"], rank["cwd"]) == ([one["python"], *one["argv"]], one["cwd"])
    assert differences == set(row.differs or ())


@pytest.mark.sweep
@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("row", [row for row in ROWS if row.name in RUN_TOO], ids=lambda row: row.name)
def test_ranks_are_given_what_mlx_launch_gives_them(cluster: Cluster, row: Row) -> None:
    script = cluster.script(GIVEN)
    other = theirs(cluster, row, script)
    done = launch(cluster, [*MLXLAUNCH, "run", *words(cluster, row), "--python", sys.executable, script, "--lr", "a b"])
    assert done.returncode == 0, done.stderr
    mine = collect(cluster)
    assert len(mine) == len(other)
    for one, there in zip(mine, other, strict=True):
        assert differing(of_the_job(one["env"]), of_the_job(there["env"])) == set()
        assert one["files"] == {name: text.rstrip("\n") for name, text in there["files"].items()}
        assert [one[name] for name in ("argv", "cwd", "python")] == [there[name] for name in ("argv", "cwd", "python")]
