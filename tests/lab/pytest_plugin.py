"""pytest fixtures: `lab` (4 hosts shared by a session's tests; like Macs where the marker `mac` says so) and `make_lab`.

`mark.mac(cables="ring")` gives Macs with these Thunderbolt cables.

Load it with `pytest_plugins = ["tests.lab.pytest_plugin"]`. Tests that use a lab get the marker `lab`. Where
there can be no lab they are skipped with the reason; with MLXLAUNCH_LAB=required in the environment they
fail. Where no host can look like a Mac, tests of that are skipped anyway.
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
from .needs import LabError, NoMacError

#: Hosts of the shared lab.
SHARED_HOSTS = 4
#: Seconds that the processes a test has ended may take to be gone from the hosts.
_QUIET_PATIENCE = 60.0

_FIXTURES = {"lab", "make_lab"}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "lab: runs on real hosts made of Linux namespaces; needs root")
    config.addinivalue_line("markers", "mac: the hosts of its lab look like Macs over ssh")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures they use."""
    for item in items:
        if _FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def _shared_labs() -> Iterator[dict[str, Lab]]:
    """The session's labs by what their hosts look like; the first test that needs one starts it."""
    labs: dict[str, Lab] = {}
    yield labs
    for lab in labs.values():
        lab.stop()


@pytest.fixture
def lab(request: pytest.FixtureRequest, _shared_labs: dict[str, Lab]) -> Iterator[Lab]:
    """Give the shared lab of 4 hosts without any fault; fail a test which leaves something running there."""
    marker = request.node.get_closest_marker("mac")
    personality, cables = ("mac", marker.kwargs.get("cables", "")) if marker else ("linux", "")
    kind = f"{personality} {cables}"
    if kind not in _shared_labs:
        _shared_labs[kind] = start_or_skip(SHARED_HOSTS, personality=personality, cables=cables)
    shared = _shared_labs[kind]
    try:
        shared.restore()
    except LabError:  # it is beyond repair; the next test gets another
        _shared_labs.pop(kind).stop()
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
    except NoMacError as error:
        pytest.skip(str(error))
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
