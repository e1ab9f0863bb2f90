"""A host whose programs are scripted, for tests of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import Host
from tests.unit.local_agent import LocalAgent


class Scripted(LocalAgent):
    """An agent whose programs show texts.

    Args:
        shown: output, or (status, output), by the words of a command.

    Attributes:
        log: commands without an entry; they change something, and end well.
    """

    def __init__(self, shown: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.shown = dict(shown or {})
        self.log: list[str] = []

    def run(self, argv: Sequence[str], timeout: float = 0.0, **_options: Any) -> tuple[int, str]:  # noqa: ARG002
        words = " ".join(argv)
        if words not in self.shown:
            self.log.append(words)
        found = self.shown.get(words, "")
        return found if isinstance(found, tuple) else (0, found)


def host(shown: Mapping[str, Any] | None = None, python: str = "") -> Host:
    """Return a host whose programs show these texts."""
    return Host(Scripted(shown), python)


def commands(steps: Sequence[Any]) -> list[str]:
    """Return the commands of steps as lines."""
    return [" ".join(command) for step in steps for command in step.commands]
