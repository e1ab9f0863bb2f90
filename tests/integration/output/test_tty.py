"""At a terminal: pdb in a rank or in all, a terminal of its own for a rank, and ours as it was afterwards."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.integration.cluster import MLXLAUNCH, PATIENCE, Cluster, Gate, last_run
from tests.integration.launch.test_old_python import python39
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sweep

PDB = r"\(Pdb\) "
DEBUGGED = """
import os
rank = int(os.environ["RANK"])
value = rank * 10
if os.environ["WHO"] in (str(rank), "all"):
    breakpoint()
print("rank", rank, "has", value, flush=True)
"""
# Says what its terminal is like, then what it reads, line by line.
LINES = """
import os, sys
if os.environ["RANK"] == "0":
    sys.exit()
size = os.get_terminal_size(0)
alone = os.getsid(0) == os.getpid() == os.getpgrp() == os.tcgetpgrp(0)
print([os.isatty(fd) for fd in (0, 1, 2)], alone, size.columns, size.lines, os.environ.get("TERM"), os.environ.get("COLUMNS"))
import readline
while True:
    try:
        print("got", repr(input("? ")), file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted")
    except EOFError:
        break
print("over")
"""
UP = "import time; print('up', flush=True); time.sleep(900)"


@pytest.fixture
def two(cluster: Cluster) -> Path:
    return cluster.inventory(["node1", "node2"])


class Terminal(pexpect.spawn):  # type: ignore[misc]
    """A program at a terminal."""

    def modes(self) -> list[Any]:
        """Return how the terminal is set."""
        return termios.tcgetattr(self.child_fd)

    def ended(self) -> int:
        """Wait for the end; return the exit status."""
        self.expect(pexpect.EOF)
        return int(self.wait())


@contextmanager
def at_terminal(
    cluster: Cluster, *argv: str | Path, size: tuple[int, int] = (24, 80), env: dict[str, str] | None = None
) -> Iterator[Terminal]:
    """Start a program with a terminal of this size (lines, columns) as its own; it ends with the block."""
    command, *words = cluster.lab.command(argv)
    terminal = Terminal(
        command, words, timeout=PATIENCE, dimensions=size, cwd=cluster.here, env=cluster.env | (env or {}), encoding="utf-8"
    )
    try:
        yield terminal
    finally:
        terminal.close(force=True)


def mlxlaunch(cluster: Cluster, *words: str | Path, **options: Any) -> Any:
    return at_terminal(cluster, *MLXLAUNCH, "run", *words, **options)


# -- pdb


def test_pdb_in_one_rank(cluster: Cluster, two: Path) -> None:
    with mlxlaunch(cluster, "-i", two, "--stdin", "1", "--env", "WHO=1", cluster.script(DEBUGGED)) as terminal:
        terminal.expect(PDB)
        terminal.sendline("p value")
        terminal.expect(r"\r\n10\r\n")
        terminal.expect(PDB)
        terminal.sendline("value = 77")
        terminal.expect(PDB)
        terminal.sendline("c")
        terminal.expect("rank 1 has 77")
        assert terminal.ended() == 0


def test_pdb_in_all_ranks_at_once(cluster: Cluster, two: Path) -> None:
    """Without any option, as with mlx.launch."""
    with mlxlaunch(cluster, "-i", two, "--env", "WHO=all", cluster.script(DEBUGGED)) as terminal:
        for command in ("value += 1", "value *= 2", "c"):
            for _rank in range(2):
                terminal.expect(PDB)
            terminal.sendline(command)
        terminal.expect("rank [01] has (2|22)\r\n")
        terminal.expect("rank [01] has (2|22)\r\n")
        assert terminal.ended() == 0


def test_quitting_pdb_ends_the_job_with_its_rank(cluster: Cluster, two: Path) -> None:
    with mlxlaunch(cluster, "-i", two, "--stdin", "0", "--tty", "--env", "WHO=0", cluster.script(DEBUGGED + UP)) as terminal:
        terminal.expect(PDB)
        terminal.sendline("q")
        assert terminal.ended() == 1
        assert "rank 0 on node1 exited with code 1" in terminal.before


# -- a terminal without --tty stays as it is


def test_end_of_input_and_interrupt_are_those_of_the_terminal(cluster: Cluster, two: Path) -> None:
    script = cluster.script("import sys; print('up', flush=True); print(len(sys.stdin.read())); import time; time.sleep(900)")
    with mlxlaunch(cluster, "-i", two, script) as terminal:
        before = terminal.modes()
        for _rank in range(2):
            terminal.expect("up\r\n")
        terminal.sendline("four")
        terminal.send("\x04")
        for _rank in range(2):
            terminal.expect("5\r\n")
        assert terminal.modes() == before
        terminal.send("\x03")
        assert terminal.ended() == 130


def test_background_job_runs_on_and_leaves_input_to_the_shell(cluster: Cluster) -> None:
    script = cluster.script(
        "print('rank is up', flush=True)\nopen(__import__('os').environ['GATE'], 'rb', 0).read(1)\nprint('rank is over')"
    )
    one = cluster.inventory(["node1"])
    with cluster.gate(cluster.hosts[0], "gate") as gate:
        shell = ["/bin/bash", "--norc", "--noprofile", "-i"]
        with at_terminal(cluster, *shell, env={"PS1": "sh> "}) as terminal:
            terminal.expect("sh> ")
            job = " ".join([*MLXLAUNCH, "run", "-i", str(one), "--stdin", "0", "--env", f"GATE={gate.path}", script])
            terminal.sendline(f"{job} & P=$!")
            terminal.expect("rank is up")
            terminal.sendline("echo typed$((40+2))")
            terminal.expect("typed42")
            time.sleep(0.7)  # so that it has looked for input again: without this a fault would not show, and nothing here fails by it
            terminal.sendline("grep State /proc/$P/status")
            state = terminal.expect([r"State:\s+S", r"State:\s+T"])
            assert state == 0
            gate.open()
            terminal.expect("rank is over")
            terminal.sendline("wait $P; echo status=$?")
            terminal.expect(r"status=\d")


def test_job_that_comes_to_the_foreground_reads_from_then_on(cluster: Cluster, two: Path) -> None:
    script = cluster.script("import os\nif os.environ['RANK'] == '0': print('up', flush=True); print('got', os.read(0, 100), flush=True)\n")
    with at_terminal(cluster, "/bin/bash", "--norc", "--noprofile", "-i", env={"PS1": "sh> "}) as terminal:
        terminal.expect("sh> ")
        job = " ".join([*MLXLAUNCH, "run", "-i", str(two), "--stdin", "0", script])
        terminal.sendline(f"{job} &")
        terminal.expect("up\r\n")
        terminal.sendline("fg")
        terminal.expect("train.py\r\n")
        terminal.sendline("to the rank")
        terminal.expect(r"got b'to the rank\\n'")
        terminal.expect("sh> ")
        terminal.sendline("echo status=$?")
        terminal.expect("status=0")


# -- a terminal for a rank


def test_rank_has_a_terminal_with_editing_and_its_size(cluster: Cluster, two: Path) -> None:
    script = cluster.script(LINES)
    with mlxlaunch(cluster, "-i", two, "--stdin", "1", "--tty", script, size=(33, 99), env={"TERM": "xterm"}) as terminal:
        terminal.expect(r"\[True, True, True\] True 99 33 xterm None\r\n")
        terminal.expect(r"\? ")
        terminal.send("helpo\x7f\x7flo\x01>\r")  # backspace, Ctrl-A: the line is edited there
        terminal.expect("got '>hello'\r\n")
        terminal.expect(r"\? ")
        terminal.send("\x1b[A\r")  # the line before
        terminal.expect("got '>hello'\r\n")
        terminal.send("half a li\x03")
        terminal.expect("interrupted\r\n")
        terminal.expect(r"\? ")
        terminal.send("\x04")
        terminal.expect("over\r\n")
        assert terminal.ended() == 0
    log = last_run(cluster) / "1"
    assert b"got '>hello'" in (log / "stdout.log").read_bytes()  # what it wrote to its standard error
    assert (log / "stderr.log").read_bytes() == b""
    assert (last_run(cluster) / "0/stdout.log").read_bytes() == b""


def test_rank_learns_that_the_window_has_another_size(cluster: Cluster) -> None:
    watch = "import os, signal\nsignal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size(0), flush=True))\n"
    script = cluster.script(watch + "print('up', flush=True)\nwhile True: signal.pause()\n")
    with mlxlaunch(cluster, "-i", cluster.inventory(["node1"]), "--tty", script) as terminal:
        terminal.expect("up\r\n")
        terminal.setwinsize(50, 132)
        terminal.expect(r"columns=132, lines=50")
        terminal.send("\x1c")
        assert terminal.ended() == 130


def test_tab_completes_in_a_shell_and_jobs_can_be_stopped_there(cluster: Cluster, two: Path) -> None:
    (cluster.hosts[0].path(cluster.here) / "a-long-name").write_text("content\n")
    words = [
        "-i",
        two,
        "--stdin",
        "0",
        "--tty",
        "--env",
        "PS1=sh> ",
        "--",
        "/bin/sh",
        "-c",
        '[ "$RANK" = 1 ] || exec bash --norc --noprofile',
    ]
    with mlxlaunch(cluster, *words) as terminal:
        terminal.expect(r"sh> |\$ |# ")
        terminal.send("cat a-lo\t\r")
        terminal.expect("content\r\n")
        terminal.send("sleep 900\r")
        terminal.expect("sleep 900\r\n")
        wait_until(lambda: any("sleep" in str(process) for process in cluster.hosts[0].leftovers()), "it sleeps")
        terminal.send("\x1a")
        terminal.expect("Stopped")
        terminal.send("kill %1; echo job $((6*7))\r")
        terminal.expect("job 42\r\n")
        terminal.send("exit 5\r")
        assert terminal.ended() == 5


def test_ctrl_c_is_the_rank_s_and_ctrl_backslash_ends_the_job(cluster: Cluster, two: Path) -> None:
    deaf = "import signal, sys\nsignal.signal(signal.SIGINT, lambda *_: print('no', flush=True))\nprint('up', flush=True)\n"
    deaf += "while True: signal.pause()\n"
    with mlxlaunch(cluster, "-i", two, "--stdin", "0", "--tty", cluster.script(deaf)) as terminal:
        before = terminal.modes()
        for _rank in range(2):
            terminal.expect("up\r?\r\n")
        wait_until(lambda: terminal.modes() != before, "every key is let through")
        for _each in range(3):
            terminal.send("\x03")
            terminal.expect("no\r\n")
        terminal.send("\x1c")
        assert terminal.ended() == 130
        assert "interrupted by SIGINT" in terminal.before
    assert cluster.left_files() == []


def test_ctrl_backslash_once_more_kills(cluster: Cluster) -> None:
    deaf = (
        "import signal\nfor number in (2, 15): signal.signal(number, signal.SIG_IGN)\nprint('up', flush=True)\nwhile True: signal.pause()\n"
    )
    with mlxlaunch(cluster, "-i", cluster.inventory(["node1"]), "--tty", "--grace", "900", cluster.script(deaf)) as terminal:
        before = terminal.modes()
        terminal.expect("up\r\n")
        wait_until(lambda: terminal.modes() != before, "every key is let through")
        terminal.send("\x1c")
        terminal.expect("ending the ranks")
        wait_until(lambda: terminal.modes() == before, "the terminal is ours again")
        terminal.send("\x03")
        assert terminal.ended() == 130


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize("end", ["success", "failure", "failure of the other", "not ready", "interrupt", "terminate", "hang up"])
def test_terminal_is_as_it_was(cluster: Cluster, two: Path, end: str, tty: bool) -> None:
    script = cluster.script("""
import os, sys, time
rank, end = os.environ["RANK"], os.environ["END"]
print("up", flush=True)
if rank == "0": os.read(0, 100)
if end == "failure" and rank == "0": sys.exit(7)
if end == "failure of the other" and rank == "1": open(os.environ["GATE"], "rb", 0).read(1); sys.exit(7)
if end in ("success", "failure"): sys.exit(0)
time.sleep(900)
""")
    where = ["--cwd", "/not/there"] if end == "not ready" else []
    with cluster.gate(cluster.hosts[1], "gate") as gate:
        options = ["--stdin", "0", *(["--tty"] if tty else []), *where, "--env", f"END={end}", "--env", f"GATE={gate.path}"]
        with in_shell(cluster, [*MLXLAUNCH, "run", "-i", str(two), *options, script]) as terminal:
            assert_ends_as_it_was(terminal, gate, end, tty=tty)


@contextmanager
def in_shell(cluster: Cluster, words: list[str]) -> Iterator[Terminal]:
    """Start a program in a shell that stays, for a terminal whose last program ends is gone."""
    quoted = " ".join(f"'{word}'" for word in words)
    wrapped = f"trap : INT HUP; {quoted} & P=$!; echo pid=$P; fg >/dev/null; echo status=$?; read x; stty sane"
    with at_terminal(cluster, "/bin/bash", "--norc", "--noprofile", "-m", "-c", wrapped) as terminal:
        yield terminal


def assert_ends_as_it_was(terminal: Terminal, gate: Gate, end: str, *, tty: bool) -> None:
    """Bring about the end when both ranks are up, and hold status and terminal to it."""
    before = terminal.modes()
    terminal.expect(r"pid=(\d+)\r\n")
    pid = int(terminal.match.group(1))
    if end != "not ready":
        for _rank in range(2):
            terminal.expect("up\r?\r\n")
        if tty:
            wait_until(lambda: terminal.modes() != before, "every key is let through")
        if end in ("success", "failure", "interrupt"):
            terminal.send("\r" if end != "interrupt" else "\x1c" if tty else "\x03")
        elif end == "failure of the other":
            gate.open()
        else:
            os.kill(pid, signal.SIGTERM if end == "terminate" else signal.SIGHUP)
    terminal.expect(r"status=(\d+)\r\n")
    status = {"success": 0, "failure": 7, "failure of the other": 7, "not ready": 3, "interrupt": 130, "terminate": 143, "hang up": 129}
    assert int(terminal.match.group(1)) == status[end]
    assert terminal.modes() == before


def test_all_terminal_output_of_a_rank_that_dies_arrives(cluster: Cluster) -> None:
    script = cluster.script("import os\nfor n in range(20000): print('line', n)\nos.kill(os.getpid(), 9)\n")
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1"]), "--tty", script)
    assert done.returncode == 137
    assert done.stdout == "".join(f"line {n}\n" for n in range(20000))  # its \r\n read as text


def test_grandchildren_that_hold_the_terminal_end_with_the_job(cluster: Cluster) -> None:
    script = cluster.script("""
import os, signal
ready, done = os.pipe()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.write(done, b"x")
    while True: signal.pause()
os.read(ready, 1)
print("parent's last", flush=True)
""")
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1"]), "--tty", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0].strip() == "parent's last"
    assert "left processes behind" in done.stderr


def test_piped_input_goes_through_a_terminal_and_ends_there(cluster: Cluster) -> None:
    script = cluster.script("import sys\nprint(sorted(len(line) for line in sys.stdin))\n")
    text = "".join(f"{'x' * n}\n" for n in range(1000))
    done = cluster.mlxlaunch("-i", cluster.inventory(["node1"]), "--tty", script, stdin=None, input=text)
    assert done.returncode == 0, done.stderr
    # The terminal's echo may come late, in the middle of what the rank prints.
    printed = done.stdout.translate(str.maketrans("", "", "x\r\n"))
    assert str([n + 1 for n in range(1000)]) in printed


def test_lines_of_others_begin_at_the_left(cluster: Cluster, two: Path) -> None:
    script = cluster.script("""
import os, sys, time
print("up", flush=True)
if os.environ["RANK"] == "0": os.read(0, 100); print("one\\ntwo\\nthree", flush=True)
else: open(os.environ["GATE"], "rb", 0).read(1); print("one\\ntwo\\nthree", flush=True); time.sleep(900)
""")
    with (
        cluster.gate(cluster.hosts[1], "gate") as gate,
        mlxlaunch(cluster, "-i", two, "--stdin", "0", "--tty", "--prefix", "--env", f"GATE={gate.path}", script) as terminal,
    ):
        before = terminal.modes()
        terminal.expect("up\r?\r\n")
        terminal.expect("up\r?\r\n")
        wait_until(lambda: terminal.modes() != before, "every key is let through")
        gate.open()
        terminal.expect("three\r\n")
        assert not re.search(r"[^\r]\n", terminal.before)
        terminal.send("\x1c")
        assert terminal.ended() == 130


def test_terminal_and_pipe_on_python_3_9(cluster: Cluster) -> None:
    inventory = cluster.inventory(["node1", "node2"], ansible_python_interpreter=python39())
    text = "hello\n" * 100_000
    for options in ([], ["--stdin", "1", "--tty"]):
        script = cluster.script("import os, sys\nprint(len(sys.stdin.read()) if os.environ['RANK'] == '1' else 'none')")
        done = cluster.mlxlaunch("-i", inventory, *options, "--python", sys.executable, script, stdin=None, input=text)
        assert done.returncode == 0, done.stderr
        assert str(len(text)) in done.stdout
