# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook that runs in a thread, and the reasons that Ansible gives for a failure.

No other module imports ansible_runner.
"""

from __future__ import annotations

import gc
import json
import os
import re
import select
import shlex
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from ._ansible_playbook import ASKED, HOSTS, SURROUNDINGS, WORDS
from ._core import CONTROL_FOLDER, LaunchError, UsageError, collection, current_folder, own_python, printable
from ._inventory import ReadText, Source

_KEPT_LINES = 40
_LOOK = 0.05  # seconds between two looks at whether it has ended before it could begin
_CANCEL_AFTER = 1  # seconds between two looks at whether to cancel
_LIFE = "e"  # in the private directory: the socket to which Ansible is connected as long as it lives
_RAISED = re.compile(r"([\w.]+(Error|Exception)|ansible-playbook: error): ")  # the end of a traceback, or of its usage
_REFUSED = re.compile(r"(ansible\.errors\.|ansible-playbook: error|\w*(File|Directory|Permission)\w*Error)")
# The same, for what the user has set: a part of a task's failure, and what to add to it.
_SET_WRONG = {
    "Error rendering template": "",
    "Invalid become method specified": " It is set by --become-method, ansible_become_method, or become_method of ansible.cfg "
    "(ANSIBLE_BECOME_METHOD).",
}
_UNMATCHED = re.compile(r"\[WARNING\]: (Could not match supplied host pattern), ignoring: (.*)")
_PLACE = re.compile(r"Origin: .+|Could not find or access '.*'")  # below an error
_UNREAD = re.compile(r"\[WARNING\]: ((?:Skipping unexpected|Failed to parse inventory) .*)")  # of an inventory
_NO_PLUGIN = "no root 'plugin' key"  # what the first plugin for YAML says of every file that is not for it
_ORIGIN = re.compile(r"Origin: (.+:\d+:\d+)$")  # of the warning above it: file, line and column
_EMPTY_GROUP = "has no hosts"  # of a failure of ours
_NO_HOSTS = "leaves us with no hosts to target"
_FROM_SCRIPT = "password was provided from script"
_BUG = "this is probably a bug"  # Ansible's own words
_READ = "inventory-"  # in the private directory: the beginning of the names of inventories that only the launching process could read
_MADE = "(given as data)"  # the name, for messages, of an inventory that has none
_ONCE = "once-"  # in the private directory: the beginning of the names of files that Ansible reads once
_TYPED_FLAGS = {"connection": "--connection-password-file=%s", "become": "--become-password-file=%s"}
_LONGEST_SOCKET = 103  # bytes in the name of a Unix socket: macOS has room for so many and a zero, Linux for four more


#: What a person has answered in this process, by Ansible's question. It is sent to Ansible's prompt, and kept nowhere else.
ANSWERS: dict[str, str] = {}


class PasswordWanted(UsageError):
    """Ansible asks for a password, as its configuration says; `question` is its own."""

    def __init__(self, question: str) -> None:
        super().__init__(
            f"Ansible is configured to ask for a password ({question.strip(' :')}), and nobody can be asked here; "
            "set vault_password_file in ansible.cfg, or ANSIBLE_VAULT_PASSWORD_FILE"
        )
        self.question = question


def playbook(name: str) -> Path:
    """Return the path of a playbook of the collection that came with this package, in a wheel or in a checkout."""
    return Path(collection.__path__[0]) / "playbooks" / name


def open_closed_streams() -> None:
    """Open standard streams that this process began without on the null device: no other file gets their numbers."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w" if fd else "r", encoding="utf-8"))  # noqa: SIM115 - as long as this process


def private_folder() -> Path:
    """Make a directory of this user's own, whose name is UTF-8; that of every socket in it is short enough anywhere.

    There are two: ours, and the one by which workers of ansible-core 2.21 reach its main process, in a directory of
    multiprocessing's. With a longer name Ansible would not start, nor ansible-runner with one that is not UTF-8.

    Raises:
        LaunchError: no directory for temporary files can be written.
    """
    try:
        base = tempfile.gettempdir()
    except OSError as exc:
        raise LaunchError(f"{exc.strerror}; free space there, or set TMPDIR") from None
    longest = len(f"/{CONTROL_FOLDER}xxxxxxxx/pymp-xxxxxxxx/listener-xxxxxxxx")
    fits = len(os.fsencode(base)) + longest <= _LONGEST_SOCKET and _is_utf8(base)
    return Path(tempfile.mkdtemp(prefix=CONTROL_FOLDER, dir=base if fits else "/tmp"))  # noqa: S108 - mkdtemp


