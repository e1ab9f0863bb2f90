"""What ranks print is what a reader gets: at once, unchanged, in whole lines, to the last word."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

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

# Every byte there is, lines that end in three ways, characters cut in the middle, and no newline at the end.
PIECES = [bytes(range(256)), b"one\r\ntwo\rthree\n", "größe 尺寸 🖥".encode()[:-2], "🖥".encode()[-2:], b"\n\n", b"\x1b[31mred\x1b[0m\tend"]
PIECEMEAL = f"""
import os
for piece in {PIECES!r}:
    os.write(1, piece)
    os.write(2, piece[::-1])
"""
WHOLE = b"".join(PIECES), b"".join(piece[::-1] for piece in PIECES)

# Ansible's default callback, told apart from ours by the word it has for a failed task.
OTHERS = ("ansible.builtin.default", "minimal", "oneline")


@pytest.fixture
def inventory(cluster: Cluster) -> Path:
    return cluster.inventory(["node1", "node2", "node3", "node4"])


def playbook_argv(inventory: Path, script: str, *more: str) -> list[str]:
    return [ANSIBLE_PLAYBOOK, "-i", str(inventory), PLAYBOOK, "-e", f"mlx_script={script}", *more]


def logged(run_dir: Path, rank: int) -> tuple[bytes, bytes]:
    return (run_dir / f"{rank}/stdout.log").read_bytes(), (run_dir / f"{rank}/stderr.log").read_bytes()


# -- unchanged


def test_bytes_pass_unchanged_and_streams_apart(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1"])
    script = cluster.script(PIECEMEAL)
    done = cluster.mlxlaunch("-i", inventory, script, text=False)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == WHOLE
    assert logged(last_run(cluster), 0) == WHOLE
    done = cluster.playbook(inventory, "-e", f"mlx_script={script}", text=False)
    assert done.returncode == 0, done.stderr
    assert WHOLE[0] in done.stdout
    assert done.stderr == WHOLE[1]


def test_each_rank_has_its_own_log(cluster: Cluster, inventory: Path) -> None:
    script = cluster.script("""
import os
rank = int(os.environ["RANK"])
os.write(1, b"%d\\xff" % rank * 100_000)
os.write(2, b"%d\\xfe" % rank * 30_000)
""")
    done = cluster.mlxlaunch("-i", inventory, script, text=False)
    assert done.returncode == 0
    for rank in range(4):
        assert logged(last_run(cluster), rank) == (b"%d\xff" % rank * 100_000, b"%d\xfe" % rank * 30_000)
    assert len(done.stdout) >= 4 * 200_000  # and newlines between ranks that wrote none


def test_last_words_of_a_rank_that_is_killed_are_not_lost(cluster: Cluster) -> None:
    """REFERENCE, mlx.launch 2: of 1200 lines, 1200, 0, 0, 155 and 0 arrived in five runs."""
    script = cluster.script("""
import os
for n in range(1200):
    os.write(1, b"last words %04d\\n" % n)
os.kill(os.getpid(), 9)
""")
    expected = "".join(f"last words {n:04}\n" for n in range(1200))
    inventory = cluster.inventory(["node1"])
    for _ in range(5):
        done = cluster.mlxlaunch("-i", inventory, script)
        assert done.returncode == 137
        assert done.stdout == expected


def test_output_of_a_grandchild_that_outlives_its_rank_arrives(cluster: Cluster) -> None:
    script = cluster.script("""
import os, signal
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"child's last\\n"), os._exit(0)))
    os.write(1, b"child\\n")
    while True: signal.pause()
os.read(os.open(os.environ["GATE"], os.O_RDONLY), 1)
""")
    with cluster.gate(cluster.hosts[0], "gate") as gate:
        argv = [*MLXLAUNCH, "run", "-i", cluster.inventory(["node1"]), "--env", f"GATE={gate.path}", script]
        with cluster.started(argv) as process:
            assert process.stdout
            seen = read_until(process.stdout.fileno(), b"child\n")
            gate.open()
            out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert seen + out == b"child\nchild's last\n"
    assert b"left processes behind" in err


# -- at once


TOKENS = """
import os
gate = open(os.environ["GATE"], "rb", 0)
for n in range(5):
    os.write(1, b"token%d " % n)
    gate.read(1)
