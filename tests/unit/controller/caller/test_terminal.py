"""The launching process's own output."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller import terminal as terminal_module


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is kept yet; what a test keeps is closed."""
    monkeypatch.setattr(terminal_module, "_kept", [])
    yield
    for fd in terminal_module.descriptors() or ():
        os.close(fd)


@pytest.fixture
def tty() -> Iterator[int]:
    controller, terminal = os.openpty()
    yield terminal
    os.close(terminal)
    os.close(controller)


@pytest.mark.usefixtures("kept")
def test_output_is_kept_once_and_children_do_not_inherit_it() -> None:
    assert terminal_module.descriptors() is None
    terminal_module.keep()
    first = terminal_module.descriptors()
    assert first
    terminal_module.keep()
    assert terminal_module.descriptors() == first
    assert [os.path.sameopenfile(fd, number) for fd, number in zip(first, (1, 2), strict=True)] == [True, True]
    assert not any(os.get_inheritable(fd) for fd in first)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"TERM": "xterm"}, True)],
)
def test_colour_on_a_terminal_unless_told_otherwise(tty: int, environ: dict[str, str], expected: bool) -> None:
    assert terminal_module.wants_colour(tty, environ) is expected


def test_no_colour_in_a_pipe() -> None:
    read, write = os.pipe()
    assert terminal_module.wants_colour(write, {}) is False
    os.close(read)
    os.close(write)