class PrintedLines(deque[str]):
    """The last lines that Ansible has printed, and all that it has said of an inventory that it could not read."""

    def __init__(self) -> None:
        super().__init__(maxlen=_KEPT_LINES)
        self._reasons: list[str] = []
        self._is_reason = False  # whether the last warning is one

    def extend(self, lines: Iterable[str]) -> None:
        """Add lines; a reason gets the place that Ansible names below it."""
        for line in lines:
            self.append(line)
            if line.startswith("["):
                found = _UNREAD.match(line)
                self._is_reason = bool(found) and _NO_PLUGIN not in line
                self._reasons += [found[1].rstrip(".")] if found and self._is_reason else []
            elif self._is_reason and (place := _ORIGIN.match(line)):
                self._reasons[-1] += f" ({place[1]})"

    def explain(self, failure: str) -> str:
        """Return the text of a failure; that of a group without hosts with the reasons."""
        return "; Ansible: ".join([failure, *(dict.fromkeys(self._reasons) if _EMPTY_GROUP in failure else ())])


class PlaybookRun:
    """One run of a playbook.

    Its many attributes are those of Ansible's process, and what it has said so far.

    Args:
        name: of the playbook, one of ours.
        source: the inventory.
        on_end: called from the thread when Ansible has ended.

    Attributes:
        returncode: that of Ansible, when it has ended.
        facts: those that the playbook set by `set_fact`.
    """

    def __init__(self, name: str, source: Source, on_end: Callable[[], None]) -> None:
        self.returncode: int | None = None
        self.facts: dict[str, Any] = {}
        self._name = name
        self._source = source
        self._on_end = on_end
        self._lines = PrintedLines()
        self._failures: list[str] = []
        self._question = ""
        self._cancelled = threading.Event()
        self._error: Exception | None = None
        self._life: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._folder: Path | None = None
        self._own_names: dict[str, str] = {}  # the user's, by the paths of files in the private directory

    def start(self, folder: Path, variables: dict[str, Any]) -> None:
        """Start Ansible.

        Args:
            folder: private directory, removed by the caller.
            variables: extra variables; nothing secret, they end up in a file.
        """
        self._folder = folder
        cwd = current_folder()
        open_closed_streams()  # pexpect, which ansible-runner uses, needs them
        self._life = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._life.bind(str(folder / _LIFE))
        self._life.listen(1)
        self._thread = threading.Thread(target=self._run, args=(folder, variables, self._life, cwd), name="mlxlaunch-ansible", daemon=True)
        self._thread.start()

    def wait_until_started(self, timeout: float) -> None:
        """Wait, so many seconds at most, until Ansible's process has begun, or has ended."""
        end = time.monotonic() + timeout
        with suppress(ValueError, OSError):  # its socket is closed: it has ended
            while self._life and not self.join(0.0) and time.monotonic() < end:
                poll = select.poll()
                poll.register(self._life, select.POLLIN)
                if poll.poll(_LOOK * 1000):
                    return

    def cancel(self) -> None:
        """Kill Ansible. Its worker notices and ends the ranks."""
        self._cancelled.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; return whether it has come."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def wait_for_processes(self, timeout: float) -> bool:
        """Wait until Ansible's processes are gone; return whether they are. For a run that has begun to work.

        `join` waits for ansible-runner too, which sleeps for a tenth of a second after the end.
        """
        if self._life is None:
            return True
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

    def _why(self, error: str) -> str:
        """Return what an error leaves out: the file, the patterns that match no host, or the input of a program."""
        if _FROM_SCRIPT in error:
            return "; a program that gives a password finds nothing on standard input"
        if _NO_HOSTS not in error:
            lines = list(self._lines)
            after = takewhile(lambda line: not line.startswith("["), lines[lines.index(error) + 1 :])
            return next((f" {found[0]}" for line in after if (found := _PLACE.match(line))), "")
        unmatched = [found[2] for line in self._lines if (found := _UNMATCHED.match(line))]
        return f" No host matches {', '.join(unmatched)}; ansible-inventory --graph lists them." if unmatched else ""

    def explained(self, text: str) -> str:
        """Return the text of a failure with the user's names for inventories, and with what Ansible says of it."""
        return self._with_own_names(self._lines.explain(text))

    def _with_own_names(self, text: str) -> str:
        for path, own in self._own_names.items():
            text = text.replace(path, own)
        return text

    def failure(self) -> LaunchError:
        """Return the error for a run that has come to nothing, with the reason that Ansible gave, in few lines."""
        if self._question:
            return PasswordWanted(self._question)
        if isinstance(self._error, LaunchError):
            return self._error
        if self._error:
            return LaunchError(f"ansible-runner: {self._error}")
        wrong = [line for line in self._lines if line.startswith(("[ERROR]", "ERROR!", "fatal:"))]
        advice = [more for part, more in _SET_WRONG.items() if any(part in text for text in self._failures)]
        if advice:
            return UsageError("\n".join(self._failures) + "".join(advice))
        if wrong and not self._failures and not any(_BUG in line for line in wrong):
            # Its configuration or the inventory: no task has begun.
            return UsageError(
                "\n".join(f"Ansible: {line.removeprefix('[ERROR]: ').removeprefix('ERROR! ')}{self._why(line)}" for line in wrong)
            )
        raised = [line for line in self._lines if _RAISED.match(line)][-1:]
        if raised and _REFUSED.match(raised[0]):  # before it can print an error of its own: a file that it is configured to use
            return UsageError(f"Ansible: {_RAISED.sub('', raised[0])}")
        warned = [line for line in self._lines if line.startswith("[WARNING]")]
        # The recap of a play that went well gives no reason.
        last = list(self._lines)[-5:] if self.returncode else ["Ansible's play ended well, and without a result"] * (self.returncode == 0)
        told = "\n".join(self._failures or wrong or raised or warned or last)
        return LaunchError(self._lines.explain(told) or "Ansible ended without a word")

    def _run(self, folder: Path, variables: dict[str, Any], life: socket.socket, cwd: str) -> None:
        try:
            self.returncode = self._run_playbook(folder, variables, cwd)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the waiting caller must learn of it
            self._error = exc
        finally:
            with suppress(OSError):
                self._question = (folder / ASKED).read_text(encoding="utf-8")
            life.close()
            self._on_end()

    def _run_playbook(self, folder: Path, variables: dict[str, Any], cwd: str) -> int | None:
        with _nothing_collected():
            import ansible_runner  # late: it takes a tenth of a second

        # By path, not -m: importing this package would import the collection before Ansible's own loader can. -P: no sys.path of ours.
        # UTF-8: Ansible wants it, whatever the locale is.
        ours = [str(Path(__file__).with_name("_ansible_playbook.py")), str(folder), str(Path(collection.__path__[0]).parents[2])]
        words = ["-P", "-X", "utf8", *ours, json.dumps(list(ANSWERS)), str(playbook(self._name))]
        self._write_options(folder, self._inventories(folder))
        runner = ansible_runner.interface.init_runner(
            private_data_dir=str(folder),
            project_dir=cwd,  # where the user's ansible.cfg and relative paths are
            # `binary` and not `playbook`: the Ansible of this environment, wherever PATH leads.
            binary=own_python(),
            cmdline=shlex.join(words),
            extravars=variables,
            passwords={re.escape(question.strip()): answer for question, answer in ANSWERS.items()},
            envvars=_environment(folder, generated=self._source.data is not None and not self._source.paths),
            settings={"pexpect_timeout": _CANCEL_AFTER, "suppress_output_file": True},
            quiet=True,
            event_handler=self._on_event,
            cancel_callback=self._cancelled.is_set,
        )
        _hand_over(folder, runner.config)
        _status, returncode = runner.run()
        return int(returncode) if returncode is not None else None

    def _write_options(self, folder: Path, inventories: Sequence[str]) -> None:
        """Write Ansible's options and the passwords to files of this user's own: a process list would show them.

        ansible-runner would refuse the path of an inventory that is not UTF-8.
        """
        ansible = self._source.ansible
        extra_vars = tuple(self._readable(folder, text, "@") if isinstance(text, ReadText) else text for text in ansible.extra_vars)
        words = [*replace(ansible, extra_vars=extra_vars).words, *(f"--inventory={path}" for path in inventories)]
        words += [_TYPED_FLAGS.get(kind, f"--vault-id={kind}@%s") % _secret(folder, text) for kind, text in ansible.passwords]
        _write_private(folder / WORDS, json.dumps(words))

    def _readable(self, folder: Path, read: ReadText, before: str = "") -> str:
        """Write what was read to a file without an extension, by which Ansible would judge it; return its path."""
        path = _secret(folder, read.content, _ONCE if before else _READ)
        self._own_names[path] = read.removeprefix(before)
        return before + path

    def _inventories(self, folder: Path) -> list[str]:
        paths = [self._readable(folder, path) if isinstance(path, ReadText) else path for path in self._source.paths]
        data = self._source.data
        if data is not None or not paths:
            path = folder / HOSTS
            # A hostfile or a list of names is data. A mapping is an inventory, whose values may be templates.
            _write_private(path, _literal(data or {}) if self._source.hostfile else json.dumps(data))
            paths.append(str(path))
            self._own_names[str(path)] = _MADE
        return paths

    def _on_event(self, event: dict[str, Any]) -> bool:
        """Keep lines that may explain a failure. Return False: the runner must not write a file per event."""
        lines = self._with_own_names(event.get("stdout") or "").splitlines()
        self._lines.extend(lines)
        self._show(event.get("event", ""), lines)
        result = event.get("event_data", {}).get("res", {})
        if not isinstance(result, dict):
            return False
        if event.get("event") in ("runner_on_failed", "runner_on_unreachable") and result.get("msg"):
            self._failures.append(self._with_own_names(str(result["msg"])))
        if event.get("event") == "runner_on_ok":
            self.facts |= result.get("ansible_facts") or {}
        return False

    def _show(self, event: str, lines: list[str]) -> None:
        """Show Ansible's own output, where it is wanted; and remove the secrets once Ansible has read them."""
        ansible = self._source.ansible
        if ansible.verbosity > 1 and ansible.show:
            for line in lines:
                ansible.show(line)
        if event == "playbook_on_start" and self._folder:
            for path in self._folder.glob(f"{_ONCE}*"):
                path.unlink()


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Let nobody look for garbage meanwhile: an import throws nothing away, and takes a quarter less time so."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _hand_over(folder: Path, config: Any) -> None:
    """Write what is not UTF-8 to a file for Ansible, in place of ansible-runner, which would fail to record it.

    Raises:
        UsageError: it is in a path of this installation.
    """
    odd = next((word for word in config.command if not _is_utf8(word)), None)
    if odd is not None:
        raise UsageError(f"{printable(odd)}: the path is not UTF-8; install mlxlaunch at one that is")
    environment = {name: value for name, value in config.env.items() if not _is_utf8(name + value)}
    if environment or not _is_utf8(config.cwd):
        _write_private(folder / SURROUNDINGS, json.dumps({"environment": environment, "cwd": config.cwd}))
        config.env = {name: value for name, value in config.env.items() if name not in environment}
        config.cwd = str(folder)


