# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the one place that uses what Ansible does not promise to keep.

Seen with ansible-core 2.19, 2.20 and 2.21; tests/integration/test_ansible_versions.py holds each version to it:
- ssh's `Connection._build_command`: the command line for a host as Ansible itself would call it.
- `HostVars._inventory`, `_variable_manager`, `_loader`: to see a variable's layers, not only the winner.
- `constants.DEFAULT_INTERNAL_POLL_INTERVAL`, which the configuration file can set and the environment cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader, shell_loader
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources, get_vars_from_path

from ._errors import UsageError

# Ansible's default. Its -C compresses, which slows down what a fast network carries, and no later or earlier option
# takes it back (ssh(1) sets it whatever -o Compression says); whoever sets ssh_args gets what is set.
_DEFAULT_SSH_ARGS = "-C -o ControlMaster=auto -o ControlPersist=60s"
# A broken channel may have left a master connection that leads nowhere.
_FRESH = ["-o", "ControlPath=none", "-o", "ControlMaster=no"]


_POLL_INTERVAL = 0.01


def calm_main_process() -> None:
    """Let ansible-playbook's main process look for results every 10 ms, not every 1 ms.

    It does nothing else while a job runs, which may take a day, and would use 3 % of a processor for it.
    """
    C.DEFAULT_INTERNAL_POLL_INTERVAL = max(C.DEFAULT_INTERNAL_POLL_INTERVAL, _POLL_INTERVAL)


class Connector:
    """Build the command that reaches a host, as Ansible is configured to reach it.

    Args:
        task: the task on whose behalf, for its keywords (become, remote_user).
        play_context: its play context.
    """

    def __init__(self, task: Any, play_context: Any) -> None:
        self._play_context = play_context
        self._task = task
        self._keys = {key: value for key, value in task.dump_attrs().items() if key != "retries"}
        self._keys["timeout"] = play_context.timeout

    def argv(self, host: str, variables: Mapping[str, Any], command: str, *, fresh: bool = False) -> list[str]:
        """Return the local command line that runs `command` on `host`.

        Args:
            host: the inventory name.
            variables: the host's variables, templated on access.
            command: for the login shell.
            fresh: use no connection that is already open.

        Raises:
            UsageError: a connection type that cannot carry a stream, or one that needs a password.
        """
        # Not the task's: ansible-core 2.21 writes the first host's connection there.
        kind = variables.get("ansible_connection") or context.CLIARGS.get("connection") or C.DEFAULT_TRANSPORT
        command = self._with_become(host, variables, command)
        if kind in ("local", "ansible.builtin.local"):
            return ["/bin/sh", "-c", command]
        if kind not in ("ssh", "smart", "ansible.builtin.ssh"):
            raise UsageError(f"{host}: connection type {kind!r} cannot carry a live stream; use ssh or local")
        return self._ssh(host, variables, command, fresh)

    def _ssh(self, host: str, variables: Mapping[str, Any], command: str, fresh: bool) -> list[str]:
        connection = connection_loader.get("ansible.builtin.ssh", self._play_context)
        connection.set_options(task_keys=self._keys, var_options=_consumed("connection", connection._load_name, variables))
        if connection.get_option("password"):
            raise UsageError(f"{host}: ansible_password is set; a launch needs a key or an agent")
        address = connection.get_option("host") or host
        if address.startswith("-"):
            raise UsageError(f"{host}: ansible_host {address!r} begins with '-': ssh would take it for an option")
        # _build_command names the shared connection's socket after it; unset, all hosts would share one.
        connection.host = address
        binary = connection.get_option("ssh_executable")
        built = connection._build_command(binary, "ssh", "-T", "-o", "BatchMode=yes", "--", address, command)
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in built]
        if connection.get_option("ssh_args") == _DEFAULT_SSH_ARGS:
            words.remove("-C")
        at = words.index(binary) + 1
        return words[:at] + (_FRESH if fresh else []) + words[at:]

    def _with_become(self, host: str, variables: Mapping[str, Any], command: str) -> str:
        wanted = variables.get("ansible_become")
        if not (boolean(wanted) if wanted is not None else self._task.become):
            return command
        method = variables.get("ansible_become_method") or self._task.become_method or C.DEFAULT_BECOME_METHOD
        plugin = become_loader.get(method)
        if plugin is None:
            raise UsageError(f"{host}: unknown become method {method!r}")
        plugin.set_options(task_keys=self._keys, var_options=_consumed("become", plugin._load_name, variables))
        if plugin.get_option("become_pass"):
            raise UsageError(f"{host}: become with a password is not possible for a launch; allow it without (NOPASSWD)")
        shell = shell_loader.get("sh")
        shell.executable = "/bin/sh"  # else sudo would be given the whole command line as the name of a program
        return str(plugin.build_become_command(command, shell))


def _consumed(kind: str, name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a host's variables that a plugin reads, templated."""
    names = C.config.get_plugin_vars(kind, name)
    return {key: variables[key] for key in names if key in variables}


def inventory_sources(hostvars: Any) -> list[str]:
    """Return the paths of the inventory, for a message that is about it."""
    return [str(source) for source in hostvars._inventory._sources or () if source]


def layered_env(hostvars: Any, templar: Any, host: str, name: str = "mlx_env") -> list[Mapping[str, Any]]:
    """Return a dictionary variable's values from the most general to the most specific.

    Ansible lets the most specific definition of a variable replace all others; an environment is wanted merged:
    what the inventory says for groups, parents first, then for the host, and last the value in force, which is
    that of the play or the command line where those have one.
    """
    inventory, manager, loader = hostvars._inventory, hostvars._variable_manager, hostvars._loader
    machine = inventory.get_host(host)
    if machine is None:
        return []
    groups = sorted(machine.get_groups(), key=lambda group: (group.depth, group.priority, group.name))
    basedir = loader.get_basedir()
    layers = []
    for entity in (*groups, machine):
        found = entity.get_vars()
        for stage in ("inventory", "task"):
            found = combine_vars(found, get_vars_from_inventory_sources(loader, inventory._sources, [entity], stage))
            found = combine_vars(found, get_vars_from_path(loader, basedir, [entity], stage))
        layers.append(found.get(name))
    variables = manager.get_vars(host=machine, include_hostvars=False)
    layers.append(variables.get(name))
    templar = templar.copy_with_new_env(available_variables=variables)
    return [layer for layer in (templar.template(raw) for raw in layers if raw) if layer]
