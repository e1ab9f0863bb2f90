# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that uses the parts of Ansible that it does not promise to keep.

Seen with ansible-core 2.19, 2.20 and 2.21; the tests that are marked `versions` hold each version to it:
- ssh's `Connection._build_command`: the command line for a host as Ansible itself would call it; and its
  `_original_path`, by which a plugin of the user's with that name is known.
- `HostVars._inventory`, `_variable_manager`, `_loader`: to see the variables of every host, and a variable's layers.
- `Task._parent` and `Block._play`: the play of a task, whose variables count for every host.
- `AnsibleCollectionConfig.collection_paths`: where Ansible looks for collections, in its order.
- `constants.DEFAULT_INTERNAL_POLL_INTERVAL`, which the configuration file can set and the environment cannot.
- `Display.display` of the one display, by which the thread that takes workers' results shows what they have to show;
  it leaves the flush of standard output to whoever forks a worker.
- `host_tasks` in `run` of the strategy `linear`, of which a worker is a fork: the hosts that a task is for.
- `Task.run_once` as the worker leaves it: whether Ansible registers the result for every host.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleError, AnsibleUndefinedVariable, AnsibleValueOmittedError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins import connection as connection_plugins
from ansible.plugins.loader import become_loader, connection_loader, shell_loader
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.utils.display import Display
from ansible.utils.vars import combine_vars
from ansible.vars.hostvars import HostVars
from ansible.vars.plugins import get_vars_from_inventory_sources, get_vars_from_path
from jinja2.exceptions import UndefinedError

from ..job.errors import UsageError
from ..job.programs import SSH, how_to_get, is_here
from .access import Way
from .host_keys import with_check
from .passwords import after_password, with_askpass, with_input

# Ansible's default. Its -C compresses, which slows down what a fast network carries, and no later or earlier option
# takes it back (ssh(1) sets it whatever -o Compression says); whoever sets ssh_args gets what is set.
_DEFAULT_SSH_ARGS = "-C -o ControlMaster=auto -o ControlPersist=60s"
# A broken channel may have left a master connection that leads nowhere.
_FRESH = ["-o", "ControlPath=none", "-o", "ControlMaster=no"]
# No terminal and no command of the user's configuration; and no banner, which is not the reason of anything.
_OURS = ["-o", "RemoteCommand=none", "-o", "LogLevel=ERROR", "-T"]
_BATCH = ["-o", "BatchMode=yes"]
_MAKES_SSH = "look at quotes in ssh_args, ssh_common_args and ssh_extra_args, and write % in control_path as %%"
_NO_FACTS = "; facts, if it is one, are known only in a play that gathers them"
_POLL_INTERVAL = 0.02
_LOCAL = ("local", "ansible.builtin.local")


def calm_main_process() -> None:
    """Let ansible-playbook's main process look for results every 20 ms, not every 1 ms.

    It does nothing else while a job runs, which may take a day, and would use 3 % of a processor for it.
    """
    C.DEFAULT_INTERNAL_POLL_INTERVAL = max(C.DEFAULT_INTERNAL_POLL_INTERVAL, _POLL_INTERVAL)


def keep_results_coming() -> None:
    """Let ansible-playbook's main process go on when its output cannot be written, as on a full disk.

    An error of that ends the thread that also takes the results of tasks: the play would wait for them for ever. And a
    worker is forked only once the buffer is written, so that an error there would end the play.
    """
    display = Display()
    show = display.display
    failures: list[OSError] = []

    def display_if_possible(*args: Any, **options: Any) -> None:
        try:
            show(*args, **options)
            sys.stdout.flush()
        except BrokenPipeError:
            return  # nobody reads any more: the next worker is not forked, which ends the play
        except OSError as exc:
            _drop_unwritten(sys.stdout)
            failures.append(exc)
            if len(failures) == 1:
                display.warning(f"standard output cannot be written: {exc.strerror}; the play goes on")

    display.display = display_if_possible
    display_if_possible("", newline=False, screen_only=True)  # and with it all that has been said before


