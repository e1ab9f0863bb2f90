"""Launches for tests: requests, and a deploy that is played."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import RankPlace
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import check_settings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.request import LaunchRequest


def request(
    *names: str, local: bool = False, default_stdin: str | None = None, screen: tuple[int, int] | None = None, **settings: Any
) -> LaunchRequest:
    """Return the request for a job with one rank per host, a and b unless named."""
    addresses = {name: f"10.0.0.{at}" for at, name in enumerate(names or ("a", "b"), 1)}
    return LaunchRequest(
        "job-1",
        check_settings({"backend": "ring", "command": ["true"], **settings}),
        [HostSettings(name, address, local=local) for name, address in addresses.items()],
        [RankPlace(name, (address,)) for name, address in addresses.items()],
        default_python="/usr/bin/python3",
        default_cwd="/here",
        default_stdin=default_stdin,
        screen=screen,
        inventory={"paths": ["hosts.yml"]},
    )


class PlayedDeploy:
    """A deploy that does what a test says.

    Args:
        play: called in `run`, with the deploy.
    """

    lock_sha256 = "sha"

    def __init__(self, play: Callable[[PlayedDeploy], Any]) -> None:
        self.stopped, self.released = threading.Event(), threading.Event()
        self.report: Callable[..., None] = lambda *_event, **_details: None
        self._play = play

    def run(self, report: Callable[..., None]) -> Any:
        self.report = report
        return self._play(self)

    def stop(self) -> None:
        self.stopped.set()

    def release(self) -> None:
        self.released.set()
