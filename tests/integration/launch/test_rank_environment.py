"""What a rank finds: variables, arguments, working directory; unchanged, the same everywhere, and nobody else's business."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import sys
import termios
from pathlib import Path
from typing import Any

from mlxlaunch_ansible import run_job
from tests.integration.cluster import (
    ANSIBLE_PLAYBOOK,
    MLXLAUNCH,
    PATIENCE,
    PLAYBOOK,
    Cluster,
    events_of,
    last_run,
    read_until,
    run_dirs,
)
from tests.lab.start import CHECKOUT
from tests.support.processes import command_lines
from tests.support.waiting import wait_until

# Tells everything that a rank is given. As ASCII, so that nothing in between can be what changes it.
GIVEN = """
import json, os, sys
given = {"argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ), "python": sys.executable}
given["ring"] = open(os.environ["MLX_HOSTFILE"]).read()
given["ring_mode"] = os.stat(os.environ["MLX_HOSTFILE"]).st_mode & 0o777
print("GIVEN" + json.dumps(given), flush=True)
"""

# Everything that a shell, a template, a line-based format or a narrow encoding would change.
HARD = [
    "two  words ",
    'it\'s "quoted"',
    "$HOME ${PATH} $(id) `id`",
    "line\nline\r\n",
    "größe 尺寸 🖥",
    "{{ 6 * 7 }} {% raw %}",
    "*",
    "\\n \\\\",
    "",
    "-x",
    "~",
]
TEMPLATED = "{{ 6 * 7 }} {% raw %}"


def given(text: str) -> list[dict[str, Any]]:
    """What the ranks of GIVEN said, by rank."""
    said = [json.loads(line.partition("GIVEN")[2]) for line in text.splitlines() if "GIVEN" in line]
    return sorted(said, key=lambda one: int(one["env"]["MLX_RANK"]))


def test_a_rank_knows_its_place(cluster: Cluster) -> None:
    inventory = cluster.inventory({"node1": {"mlx_slots": 2}, "node2": {}})
    done = cluster.mlxlaunch("-i", inventory, cluster.script(GIVEN))
    assert done.returncode == 0, done.stderr
    names = ("MLX_RANK", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "PYTHONUNBUFFERED")
    places = [tuple(one["env"][name] for name in names) for one in given(done.stdout)]
    master = (cluster.hosts[0].address, "32326", "1")
    assert places == [("0", "0", "3", "0", "2", *master), ("1", "1", "3", "1", "2", *master), ("2", "2", "3", "0", "1", *master)]
    for one in given(done.stdout):
        assert json.loads(one["ring"]) == [["198.18.0.11:32323"], ["198.18.0.11:32324"], ["198.18.0.12:32325"]]
        assert one["ring_mode"] == 0o600
    # What all ranks of a host read is there once.
    first, second, other = (one["env"]["MLX_HOSTFILE"] for one in given(done.stdout))
    assert first == second != other
    for one in given(done.stdout):
        assert not {"COLUMNS", "LINES", "MLX_RING_VERBOSE"} & one["env"].keys()


def test_more_specific_variables_win_and_the_rest_is_kept(cluster: Cluster) -> None:
    """cluster < group < nested group < host < command line, from inventory files, group_vars and host_vars."""
    folder = cluster.here / "inventory"
    inventory = {
        "all": {"vars": {"mlx_env": dict.fromkeys("ABCDEF", "all")}},
        "mlx": {"children": {"studios": {}, "minis": {}}, "vars": {"mlx_env": dict.fromkeys("BCDEF", "mlx")}},
        "studios": {"hosts": {"node1": {"ansible_host": "198.18.0.11", "mlx_env": {"E": "host", "F": "host"}}}},
        "minis": {"hosts": {"node2": {"ansible_host": "198.18.0.12"}}},
    }
    (folder / "group_vars").mkdir(parents=True)
    (folder / "host_vars").mkdir()
    (folder / "hosts.yml").write_text(json.dumps(inventory))
    (folder / "group_vars/studios.yml").write_text('mlx_env: {C: studios, D: studios, E: studios, G: "{{ word }}"}\nword: templated\n')
    (folder / "host_vars/node2.yml").write_text("mlx_env: {D: host_vars, F: host_vars}\n")
    (folder / "group_vars/mlx.yml").write_text(f"mlx_python: {sys.executable}\n")
    script = cluster.script(GIVEN)
    done = cluster.mlxlaunch("-i", folder, "--env", "F=flag", "--env", "H=flag", script)
    assert done.returncode == 0, done.stderr
    layers = [{name: one["env"].get(name) for name in "ABCDEFGH"} for one in given(done.stdout)]
    assert layers[0] == {"A": "all", "B": "mlx", "C": "studios", "D": "studios", "E": "host", "F": "flag", "G": "templated", "H": "flag"}
    assert layers[1] == {"A": "all", "B": "mlx", "C": "mlx", "D": "host_vars", "E": "mlx", "F": "flag", "G": None, "H": "flag"}
    # A playbook's own word is the strongest.
    done = cluster.playbook(folder, "-e", json.dumps({"mlx_script": script, "mlx_env": {"F": "extra"}}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(one["env"]["A"], one["env"]["F"]) for one in given(done.stdout)] == [("all", "extra")] * 2


def hard_places(cluster: Cluster) -> tuple[str, str]:
    """Put GIVEN where its path is hard, and make such a working directory; return both paths."""
    script = cluster.script(GIVEN, 'it\'s a $(id) größe {{ 1 }}/train "x".py')
    cwd = str(Path(script).parent)
    return script, cwd


def assert_unchanged(said: list[dict[str, Any]], words: list[str], script: str, cwd: str) -> None:
    assert len(said) == 2
    for one in said:
        assert one["argv"] == [script, *words]
        assert one["cwd"] == cwd
        assert [one["env"].get(f"HARD{n}") for n in range(len(words))] == words


def test_words_from_the_command_line_arrive_unchanged(cluster: Cluster) -> None:
    script, cwd = hard_places(cluster)
    env = [word for n, value in enumerate(HARD) for word in ("--env", f"HARD{n}={value}")]
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), "--cwd", cwd, *env, script, *HARD)
    assert done.returncode == 0, done.stderr
    assert_unchanged(given(done.stdout), HARD, script, cwd)


def test_words_from_python_arrive_unchanged(cluster: Cluster) -> None:
    script, cwd = hard_places(cluster)
    env = {f"HARD{n}": value for n, value in enumerate(HARD)}
    with cluster.lab.enter():
        result = run_job(cluster.inventory(["node1", "node2"]), script, args=HARD, env=env, cwd=cwd, check=True)
    said = given("".join(path.read_text() for rank in result.ranks.values() if (path := rank.stdout)))
    assert_unchanged(said, HARD, script, cwd)


def test_words_from_a_playbook_arrive_unchanged(cluster: Cluster) -> None:
    """All but braces, which are Ansible's."""
    script, cwd = (text.replace("{{ 1 }}", "") for text in hard_places(cluster))
    cluster.script(GIVEN, str(Path(script).relative_to(cluster.here)))
    words = [word for word in HARD if word != TEMPLATED]
    env = {f"HARD{n}": value for n, value in enumerate(words)}
    variables = {"mlx_script": script, "mlx_args": words, "mlx_cwd": cwd, "mlx_env": env}
    done = cluster.playbook(cluster.inventory(["node1", "node2"]), "-e", json.dumps(variables))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_unchanged(given(done.stdout), words, script, cwd)


def test_a_command_gets_its_words_unchanged(cluster: Cluster) -> None:
    cluster.script(GIVEN)
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1"]), "--", sys.executable, "-c", program, *HARD)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == HARD


SECRET = "hunter2-sesame"
WAITING = """
import os
print("WAITING", os.environ["MLX_RANK"], os.environ["TOKEN"] == os.environ["EXPECTED"][::-1], flush=True)
open(os.environ["GATE"], "rb", 0).read(1)
"""


def test_environment_values_are_nowhere_to_be_seen(cluster: Cluster) -> None:
    """Not in a process list on any machine, not in what Ansible says however verbose, not in the record."""
    host = cluster.hosts[0]
    inventory = cluster.mapping(["node1"])
    with cluster.gate(host, "gate") as gate:
        script = cluster.script(WAITING)
        env = {"TOKEN": SECRET, "EXPECTED": SECRET[::-1], "GATE": gate.path}
        inventory["mlx"]["vars"]["mlx_env"] = env
        path = cluster.json("hosts.yml", inventory)
        with cluster.started([ANSIBLE_PLAYBOOK, "-vvv", "-i", path, PLAYBOOK, "-e", f"mlx_script={script}"], cwd=CHECKOUT) as playbook:
            assert playbook.stdout
            seen = read_until(playbook.stdout.fileno(), b"WAITING 0 True\n")
            assert_no_process_tells(cluster, SECRET)
            gate.open()
            out, err = playbook.communicate(timeout=PATIENCE)
        assert playbook.returncode == 0, (seen + out + err).decode()
        assert SECRET.encode() not in seen + out + err
        # From Python; --env would be in the launcher's own arguments, where whoever typed it has put it.
        program = f"from mlxlaunch_ansible import run_job; run_job({path!r}, {script!r}, env={{'TOKEN': {SECRET!r}}}, check=True)"
        with cluster.started([sys.executable, "-"], stdin=-1) as process:
            assert process.stdin
            process.stdin.write(program.encode())
            process.stdin.close()
            process.stdin = None
            wait_for_rank(cluster)
            assert_no_process_tells(cluster, SECRET)
            gate.open()
            out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, (out + err).decode()
        assert SECRET.encode() not in out + err
    for run_dir in run_dirs(cluster):
        for file in run_dir.rglob("*"):
            assert file.is_dir() or SECRET not in file.read_text(), file


def wait_for_rank(cluster: Cluster) -> None:
    """Wait until the last job's rank 0 has said that it waits."""
    wait_until(lambda: len(run_dirs(cluster)) == 2 and "WAITING 0 True" in read(last_run(cluster) / "0/stdout.log"), "rank 0 waits")


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def assert_no_process_tells(cluster: Cluster, secret: str) -> None:
    """This machine sees the processes of all hosts."""
    lines = [" ".join(words) for _pid, words in command_lines()]
    assert [line for line in lines if secret in line] == []
    assert any("train.py" in line for line in lines)  # the rank itself was among them


def test_variables_that_differ_between_hosts_are_told(cluster: Cluster) -> None:
    """mlx#3933: one host's profile sets what another's does not."""
    file = cluster.hosts[1].path("/root/.ssh/environment")
    file.write_text("MLX_METAL_FAST_SYNCH=1\nPYTHONHASHSEED=0\nUNRELATED=1\n")
    inventory = cluster.inventory(["node1", "node2"])
    script = cluster.script("")
    done = cluster.mlxlaunch("-i", inventory, script)
    assert done.returncode == 0, done.stderr
    warnings = done.stderr.splitlines()
    assert len(warnings) == 2, done.stderr
    assert all(line.startswith("mlxlaunch: warning: ") for line in warnings)
    assert "MLX_METAL_FAST_SYNCH differs between hosts: unset on node1; one value on node2" in warnings[0]
    assert "PYTHONHASHSEED" in warnings[1]
    # What the job declares is the same everywhere.
    done = cluster.mlxlaunch("-i", inventory, "--env", "MLX_METAL_FAST_SYNCH=0", "--env", "PYTHONHASHSEED=1", script)
    assert (done.returncode, done.stderr) == (0, "")
    file.unlink()


def test_without_cwd_ranks_run_where_the_launch_was_typed(cluster: Cluster) -> None:
    script = cluster.script(GIVEN)
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), script)
    assert [one["cwd"] for one in given(done.stdout)] == [str(cluster.here)] * 2