def _drop_unwritten(stream: TextIO) -> None:
    """Forget what a stream has not written yet and cannot write."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:  # ValueError: it has no descriptor
        fd = stream.fileno()
        kept = os.dup(fd)
        try:
            os.dup2(nowhere.fileno(), fd)
            stream.flush()
        finally:
            os.dup2(kept, fd)
            os.close(kept)


class Connector:
    """Build the command that reaches a host, as Ansible is configured to reach it.

    Args:
        task: the task on whose behalf, for its keywords (become, remote_user).
        play_context: its play context.

    Attributes:
        user: who logs in where a host's variables name nobody: that of task, command line or configuration.
        unfollowed: by host, what of its configuration would turn off the check of its key, and is not followed.
    """

    def __init__(self, task: Any, play_context: Any) -> None:
        self.unfollowed: dict[str, list[str]] = {}
        self._play_context = play_context
        self._task = task
        self._played: frozenset[str] = frozenset()
        self._keys = {key: value for key, value in task.dump_attrs().items() if key != "retries"}
        self._keys["timeout"] = play_context.timeout
        self.user = str(self._keys.get("remote_user") or "")

    def argv(self, host: str, variables: Mapping[str, Any], command: str, *, fresh: bool = False, become: bool | None = None) -> list[str]:
        """Return the local command line that runs `command` on `host`.

        Args:
            host: the inventory name.
            variables: the host's variables, templated on access.
            command: for the login shell.
            fresh: use no connection that is already open.
            become: whether to become another user, whatever the inventory says; None for its word.

        Raises:
            UsageError: a connection that cannot carry a stream, or a way to become that takes no password from it.
        """
        kind = self.kind(variables)
        command, password = self._with_become(host, variables, command, become)
        words = self._words(kind, host, variables, command, fresh)
        return with_input(words, password, C.DEFAULT_LOCAL_TMP) if password else words

    def _words(self, kind: str, host: str, variables: Mapping[str, Any], command: str, fresh: bool) -> list[str]:
        if kind in _LOCAL:
            return ["/bin/sh", "-c", command]
        if kind not in ("ssh", "smart", "ansible.builtin.ssh"):
            raise UsageError(f"{host}: connection type {kind!r} cannot carry a live stream; use ssh or local")
        return self._ssh(host, variables, command, fresh)

    def kind(self, variables: Mapping[str, Any]) -> str:
        """Return the type of connection to the host with these variables."""
        # Not the task's: ansible-core 2.21 writes the first host's connection there.
        play = self._task.play
        # `connection: local` of a play for localhost is about localhost, and not about the group that it drives.
        of_play = play.connection if play and self._is_played(variables) else ""
        return str(variables.get("ansible_connection") or of_play or context.CLIARGS.get("connection") or C.DEFAULT_TRANSPORT)

    def _is_played(self, variables: Mapping[str, Any]) -> bool:
        """Return whether the host with these variables is one of the play's hosts."""
        # Read once: it is as long as the play has hosts, and has the same value for each of them.
        self._played = self._played or frozenset(variables.get("ansible_play_hosts_all") or ())
        return not self._played or variables.get("inventory_hostname") in self._played

    @cached_property
    def _ssh_plugin(self) -> Any:
        """Ansible's ssh without a host's options; a copy takes a tenth of what its loader takes for another.

        By its short name Ansible has read its documentation before, for the names of its variables. But that may be a
        plugin of the user's.
        """
        plugin = connection_loader.get("ssh", self._play_context)
        own = plugin and Path(plugin._original_path).parent == Path(connection_plugins.__file__).parent
        return plugin if own else connection_loader.get("ansible.builtin.ssh", self._play_context)

    def is_local(self, variables: Mapping[str, Any]) -> bool:
        """Return whether the host with these variables is this machine."""
        return self.kind(variables) in _LOCAL

    def _ssh(self, host: str, variables: Mapping[str, Any], command: str, fresh: bool) -> list[str]:
        way = self.way(host, variables)
        # A connection of Ansible's own, which may be shared, has not checked the key.
        return way.argv(command, _FRESH if fresh or host in self.unfollowed else ())

    def way(self, host: str, variables: Mapping[str, Any], *, key_only: bool = False) -> Way:
        """Return how ssh reaches a host, whatever become says.

        Args:
            host: the inventory name.
            variables: the host's variables, templated on access.
            key_only: log in by key, also where a password is known.

        Raises:
            UsageError: ssh would take its address for an option.
        """
        connection = copy.copy(self._ssh_plugin)
        connection.set_options(task_keys=self._keys, var_options=_consumed("connection", connection._load_name, variables))
        password = "" if key_only else connection.get_option("password") or self._play_context.password
        if key_only:
            connection.set_option("password", None)
        connection.set_option("password_mechanism", "ssh_askpass")  # sshpass would want a descriptor of this process
        address = connection.get_option("host") or host
        if address.startswith("-"):
            raise UsageError(f"{host}: ansible_host {address!r} begins with '-': ssh would take it for an option")
        unchecked = connection.get_option("host_key_checking") is False
        connection.set_option("host_key_checking", True)
        # _build_command names the shared connection's socket after it; unset, all hosts would share one.
        connection.host = address
        binary = connection.get_option("ssh_executable")
        if not is_here(binary):
            hint = how_to_get(SSH) if binary == SSH else "it is named by ssh_executable of Ansible, or ansible_ssh_executable"
            raise UsageError(f"{host}: this machine has no {binary} that can be run; {hint}")
        batch = [] if password else _BATCH
        try:
            built = connection._build_command(binary, "ssh", *_OURS, *batch, "--", address)
        except (ValueError, TypeError) as exc:  # quotes of shlex, and `%` of a path
            raise UsageError(f"{host}: Ansible makes no command line for ssh: {exc}; {_MAKES_SSH}") from None
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in built]
        words, dropped = with_check(words, off=unchecked)
        if unchecked or dropped:
            self.unfollowed[host] = ["host_key_checking=False"] * unchecked + dropped
        if connection.get_option("ssh_args") == _DEFAULT_SSH_ARGS:
            words.remove("-C")
        words = words[words.index(binary) :]
        return Way(tuple(words), tuple(with_askpass([], password, C.DEFAULT_LOCAL_TMP)) if password else ())

    def _with_become(self, host: str, variables: Mapping[str, Any], command: str, become: bool | None) -> tuple[str, str]:
        """Return the command for another user, and the password that it reads first, if any."""
        wanted = variables.get("ansible_become") if become is None else become
        if not (boolean(wanted) if wanted is not None else self._task.become):
            return command, ""
        method = variables.get("ansible_become_method") or self._task.become_method or C.DEFAULT_BECOME_METHOD
        plugin = become_loader.get(method)
        if plugin is None:
            raise UsageError(f"{host}: unknown become method {method!r}")
        plugin.set_options(task_keys=self._keys, var_options=_consumed("become", plugin._load_name, variables))
        password = str(plugin.get_option("become_pass") or self._play_context.become_pass or "")
        if password and plugin.name != "sudo":
            raise UsageError(f"{host}: {method} cannot be given a password by a launch; use sudo, or allow it without one")
        plugin.set_option("become_pass", password)
        shell = shell_loader.get("sh")
        shell.executable = "/bin/sh"  # else sudo would be given the whole command line as the name of a program
        return str(plugin.build_become_command(after_password(command) if password else command, shell)), password


