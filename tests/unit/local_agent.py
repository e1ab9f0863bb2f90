"""An agent for calls that are tested on this machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.ownership import Owners


class LocalAgent:
    """The part of an agent that calls use, without a link.

    Attributes:
        owners, held: as an agent's.
        reported: the lines of progress so far.
    """

    def __init__(self) -> None:
        self.at_end: dict[Any, Any] = {}
        self.lease = 60.0
        self.owners = Owners()
        self.held: dict[str, int] = {}
        self.gone = False
        self.reported: list[str] = []

    def run(self, argv: Sequence[str], timeout: float = 0.0, **options: Any) -> tuple[int, str]:
        """Run it here."""
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=timeout or 60, **options
        )
        return done.returncode, done.stdout

    def progress(self, text: str) -> None:
        """Take a line of progress."""
        self.reported.append(text)


class LocalHost(LocalAgent):
    """An agent that answers calls.

    Args:
        functions: those that can be called, by name.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        self._functions = functions

    def call(self, do: str, /, **given: Any) -> Any:
        """Call a function; return its reply, as it would arrive."""
        return json.loads(json.dumps(self._functions[do](self, **json.loads(json.dumps(given)))))