def test_a_working_directory_that_only_some_hosts_have_is_told(cluster: Cluster) -> None:
    script = cluster.script(GIVEN)
    only_here = cluster.here / "only here"
    only_here.mkdir()
    cluster.hosts[0].path(only_here).mkdir()
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), script, cwd=only_here)
    assert done.returncode == 0, done.stderr
    assert [one["cwd"] for one in given(done.stdout)] == [str(only_here), "/root"]
    assert f"the working directory differs between hosts: '{only_here}' on node1; '/root' on node2" in done.stderr


def test_ranks_know_the_size_of_the_terminal(cluster: Cluster) -> None:
    script = cluster.script("import os; print('SIZE', os.environ.get('COLUMNS'), os.environ.get('LINES'), flush=True)")
    inventory = cluster.inventory(["node1"])
    for argv in ([*MLXLAUNCH, "run", "-i", inventory, script], [ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK, "-e", f"mlx_script={script}"]):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 37, 123, 0, 0))
        try:
            with cluster.started(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=CHECKOUT) as process:
                os.close(theirs)
                read_until(ours, b"SIZE 123 37\r\n")
                drain(ours)
                assert process.wait(PATIENCE) == 0
        finally:
            os.close(ours)


def drain(fd: int) -> bytes:
    """Read a pseudoterminal to its end."""
    got = b""
    try:
        while data := os.read(fd, 65536):
            got += data
    except OSError:
        pass
    return got


def test_host_facts_are_in_the_record(cluster: Cluster) -> None:
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), "--verbose", cluster.script(""))
    assert done.returncode == 0, done.stderr
    ready = {event["host"]: event for event in events_of(last_run(cluster)) if event["event"] == "host_ready"}
    assert {host: (fact["hostname"], fact["platform"], fact["cwd"]) for host, fact in ready.items()} == {
        name: (name, "linux", str(cluster.here)) for name in ("node1", "node2")
    }
    for name in ready:
        assert f"mlxlaunch: {name} is ready (working directory {cluster.here}, " in done.stderr
