"""Programs of a deploy: none outlives it, whatever ends first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled, Subprocesses
from tests.support.processes import is_gone
from tests.support.waiting import wait_until

PACKAGE = "ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses"


def test_output_comes_line_by_line_and_as_a_whole() -> None:
    lines: list[str] = []
    status, said = Subprocesses().run(["sh", "-c", "echo one; echo two >&2; printf three; exit 3"], lines.append)
    assert (status, said) == (3, "one\ntwo\nthree")
    assert lines == ["one", "two"]


def test_a_program_without_input_reads_none() -> None:
    assert Subprocesses().run(["cat"], print) == (0, "")


def test_arguments_are_no_shell_s_business() -> None:
    assert Subprocesses().run(["printf", "%s", "$(id) ' \" ;"], print) == (0, "$(id) ' \" ;")


def test_a_feed_is_what_the_program_reads() -> None:
    with Subprocesses().start(["sh", "-c", "wc -c"], feed=lambda fd: write_all(fd, b"x" * 300_000)) as program:
        while not program.over:
            program.take()
    assert (program.returncode, program.output.strip()) == (0, "300000")


def write_all(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb", closefd=False) as out:
        out.write(data)


def test_a_feed_that_cannot_go_on_ends_the_program() -> None:
    def feed(_fd: int) -> None:
        raise OSError(5, "Input/output error", "a.txt")

    with pytest.raises(OSError, match="a.txt"), Subprocesses().start(["sh", "-c", "sleep 1000"], feed=feed) as program:
        program.take()


def test_program_that_does_not_read_is_no_error_of_the_feed() -> None:
    with Subprocesses().start(["sh", "-c", "exec <&-; echo full; exit 1"], feed=lambda fd: write_all(fd, b"x" * 300_000)) as program:
        while not program.over:
            program.take()
    assert (program.returncode, program.output) == (1, "full\n")


def test_close_ends_a_run_in_another_thread() -> None:
    programs = Subprocesses()
    pids: list[int] = []
    begun = threading.Event()

    def close() -> None:
        begun.wait()
        programs.close()

    def note(line: str) -> None:
        pids.append(int(line))
        begun.set()

    threading.Thread(target=close).start()
    with pytest.raises(Cancelled):
        programs.run(["sh", "-c", "sleep 1000 & echo $!; wait"], note)
    wait_until(lambda: is_gone(pids[0]), "the grandchild is gone")
    with pytest.raises(Cancelled):
        programs.start(["true"])


def test_leaving_in_an_error_ends_the_program() -> None:
    programs = Subprocesses()
    pids: list[int] = []

    def fail() -> None:
        with programs.start(["sh", "-c", "echo $$; sleep 1000"]) as program:
            pids.append(int(program.take()))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert is_gone(pids[0])


@pytest.mark.parametrize("program", ["sleep 1000 & echo $!; wait", "sleep 1000 & echo $!; exec sleep 1000"])
def test_program_dies_with_its_starter_even_by_sigkill(program: str) -> None:
    source = f"import sys, {PACKAGE} as it; it.Subprocesses().run(['sh', '-c', sys.argv[1]], lambda line: print(line, flush=True))"
    with subprocess.Popen([sys.executable, "-c", source, program], stdout=subprocess.PIPE) as starter:
        assert starter.stdout
        pid = int(starter.stdout.readline())
        assert not is_gone(pid)
        starter.send_signal(signal.SIGKILL)
    wait_until(lambda: is_gone(pid), "what it started is gone")
