# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only module that imports ansible_runner: run a playbook, in a thread, and keep what Ansible had to say."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._core import CONTROL_FOLDER
from ._inventory import Source

_KEPT_LINES = 40
_CANCEL_AFTER = 1  # seconds between two looks at whether to cancel
_LIFE = "e"  # in the private directory: the socket to which Ansible is connected as long as it lives
_LONGEST_SOCKET = 103  # bytes in the name of a Unix socket: macOS has room for so many and a zero, Linux for four more


def playbook(name: str) -> Path:
    """Return the path of a playbook that comes with this package, from a wheel or from a checkout."""
    packaged = Path(__file__).parent / "playbooks" / name
    return packaged if packaged.exists() else Path(__file__).parent.parent / "playbooks" / name


def private_folder() -> Path:
    """Make a directory of this user's own in which every socket has a name short enough for every system.

    There are two: ours, and the one by which workers of ansible-core 2.21 reach its main process, in a directory of
    multiprocessing's. With a longer name Ansible would not start.
    """
    base = tempfile.gettempdir()
    longest = len(f"/{CONTROL_FOLDER}xxxxxxxx/pymp-xxxxxxxx/listener-xxxxxxxx")
    fits = len(os.fsencode(base)) + longest <= _LONGEST_SOCKET
    return Path(tempfile.mkdtemp(prefix=CONTROL_FOLDER, dir=base if fits else "/tmp"))  # noqa: S108 - mkdtemp


class PlaybookRun:
    """One run of a playbook.

    Args:
        folder: private directory, removed by the caller.
        name: of the playbook, one of ours.
        source: the inventory.
        variables: extra variables; nothing secret, they end up in a file.
        on_end: called from the thread when Ansible has ended.

    Attributes:
        returncode: that of Ansible, when it has ended.
        facts: what the playbook set by `set_fact`.
    """

    def __init__(self, folder: Path, name: str, source: Source, variables: dict[str, Any], on_end: Callable[[], None]) -> None:
        self.returncode: int | None = None
        self.facts: dict[str, Any] = {}
        self._folder = folder
        self._name = name
        self._source = source
        self._variables = variables
        self._on_end = on_end
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._failures: list[str] = []
        self._cancelled = threading.Event()
        self._error: Exception | None = None
        self._life = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._life.bind(str(folder / _LIFE))
        self._life.listen(1)
        self._thread = threading.Thread(target=self._run, name="mlxlaunch-ansible", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def cancel(self) -> None:
        """Kill Ansible. Its worker notices and ends the ranks."""
        self._cancelled.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; return whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def wait_for_processes(self, timeout: float) -> bool:
        """Wait until Ansible's processes are gone; return whether they are. For a run that has begun to work.

        `join` waits for ansible-runner too, which sleeps for a tenth of a second after the end.
        """
        try:
            self._life.settimeout(timeout)
            connection, _address = self._life.accept()
            with connection:
                connection.settimeout(timeout)
                return not connection.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return self.join(timeout)

    def complaint(self) -> str:
        """Return what Ansible said went wrong, in few lines, for when the job itself said nothing."""
        if self._error:
            return f"ansible-runner: {self._error}"
        wrong = [line for line in self._lines if line.startswith(("[ERROR]", "ERROR!", "fatal:"))]
        warned = [line for line in self._lines if line.startswith("[WARNING]")]
        return "\n".join(self._failures or wrong or warned or list(self._lines)[-5:])

    def _run(self) -> None:
        try:
            self.returncode = self._run_playbook()
        except Exception as exc:  # noqa: BLE001 - whatever it is, the waiting caller must learn of it
            self._error = exc
        finally:
            self._life.close()
            self._on_end()

    def _run_playbook(self) -> int | None:
        import ansible_runner  # late: it takes a tenth of a second

        # By path, not -m: importing this package would import the collection before Ansible's own loader can. -P: no sys.path of ours.
        words = ["-P", str(Path(__file__).with_name("_ansible_playbook.py")), str(self._folder), str(playbook(self._name))]
        runner = ansible_runner.interface.init_runner(
            private_data_dir=str(self._folder),
            project_dir=os.getcwd(),  # where the user's ansible.cfg and relative paths are
            # `binary` and not `playbook`: the Ansible of this environment, wherever PATH leads.
            binary=sys.executable,
            cmdline=shlex.join(words),
            inventory=self._inventory(),
            extravars=self._variables,
            envvars=_environment(generated=self._source.data is not None),
            settings={"pexpect_timeout": _CANCEL_AFTER, "suppress_output_file": True},
            quiet=True,
            event_handler=self._on_event,
            cancel_callback=self._cancelled.is_set,
        )
        _status, returncode = runner.run()
        return int(returncode) if returncode is not None else None

    def _inventory(self) -> str:
        if self._source.path:
            return self._source.path
        path = self._folder / "hosts.json"
        path.write_text(json.dumps(self._source.data), encoding="utf-8")
        path.chmod(0o600)
        return str(path)

    def _on_event(self, event: dict[str, Any]) -> bool:
        """Keep what may explain a failure. False: the runner must not write a file per event."""
        self._lines.extend((event.get("stdout") or "").splitlines())
        result = event.get("event_data", {}).get("res", {})
        if not isinstance(result, dict):
            return False
        if event.get("event") in ("runner_on_failed", "runner_on_unreachable") and result.get("msg"):
            self._failures.append(str(result["msg"]))
        if event.get("event") == "runner_on_ok":
            self.facts |= result.get("ansible_facts") or {}
        return False


def _environment(*, generated: bool) -> dict[str, str]:
    environment = {
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        # ansible-runner turns host key checking off unless told otherwise.
        "ANSIBLE_HOST_KEY_CHECKING": os.environ.get("ANSIBLE_HOST_KEY_CHECKING", "True"),
    }
    if generated:
        # The inventory is one we wrote: asking every inventory plugin whether it knows the format takes time.
        environment["ANSIBLE_INVENTORY_ENABLED"] = "yaml"
    if sys.platform == "darwin":
        # Otherwise a forked worker can crash in the Objective-C runtime (ansible/ansible#32499).
        environment["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
    return environment