def hosts_of_task(task: Any) -> list[str] | None:
    """Return the hosts that Ansible runs a task for, whatever `when` of the task says; None where that cannot be seen.

    Its variable `ansible_play_hosts` leaves out hosts that a `rescue` has kept in the play, all but the first one of it
    (seen with 2.19 and 2.21), and has those that a dynamic include is not for.
    """
    frame = sys._getframe().f_back
    while frame and not (frame.f_code.co_name == "run" and "host_tasks" in frame.f_code.co_varnames):
        frame = frame.f_back
    return [host.get_name() for host, own in frame.f_locals["host_tasks"] if own._uuid == task._uuid] if frame else None


def register_for_all(task: Any) -> None:
    """Let Ansible register the result of a task for every host of the play, as it does with `run_once`.

    Not for one that fails: with `run_once` Ansible would take all hosts but the first one out of the play then, past
    the `rescue` of its block (seen with 2.19 and 2.21).
    """
    task.run_once = True


def fails(task: Any, templar: Any, task_vars: Mapping[str, Any], result: Mapping[str, Any]) -> bool:
    """Return whether a task with this result fails, by its own word or, if there is one, by `failed_when`."""
    if not task.failed_when:
        return bool(result.get("failed"))
    variables = {**task_vars, str(task.register): result}
    try:
        return HostVariables("", variables, templar.copy_with_new_env(available_variables=variables)).meet(task.failed_when)
    except UsageError:  # Ansible finds it too, and tells
        return True


