"""The record of a job on the controller, and that nothing of it stays on the hosts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlxlaunch_ansible import Event, run_job, start_job, sync
from tests.integration.cluster import MLXLAUNCH, PATIENCE, Cluster, ansible_processes, events_of, last_run, read_until, run_dirs
from tests.lab.start import CHECKOUT
from tests.support.waiting import wait_until

SCHEMA = json.loads((CHECKOUT / "docs/events.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

NOISY = """
import os, sys
rank = int(os.environ["RANK"])
for n in range(50):
    os.write(1, b"out %d\\xff\\n" % n * 100)
    os.write(2, b"err %d" % n)
sys.exit(rank and 4)
"""


def assert_valid(events: list[dict[str, Any]]) -> None:
    """Hold a whole record to the schema, and to what a schema cannot say."""
    for event in events:
        VALIDATOR.validate(event)
    assert len({event["job"] for event in events}) == 1
    names = [event["event"] for event in events]
    assert names[0] == "job_started"
    assert names.index("job_finished") == len(names) - 1
    times = [event["time"] for event in events]
    assert times == sorted(times)


def test_schema_is_one_and_every_part_says_what_it_means() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    kinds = SCHEMA["properties"]["event"]["enum"]
    assert [f"#/$defs/{kind}" for kind in kinds] == [choice["$ref"] for choice in SCHEMA["oneOf"]]
    assert all("description" in SCHEMA["$defs"][kind] for kind in kinds)


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "job_launched"},
        {"time": "now"},
        {"rank": -1},
        {"length": 0},
        {"stream": "stdin"},
        {"data": "secret"},
        {"host": None},
    ],
)
def test_schema_refuses_what_is_wrong(wrong: dict[str, Any]) -> None:
    right = {"event": "rank_output", "job": "20260131-142501-9c41f0", "time": 1.5, "host": "a", "rank": 0}
    right |= {"stream": "stdout", "offset": 0, "length": 1}
    assert VALIDATOR.is_valid(right)
    assert not VALIDATOR.is_valid(right | wrong)


def test_record_tells_the_whole_story_of_a_job(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory({"node1": {}, "node2": {"mlx_slots": 2}}), cluster.script(NOISY), text=False)
    assert done.returncode == 4
    run_dir = last_run(cluster)
    events = events_of(run_dir)
    assert_valid(events)
    assert events[0]["world_size"] == 3
    assert events[0]["hosts"] == ["node1", "node2"]
    assert events[0]["job"] == run_dir.name

    def about(name: str) -> list[tuple[str, int]]:
        return sorted((event["host"], event["rank"]) for event in events if event["event"] == name)

    assert about("host_ready") == [("node1", None), ("node2", None)]
    assert about("rank_started") == about("rank_exited") == [("node1", 0), ("node2", 1), ("node2", 2)]
    order = [event["event"] for event in events if event["event"] != "rank_output"]
    assert order.index("rank_started") > max(at for at, name in enumerate(order) if name == "host_ready")
    finished = events[-1]
    assert finished["returncode"] == 4
    assert finished["cause"] == "rank_failed"
    assert [rank["host"] for rank in finished["ranks"]] == ["node1", "node2", "node2"]
    assert finished["first_failure"]["rank"] in (1, 2)
    assert finished["first_failure"]["tail"][-1].endswith("err 49")
    assert finished["run_dir"] == str(run_dir)


def test_output_events_cover_the_logs_exactly(cluster: Cluster) -> None:
    cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), cluster.script(NOISY.replace("rank and 4", "0")), text=False)
    run_dir = last_run(cluster)
    events = [event for event in events_of(run_dir) if event["event"] == "rank_output"]
    for rank in (0, 1):
        for stream, expected in (("stdout", 50), ("stderr", 50)):
            log = (run_dir / f"{rank}/{stream}.log").read_bytes()
            end = 0
            for event in events:
                if (event["rank"], event["stream"]) == (rank, stream):
                    assert event["offset"] == end
                    end += event["length"]
            assert end == len(log)
            assert log.count(b"\n" if stream == "stdout" else b"err") == expected * (100 if stream == "stdout" else 1)


def test_a_refused_job_has_a_record_too(cluster: Cluster) -> None:
    inventory = cluster.inventory({"node1": {}, "node2": {"mlx_python": "/no/python"}})
    assert cluster.mlxlaunch("-i", inventory, cluster.script("")).returncode == 3
    events = events_of(last_run(cluster))
    assert_valid(events)
    assert [event["host"] for event in events if event["event"] == "host_refused"] == ["node2"]
    assert not [event for event in events if event["event"].startswith("rank_")]
    assert events[-1]["problems"] == {"node2": ["python /no/python is not there, or cannot be run"]}
    assert [rank["returncode"] for rank in events[-1]["ranks"]] == [None, None]


def test_events_of_dry_run_and_deploy_keep_to_the_schema(cluster: Cluster) -> None:
    events: list[Event] = []
    with cluster.lab.enter():
        with start_job(["127.0.0.1"], cluster.script("", hosts=[]), dry_run=True, on_event=events.append) as job:
            job.wait(PATIENCE)
        sync(["127.0.0.1"], on_event=events.append)
    assert [event.event for event in events] == ["job_planned", "deploy_finished"]
    for event in events:
        VALIDATOR.validate(event.to_json())


def test_record_is_the_users_own(cluster: Cluster) -> None:
    """In the user's state directory, readable by nobody else, whatever the umask."""
    argv = ["/bin/sh", "-c", 'umask 0; exec "$@"', "sh", *MLXLAUNCH, "run", "-n", "1", cluster.script("print(1)")]
    done = cluster.lab.run(argv, env=cluster.env, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    (run_dir,) = run_dirs(cluster)
    assert run_dir.parent == Path(cluster.env["XDG_STATE_HOME"]) / "mlxlaunch/runs"
    modes = {str(path.relative_to(run_dir)): stat.S_IMODE(path.stat().st_mode) for path in (run_dir, *run_dir.rglob("*"))}
    assert modes == {".": 0o700, "0": 0o700, "job.json": 0o600, "events.jsonl": 0o600, "0/stdout.log": 0o600, "0/stderr.log": 0o600}


def test_log_dir_says_where_records_go(cluster: Cluster) -> None:
    script = cluster.script("")
    inventory = cluster.inventory(["node1"])
    assert cluster.mlxlaunch("-i", inventory, "--log-dir", "logs here", script).returncode == 0
    (one,) = (cluster.here / "logs here").iterdir()
    assert_valid(events_of(one))
    done = cluster.playbook(inventory, "-e", f"mlx_script={script}", "-e", f"mlx_log_dir={cluster.here}/there")
    assert done.returncode == 0, done.stdout + done.stderr
    (two,) = (cluster.here / "there").iterdir()
    assert_valid(events_of(two))
    assert run_dirs(cluster) == []


def test_old_records_go_with_every_way_to_launch(cluster: Cluster) -> None:
    script, logs = cluster.script(""), cluster.here / "logs"
    inventory = cluster.inventory(["node1"])
    for _each in range(4):
        assert cluster.mlxlaunch("-i", inventory, "--log-dir", logs, script).returncode == 0
    ways = [
        (3, lambda: cluster.mlxlaunch("-i", inventory, "--log-dir", logs, "--keep-runs", "3", script).returncode),
        (
            2,
            lambda: (
                cluster.playbook(
                    inventory, *(f"-emlx_{each}" for each in (f"script={script}", f"log_dir={logs}", "keep_runs=2"))
                ).returncode
            ),
        ),
        (1, lambda: run_here(cluster, inventory, script, log_dir=logs, keep_runs=1)),
    ]
    for keep, launch in ways:
        assert launch() == 0
        wait_until(lambda keep=keep: len(list(logs.iterdir())) == keep, f"the newest {keep} are left")


def run_here(cluster: Cluster, inventory: Path, script: str, **settings: Any) -> int:
    with cluster.lab.enter():
        return run_job(str(inventory), script, **settings).returncode


def test_without_xdg_state_home_records_go_to_the_home_directory(cluster: Cluster) -> None:
    del cluster.env["XDG_STATE_HOME"]
    home = cluster.here / "home"
    home.mkdir()
    done = cluster.mlxlaunch("-n", "1", cluster.script(""), env={"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert len(list((home / ".local/state/mlxlaunch/runs").iterdir())) == 1


@pytest.fixture
def temporary(cluster: Cluster) -> Iterator[Path]:
    """Give what is launched a temporary directory of its own, with a name as short as one usually has."""
    path = Path(tempfile.mkdtemp(prefix="mlt-", dir="/tmp"))
    cluster.env["TMPDIR"] = str(path)
    yield path
    shutil.rmtree(path)


def left_on(cluster: Cluster) -> list[str]:
    """What of any job is still on a host, or here in this test's temporary directory."""
    return cluster.left_files() + [str(path) for path in Path(cluster.env["TMPDIR"]).iterdir()]


@pytest.mark.versions
@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    ("source", "status"),
    [("print('x')", 0), ("import os; print('x' * 100_000); os.kill(os.getpid(), 9)", 137), ("", 3)],
    ids=["success", "failure", "refused"],
)
def test_nothing_stays_on_hosts_or_in_the_temporary_directory(cluster: Cluster, source: str, status: int) -> None:
    hosts = {"node1": {}, "node2": {}, "node3": {"mlx_python": "/no/python"} if status == 3 else {}}
    done = cluster.mlxlaunch("-i", cluster.inventory(hosts), cluster.script(source))
    assert done.returncode == status, done.stderr
    assert left_on(cluster) == []


@pytest.mark.versions
def test_temporary_directory_s_name_may_be_too_long_for_sockets(cluster: Cluster) -> None:
    path = cluster.here / ("x" * 100)
    path.mkdir()
    cluster.env["TMPDIR"] = str(path)
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1"]), cluster.script("print('x')"))
    assert (done.returncode, done.stdout) == (0, "x\n"), done.stderr
    assert left_on(cluster) == []


FOREVER = "import time; print('up', flush=True); time.sleep(600)"


@pytest.mark.usefixtures("temporary")
def test_nothing_stays_after_an_interrupt(cluster: Cluster) -> None:
    argv = [*MLXLAUNCH, "run", "-i", cluster.inventory(["node1", "node2"]), cluster.script(FOREVER)]
    with cluster.started(argv) as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b"up\nup\n")
    assert process.returncode == 143
    assert left_on(cluster) == []
    events = events_of(last_run(cluster))
    assert_valid(events)
    assert events[-1]["cause"] == "interrupted"


@pytest.mark.versions
def test_nothing_stays_when_ansible_is_killed(cluster: Cluster, temporary: Path) -> None:
    """It cannot tidy up then, what it keeps in files included."""
    argv = [*MLXLAUNCH, "run", "-i", cluster.inventory(["node1", "node2"]), cluster.script(FOREVER)]
    with cluster.started(argv) as process:
        assert process.stdout
        read_until(process.stdout.fileno(), b"up\nup\n")
        assert len(list(temporary.iterdir())) == 1
        main, _worker = ansible_processes(process)
        os.kill(main, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert left_on(cluster) == []
