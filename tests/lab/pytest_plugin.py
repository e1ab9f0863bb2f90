"""pytest fixtures: `lab` (4 hosts shared by a session's tests) and `make_lab` (special ones).

Load it with `pytest_plugins = ["tests.lab.pytest_plugin"]`. Tests that use a lab get the marker `lab`. Where
there can be no lab they are skipped with the reason; with MLXLAUNCH_LAB=required in the environment they
fail.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from .host import Process
from .lab import Lab
from .needs import LabError

#: Hosts of the shared lab.
SHARED_HOSTS = 4
#: Seconds what a test has ended may take to be gone from the hosts.
_QUIET_PATIENCE = 1.0

_FIXTURES = {"lab", "make_lab"}


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "lab: runs on real hosts made of Linux namespaces; needs root")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures they use."""
    for item in items:
        if _FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def _shared_labs() -> Iterator[list[Lab]]:
    """The session's lab once there is one; a list, because the first test that needs it starts it."""
    labs: list[Lab] = []
    yield labs
    for lab in labs:
        lab.stop()


@pytest.fixture
def lab(_shared_labs: list[Lab]) -> Iterator[Lab]:
    """Give the shared lab of 4 hosts without any fault; fail a test which leaves something running there."""
    if not _shared_labs:
        _shared_labs.append(start_or_skip(SHARED_HOSTS))
    shared = _shared_labs[0]
    try:
        shared.restore()
    except LabError:  # it is beyond repair; the next test gets another
        _shared_labs.remove(shared)
        shared.stop()
        raise
    yield shared
    if left := await_quiet(shared):
        pytest.fail(f"left running: {describe(left)}")


@pytest.fixture
def make_lab() -> Iterator[Callable[..., Lab]]:
    """Give a function with the arguments of `Lab.start`; its labs stop after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(start_or_skip(*arguments, **options))


def start_or_skip(*arguments: Any, **options: Any) -> Lab:
    """`Lab.start`, or skip the test with the reason; fail it when labs are required."""
    try:
        return Lab.start(*arguments, **options)
    except LabError as error:
        _give_up(str(error))


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("MLXLAUNCH_LAB") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def await_quiet(lab: Lab) -> dict[str, list[Process]]:
    """Wait until no host runs anything beside ssh sessions; give what does after the time is up."""
    deadline = time.monotonic() + _QUIET_PATIENCE
    while (left := lab.leftovers()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def describe(left: dict[str, list[Process]]) -> str:
    """One line per process."""
    lines = [f"{name}: {process.pid} {' '.join(process.args)}" for name, processes in left.items() for process in processes]
    return "\n".join(lines)