def collection_paths() -> list[str]:
    """Return the directories where Ansible looks for collections, the first first."""
    return list(AnsibleCollectionConfig.collection_paths)


def has_vault() -> bool:
    """Return whether Ansible has a vault's password, so that any variable may be a secret."""
    given = (context.CLIARGS.get(name) for name in ("vault_ids", "vault_password_files", "ask_vault_pass"))
    return any(given) or bool(C.DEFAULT_VAULT_PASSWORD_FILE or C.DEFAULT_VAULT_IDENTITY_LIST)


def own_python(variables: Mapping[str, Any]) -> str:
    """Return the path of the interpreter that a host's variables or the configuration name for Ansible, or ""."""
    named = str(variables.get("ansible_python_interpreter") or C.config.get_config_value("INTERPRETER_PYTHON") or "")
    return named if named.startswith("/") else ""


def keyword_env(task: Any, templar: Any) -> dict[str, Any]:
    """Return the variables that `environment:` of task, role, block and play sets, the innermost last."""
    found: dict[str, Any] = {}
    for layer in task.environment or ():
        found |= templar.template(layer) or {}
    return found


def _consumed(kind: str, name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a host's variables that a plugin reads, templated."""
    names = C.config.get_plugin_vars(kind, name)
    return {key: variables[key] for key in names if key in variables}


def inventory_sources(hostvars: Any) -> list[str]:
    """Return the paths of the inventory, for a message that is about it."""
    return [str(source) for source in hostvars._inventory._sources or () if source]


class HostVariables(Mapping[str, Any]):
    """The variables of a host, templated on access to plain values. One that is `omit` is None, as one without a value.

    Args:
        host: the inventory name.
        raw: the variables, with their templates.
        templar: evaluates templates with these variables.
    """

    def __init__(self, host: str, raw: Mapping[str, Any], templar: Any) -> None:
        self._host = host
        self._raw = raw
        self._templar = templar

    def __getitem__(self, name: str) -> Any:
        return self.evaluate(name, self._raw[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __contains__(self, name: object) -> bool:
        return name in self._raw

    def differs(self, other: HostVariables, name: str) -> bool:
        """Return whether a variable has another value for another host; only templates are evaluated."""
        own, others = self._raw.get(name), other._raw.get(name)
        return own != others or ("{{" in str(own) and self.get(name) != other.get(name))

    def meet(self, conditions: Sequence[str | bool]) -> bool:
        """Return whether all conditions are true; an error names host and condition."""
        for condition in conditions:
            try:
                if not self._templar.evaluate_conditional(condition):
                    return False
            except (AnsibleError, UndefinedError) as exc:
                raise UsageError(f"{self._host}: when: {condition}: {' '.join(str(exc.message).split())}") from None
        return True

    def evaluate(self, name: str, value: Any) -> Any:
        """Return a value of the variable `name` with its templates evaluated; an error names host and variable."""
        try:
            return _plain(self._templar.template(value))
        except AnsibleValueOmittedError:
            return None
        except (AnsibleError, UndefinedError) as exc:
            hint = _NO_FACTS if isinstance(exc, AnsibleUndefinedVariable) and "ansible_" in str(value) else ""
            raise UsageError(f"{self._host}: {name}: {' '.join(str(exc.message).split())}{hint}") from None


def inventory_variables(hostvars: Any, host: str) -> Mapping[str, Any]:
    """Return the variables that `hostvars` has of a host; as in a task, templates in them may refer to other hosts.

    Ansible's own `hostvars[host]` does not know `hostvars` (seen with 2.19).
    """
    if not isinstance(hostvars, HostVars):  # a filter may be given any mapping
        found: Mapping[str, Any] = hostvars[host]
        return found
    if host not in hostvars:
        raise UsageError(f"{host}: there is no such host in the inventory")
    raw = {**hostvars.raw_get(host), "hostvars": hostvars}
    return HostVariables(host, raw, Templar(loader=hostvars._loader, variables=raw))


class TaskVariables:
    """The variables of every host, as a task has them that runs for this host.

    Ansible gives an action the variables of one host. `hostvars` has those of all hosts, but only what inventory, facts
    and the command line say: not what play, roles, blocks and task add.

    Args:
        task, templar, task_vars: those of the action.
    """

    def __init__(self, task: Any, templar: Any, task_vars: Mapping[str, Any]) -> None:
        self._hostvars = task_vars["hostvars"]
        self._task = task
        self._templar = templar
        self._loop = {name: task_vars[name] for name in _loop_names(task_vars) if name in task_vars}
        self._found: dict[str, HostVariables] = {}

    def of(self, host: str) -> HostVariables:
        """Return the variables of a host."""
        if host not in self._found:
            variables = self._get_vars(host)
            self._found[host] = HostVariables(host, variables, self._templar.copy_with_new_env(available_variables=variables))
        return self._found[host]

    def _get_vars(self, host: str) -> dict[str, Any]:
        machine = self._hostvars._inventory.get_host(host)
        variables: dict[str, Any] = self._hostvars._variable_manager.get_vars(play=_play_of(self._task), host=machine, task=self._task)
        return variables | self._loop

    def layers(self, host: str, name: str) -> list[Any]:
        """Return a variable's values from the most general to the most specific, templated.

        Ansible lets the most specific definition of a variable replace all others; an environment is wanted merged.
        First come the inventory's values for groups, parents before their children, then those for the host. The value
        in force is the last: it is that of the play, its task or the command line where those have one.
        """
        hostvars, variables = self._hostvars, self.of(host)
        inventory, loader = hostvars._inventory, hostvars._loader
        machine = inventory.get_host(host)
        groups = sorted(machine.get_groups(), key=lambda group: (group.depth, group.priority, group.name))
        layers = []
        for entity in (*groups, machine):
            found = entity.get_vars()
            for stage in ("inventory", "task"):
                found = combine_vars(found, get_vars_from_inventory_sources(loader, inventory._sources, [entity], stage))
                found = combine_vars(found, get_vars_from_path(loader, loader.get_basedir(), [entity], stage))
            layers.append(found.get(name))
        layers = [variables.evaluate(name, raw) for raw in layers if raw]
        return [layer for layer in (*layers, variables.get(name)) if layer]


def _loop_names(task_vars: Mapping[str, Any]) -> list[str]:
    """Return the names of the variables that a loop over the task sets."""
    named = [task_vars.get(name) for name in ("ansible_loop_var", "ansible_index_var")]
    return [name for name in (*named, "ansible_loop_var", "ansible_index_var", "ansible_loop") if name]


def _play_of(task: Any) -> Any:
    """Return the play of a task, None for one that is in no play."""
    parent = task._parent
    while parent is not None and not hasattr(parent, "_play"):
        parent = parent._parent
    return parent and parent._play


def _plain(value: Any) -> Any:
    """Return a value with the templates in its items evaluated, which Ansible leaves until an item is used."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