os.write(1, b"end\\n")
"""


@contextmanager
def token_stream(cluster: Cluster, argv: Sequence[str | os.PathLike[str]], **options: object) -> Iterator[bytes]:
    """Let a rank write each token only after the one before it has been read."""
    seen = b""
    with cluster.gate(cluster.hosts[0], "gate") as gate, cluster.started(argv, env={"GATE": gate.path}, **options) as process:
        assert process.stdout
        for n in range(5):
            seen = seen[-100:] + read_until(process.stdout.fileno(), b"token%d " % n)
            gate.open()
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        yield seen + out


@pytest.fixture
def gated(cluster: Cluster) -> Path:
    return cluster.inventory(["node1"], mlx_env={"GATE": str(cluster.here / "gate")})


def test_a_token_stream_passes_token_by_token(cluster: Cluster, gated: Path) -> None:
    with token_stream(cluster, [*MLXLAUNCH, "run", "-i", gated, cluster.script(TOKENS)]) as out:
        assert out.endswith(b"token4 end\n")


def test_a_token_stream_passes_through_ansible_playbook(cluster: Cluster, gated: Path) -> None:
    with token_stream(cluster, playbook_argv(gated, cluster.script(TOKENS)), cwd=CHECKOUT) as out:
        assert b"token4 end\n" in out


@pytest.mark.parametrize("callback", OTHERS[:2])
def test_output_is_live_with_any_other_callback_when_piped(cluster: Cluster, gated: Path, callback: str) -> None:
    argv = playbook_argv(gated, cluster.script(TOKENS))
    with cluster_callback(cluster, callback), token_stream(cluster, argv, cwd=CHECKOUT) as out:
        assert b"token4 end" in out


@contextmanager
def cluster_callback(cluster: Cluster, name: str) -> Iterator[None]:
    cluster.env["ANSIBLE_STDOUT_CALLBACK"] = name
    yield
    del cluster.env["ANSIBLE_STDOUT_CALLBACK"]


# -- complete, whatever is at the other end


COUNTING = """
import os, sys
rank = os.environ["RANK"]
for n in range(300):
    print(f"rank {rank} line {n:03}", flush=True)
print(f"rank {rank} to stderr", file=sys.stderr, flush=True)
"""


def assert_complete(text: str) -> None:
    """All lines of all four ranks, each rank's in order, none mixed with another."""
    mixed = [line for line in text.splitlines() if "line" in line and not re.fullmatch(r"rank \d line \d{3}", line)]
    for rank in range(4):
        assert re.findall(rf"^rank {rank} line (\d+)\r?$", text, re.MULTILINE) == [f"{n:03}" for n in range(300)], mixed
    assert len(re.findall(r"line \d+\r?$", text, re.MULTILINE)) == 1200


