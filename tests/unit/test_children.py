"""Programs of a deploy: none outlives it, whatever ends first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._children import Cancelled, Children
from tests.integration.cluster import wait_until

PACKAGE = "ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._children"


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_what_a_program_says_comes_line_by_line_and_as_a_whole() -> None:
    lines: list[str] = []
    status, said = Children().run(["sh", "-c", "echo one; echo two >&2; printf three; exit 3"], lines.append)
    assert (status, said) == (3, "one\ntwo\nthree")
    assert lines == ["one", "two"]


def test_a_program_without_input_reads_none() -> None:
    assert Children().run(["cat"], print) == (0, "")


def test_arguments_are_no_shell_s_business() -> None:
    assert Children().run(["printf", "%s", "$(id) ' \" ;"], print) == (0, "$(id) ' \" ;")


def test_a_feed_is_what_the_program_reads() -> None:
    with Children().start(["sh", "-c", "wc -c"], feed=lambda fd: write_all(fd, b"x" * 300_000)) as child:
        while not child.over:
            child.take()
    assert (child.returncode, child.said.strip()) == (0, "300000")


def write_all(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb", closefd=False) as out:
        out.write(data)


def test_a_feed_that_cannot_go_on_ends_the_program() -> None:
    def feed(_fd: int) -> None:
        raise OSError(5, "Input/output error", "a.txt")

    with pytest.raises(OSError, match="a.txt"), Children().start(["sh", "-c", "sleep 1000"], feed=feed) as child:
        child.take()


def test_a_program_that_does_not_read_its_feed_is_no_error_of_the_feed() -> None:
    with Children().start(["sh", "-c", "exec <&-; echo full; exit 1"], feed=lambda fd: write_all(fd, b"x" * 300_000)) as child:
        while not child.over:
            child.take()
    assert (child.returncode, child.said) == (1, "full\n")


def test_close_ends_a_run_in_another_thread_with_all_that_was_started() -> None:
    children = Children()
    pids: list[int] = []
    begun = threading.Event()

    def close() -> None:
        begun.wait()
        children.close()

    def note(line: str) -> None:
        pids.append(int(line))
        begun.set()

    threading.Thread(target=close).start()
    with pytest.raises(Cancelled):
        children.run(["sh", "-c", "sleep 1000 & echo $!; wait"], note)
    wait_until(lambda: is_gone(pids[0]), "the grandchild is gone")
    with pytest.raises(Cancelled):
        children.start(["true"])


def test_leaving_in_an_error_ends_the_program() -> None:
    children = Children()
    pids: list[int] = []

    def fail() -> None:
        with children.start(["sh", "-c", "echo $$; sleep 1000"]) as child:
            pids.append(int(child.take()))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert is_gone(pids[0])


@pytest.mark.parametrize("program", ["sleep 1000 & echo $!; wait", "sleep 1000 & echo $!; exec sleep 1000"])
def test_a_program_dies_with_whoever_started_it_even_by_sigkill(program: str) -> None:
    source = f"import sys, {PACKAGE} as it; it.Children().run(['sh', '-c', sys.argv[1]], lambda line: print(line, flush=True))"
    with subprocess.Popen([sys.executable, "-c", source, program], stdout=subprocess.PIPE) as starter:
        assert starter.stdout
        pid = int(starter.stdout.readline())
        assert not is_gone(pid)
        starter.send_signal(signal.SIGKILL)
    wait_until(lambda: is_gone(pid), "what it started is gone")
