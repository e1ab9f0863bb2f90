"""The end of the parent process, seen by real processes."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller import orphan_guard
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.orphan_guard import end_of_parent, parent_of_worker

PATIENCE = 60.0
COLLECTIONS = Path(orphan_guard.__file__.partition("ansible_collections")[0])

# A parent that ends once its child watches it. The child has the pipe in `watching`, and standard output.
FAMILY = """
import os, select, sys, threading
{before}
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller import orphan_guard
read, write = os.pipe()
parent = os.getpid()
if os.fork():
    os.read(read, 1)
    os._exit(0)
{child}
"""
WATCH = """
with orphan_guard.end_of_parent(parent) as fd:
    assert not select.select([fd], [], [], 0)[0], "it still lives"
    os.write(write, b".")
    select.select([fd], [], [], 20)
    os.write(1, b"gone" if os.getppid() != parent else b"late")
"""
LEAVE = """
orphan_guard.leave_when_orphaned(parent)
os.write(write, b".")
threading.Event().wait(20)
os.write(1, b"still here")
"""


def family(child: str, before: str = "") -> bytes:
    """Run a parent and its child; return what the child has written."""
    program = FAMILY.format(before=before, child=child)
    environ = {**os.environ, "PYTHONPATH": str(COLLECTIONS)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout
        return process.communicate(timeout=PATIENCE)[0]


@pytest.mark.parametrize("before", ["", "del os.pidfd_open"], ids=["by the system", "by polling"])
def test_end_of_the_parent_is_noticed(before: str) -> None:
    assert family(WATCH, before if hasattr(os, "pidfd_open") else "") == b"gone"


def test_orphan_ends() -> None:
    assert family(LEAVE) == b""


def test_parent_that_has_ended_before_is_noticed_too() -> None:
    stranger = os.getpid()  # no process is its own parent
    with end_of_parent(stranger) as fd:
        assert select.select([fd], [], [], PATIENCE)[0]


def test_living_parent_is_not_reported() -> None:
    with end_of_parent(os.getppid()) as fd:
        assert not select.select([fd], [], [], 0)[0]


WORKER = """
import multiprocessing, os, select, sys
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller import orphan_guard
def work():
    while os.getppid() == parent:
        pass
    assert orphan_guard.parent_of_worker() == parent
    with orphan_guard.end_of_parent(orphan_guard.parent_of_worker()) as fd:
        os.write(1, b"gone" if select.select([fd], [], [], 20)[0] else b"late")
parent = os.getpid()
multiprocessing.get_context("fork").Process(target=work).start()
os._exit(0)
"""


def test_parent_that_ended_before_the_work_began_is_known() -> None:
    """The system tells only who has taken its place."""
    environ = {**os.environ, "PYTHONPATH": str(COLLECTIONS)}
    with subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, env=environ) as process:
        assert process.communicate(timeout=PATIENCE)[0] == b"gone"


def test_parent_of_a_program_is_the_one_that_started_it() -> None:
    assert parent_of_worker() == os.getppid()
