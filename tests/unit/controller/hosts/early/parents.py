"""A launching program that has started processes for a worker, which are programs of this machine."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.early.handed import HandedProcess

PATIENCE = 60.0


class Parent:
    """The launching program, which has started processes."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    def start(self, *argv: str, lives: bool = True) -> tuple[dict[str, Any], list[int]]:
        """Start one, and return what a worker gets of it; one that does not live is gone before its status is told."""
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.processes.append(process)
        status, told = os.pipe()
        pipes = [pipe for pipe in (process.stdin, process.stdout, process.stderr) if pipe]
        fds = [os.dup(pipe.fileno()) for pipe in pipes]
        for pipe in pipes:
            pipe.close()

        def tell() -> None:
            code = process.wait()
            if lives:
                with suppress(BrokenPipeError):
                    os.write(told, b"%d" % code)
            os.close(told)

        self._threads.append(threading.Thread(target=tell))
        self._threads[-1].start()
        return {"argv": list(argv), "pid": process.pid, "sent": 0}, [*fds, status]

    def process(self, *argv: str, lives: bool = True) -> HandedProcess:
        """Start one, and return it as a worker has it."""
        told, fds = self.start(*argv, lives=lives)
        return HandedProcess(argv, told["pid"], 0, fds)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for thread in self._threads:
            thread.join(PATIENCE)