def _is_utf8(text: str) -> bool:
    """Return whether text has none of the surrogates that stand for bytes that are not UTF-8."""
    return text.encode("utf-8", "ignore").decode("utf-8") == text


def _secret(folder: Path, text: str, prefix: str = _ONCE) -> str:
    """Write a text that may be a secret to a file of its own, and return its path."""
    fd, path = tempfile.mkstemp(prefix=prefix, dir=folder)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _write_private(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")


def _can_keep_files() -> bool:
    """Return whether Ansible can make its directory in the user's home; that may be missing, or somebody else's."""
    try:
        place = Path(os.environ.get("ANSIBLE_HOME") or Path("~", ".ansible")).expanduser()
        place.mkdir(0o700, parents=True, exist_ok=True)  # as Ansible would
    except (OSError, RuntimeError):
        return False
    return os.access(place, os.W_OK | os.X_OK)


def _literal(data: Mapping[str, Any]) -> str:
    """Return data as YAML in which no text is a template for Ansible, by the tag `!unsafe` of its documentation."""
    import yaml  # late: ansible-runner, which takes its time, has it by now

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("!unsafe", text))
    return str(yaml.dump(data, Dumper=Dumper))


def _environment(folder: Path, *, generated: bool) -> dict[str, str]:
    environment = {
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        # Its output is ansible-runner's, whose callback would take the user's for a base.
        "ANSIBLE_STDOUT_CALLBACK": "",
        # ansible-runner turns host key checking off unless told otherwise. Empty: our Ansible takes it out again, so that
        # a configuration file that turns it off is seen, and reported as not followed.
        "ANSIBLE_HOST_KEY_CHECKING": os.environ.get("ANSIBLE_HOST_KEY_CHECKING", ""),
    }
    if generated:
        # The inventory is one we wrote: asking every inventory plugin whether it knows the format takes time.
        environment["ANSIBLE_INVENTORY_ENABLED"] = "yaml"
    if not _can_keep_files():
        environment["ANSIBLE_HOME"] = str(folder / "ansible")  # else Ansible would not start
    if sys.platform == "darwin":
        # Otherwise a forked worker can crash in the Objective-C runtime (ansible/ansible#32499).
        environment["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
    return environment