@pytest.mark.parametrize("callback", ["", *OTHERS[1:]])
def test_output_of_a_playbook_is_complete_with_any_callback(cluster: Cluster, inventory: Path, callback: str) -> None:
    environment = {"ANSIBLE_STDOUT_CALLBACK": callback} if callback else {}
    done = cluster.playbook(inventory, "-e", f"mlx_script={cluster.script(COUNTING)}", env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_complete(done.stdout)
    shown = done.stderr if not callback else done.stdout + done.stderr
    assert sorted(re.findall(r"rank (\d) to stderr", shown)) == ["0", "1", "2", "3"]


def test_output_does_not_need_an_input(cluster: Cluster, inventory: Path) -> None:
    """`< /dev/null`, which every run here has, and an input that is closed altogether."""
    script = cluster.script(COUNTING)
    for argv in ([*MLXLAUNCH, "run", "-i", str(inventory), script], playbook_argv(inventory, script)):
        done = cluster.lab.run(["/bin/sh", "-c", 'exec "$@" <&-', "sh", *argv], env=cluster.env, cwd=CHECKOUT, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        assert_complete(done.stdout)


@pytest.mark.parametrize("callback", ["", "ansible.builtin.default"])
def test_output_of_a_playbook_is_complete_on_a_terminal(cluster: Cluster, inventory: Path, callback: str) -> None:
    argv = playbook_argv(inventory, cluster.script(COUNTING))
    code, out = on_a_terminal(cluster, argv, env={"ANSIBLE_STDOUT_CALLBACK": callback} if callback else {})
    assert code == 0, out
    assert_complete(out.decode())


def on_a_terminal(cluster: Cluster, argv: Sequence[str | os.PathLike[str]], **options: object) -> tuple[int, bytes]:
    """Run a program on a pseudoterminal; return its exit status and what was shown."""
    ours, theirs = pty.openpty()
    out = b""
    try:
        with cluster.started(argv, stdin=theirs, stdout=theirs, stderr=theirs, **({"cwd": CHECKOUT} | options)) as process:
            os.close(theirs)
            try:
                while data := os.read(ours, 65536):
                    out += data
            except OSError:  # Linux says so at the end
                pass
            return process.wait(PATIENCE), out
    finally:
        os.close(ours)


# -- in whole lines


# Of each stream all bytes are one letter, small but for those at the ends of a line.
FRAGMENTS = """
import os, random
rank = int(os.environ["RANK"])
random.seed(rank)
for n in range(100):
    stream = 1 + n % 2 * (rank % 2)
    letter = "abcdefgh"[2 * rank + stream - 1]
    line = (letter.upper() + letter * random.randrange(1, 60) + letter.upper() + "\\n").encode()
    while line:
        size = random.randrange(1, 30)
        os.write(stream, line[:size])
        line = line[size:]
"""


def test_lines_of_ranks_never_mix(cluster: Cluster, inventory: Path) -> None:
    """Also when stdout and stderr are one place. A line may be broken when its rank stalls, four times in a second."""
    done = cluster.mlxlaunch("-i", inventory, cluster.script(FRAGMENTS), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    shown: dict[str, str] = {}
    for line in done.stdout.splitlines():
        assert len(set(line.lower())) == 1, line
        shown[line[0].lower()] = shown.get(line[0].lower(), "") + line
    run_dir = last_run(cluster)
    logs = {log[:1].lower(): log.replace("\n", "") for rank in range(4) for log in map(bytes.decode, logged(run_dir, rank)) if log}
    assert shown == logs
    assert sum(text.count(letter.upper()) for letter, text in shown.items()) == 800
    times = [event["time"] for event in events_of(run_dir) if event["event"] == "rank_output"]
    assert len(done.stdout.splitlines()) - 400 <= 4 * (times[-1] - times[0])


def test_prefix_names_rank_and_host_before_each_line(cluster: Cluster) -> None:
    script = cluster.script("import os, sys; print('a\\nb'); print('e', file=sys.stderr)")
    inventory = cluster.inventory(["node1", "node3"])
    expected = ["[0 node1] a", "[0 node1] b", "[1 node3] a", "[1 node3] b"]
    done = cluster.mlxlaunch("-i", inventory, "--prefix", script)
    assert sorted(done.stdout.splitlines()) == expected
    assert sorted(done.stderr.splitlines()) == ["[0 node1] e", "[1 node3] e"]
    done = cluster.playbook(inventory, "-e", f"mlx_script={script}", "-e", "mlx_prefix=true")
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("[")) == expected


def test_colour_is_for_terminals_and_can_be_turned_off(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1"])
    argv = [*MLXLAUNCH, "run", "--prefix", "-i", inventory, cluster.script("raise SystemExit(5)\n")]
    code, shown = on_a_terminal(cluster, argv)
    assert code == 5
    assert re.search(rb"\x1b\[[0-9;]+mmlxlaunch: rank 0 on node1 exited with code 5", shown), shown
    code, shown = on_a_terminal(cluster, argv, env={"NO_COLOR": "1"})
    assert code == 5
    assert b"\x1b" not in shown
    done = cluster.mlxlaunch(*argv[4:])
    assert "mlxlaunch: rank 0 on node1 exited with code 5" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


# -- whatever the host's shell says


def test_a_login_shell_that_talks_does_not_disturb(cluster: Cluster) -> None:
    """bash reads .bashrc for a command over ssh, zsh .zshenv."""
    talk = "echo Welcome to $HOSTNAME; echo noise >&2; printf '\\0\\377no newline'\n"
    for name in ("/root/.bashrc", "/root/.zshenv"):
        cluster.hosts[0].path(name).write_text(talk)
    passwd = cluster.hosts[1].path("/etc/passwd")
    before = passwd.read_text()
    passwd.write_text(re.sub(r"^(root:.*:)[^:]*$", r"\1/bin/zsh", before, count=1, flags=re.MULTILINE))
    cluster.hosts[1].path("/root/.zshenv").write_text(talk)
    shell = "/bin/zsh" if Path("/bin/zsh").exists() else "/bin/bash"
    try:
        done = cluster.mlxlaunch("-i", cluster.inventory(["node1", "node2"]), cluster.script("import os; print(os.environ['SHELL'])"))
    finally:
        passwd.write_text(before)
        for host in cluster.hosts[:2]:
            for name in ("/root/.bashrc", "/root/.zshenv"):
                host.path(name).unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["/bin/bash", shell]
    assert done.stderr == ""


def test_python_is_not_asked_for_on_the_hosts_path(cluster: Cluster) -> None:
    """The rank's own interpreter is named by path; what PATH would find plays no part."""
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1"]), cluster.script("import sys; print(sys.executable, sys.path[0])"))
    assert done.stdout == f"{sys.executable} {cluster.here}\n"
    assert len(run_dirs(cluster)) == 1


def test_an_inventory_that_takes_long_is_told_once(cluster: Cluster) -> None:
    told = b"mlxlaunch: waiting for Ansible to read the inventory\n"
    host = {"ansible_connection": "local", "mlx_python": sys.executable}
    answer = json.dumps({"mlx": {"hosts": ["localhost"]}, "_meta": {"hostvars": {"localhost": host}}})
    with cluster.gate(None, "asked") as gate:
        inventory = cluster.here / "slow"
        inventory.write_text(f"#!/bin/sh\nhead -c 1 '{gate.path}' >/dev/null\necho '{answer}'\n")
        inventory.chmod(0o755)
        with cluster.started([*MLXLAUNCH, "run", "-i", inventory, cluster.script("print('x')")]) as process:
            assert process.stderr
            read_until(process.stderr.fileno(), told)
            gate.open()
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, b"x\n"), err
    assert told not in err
