# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the hosts of a task, as Ansible's variables describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._ansible import Connector, inventory_sources, layered_env
from ._backends import check_env
from ._errors import UsageError
from ._hostfile import check_host_name
from ._hostfile_inventory import ssh_name
from ._plan import HostSettings, host_settings
from ._program import agent, host_command, supervisor
from ._settings import JobSettings

if TYPE_CHECKING:
    from ._deploy import Access


class Hosts:
    """What a task can know of its hosts.

    Args:
        task, play_context, templar, task_vars: those of the action.
        env: variables for the ranks that are stronger than those of the inventory.
    """

    def __init__(self, task: Any, play_context: Any, templar: Any, task_vars: Mapping[str, Any], env: Mapping[str, str]) -> None:
        self._hostvars = task_vars["hostvars"]
        self._task_vars = task_vars
        self._templar = templar
        self._env = dict(env)
        self._connector = Connector(task, play_context)

    @property
    def sources(self) -> list[str]:
        """Paths of the inventory."""
        return inventory_sources(self._hostvars)

    def names(self, group: str) -> list[str]:
        """Return the hosts of a group that take part, in inventory order.

        Raises:
            UsageError: there is none.
        """
        members = self._task_vars.get("groups", {}).get(group)
        if not members:
            known = ", ".join(sorted(self._task_vars.get("groups", {})))
            where = ", ".join(inventory_sources(self._hostvars)) or "no inventory is given"
            raise UsageError(f"inventory {where}: group {group!r} has no hosts; the groups are: {known}")
        chosen = set(self._task_vars.get("ansible_play_hosts_all") or members)
        # A play for localhost drives the group as a whole; a play for the group honours --limit.
        inside = [name for name in members if name in chosen]
        return inside or list(members)

    def settings(self, name: str) -> HostSettings:
        """Return what is set for a host, or raise UsageError naming the host and the variable."""
        check_host_name(name, "inventory")
        variables = self._hostvars[name]
        env: dict[str, str] = {}
        for layer in layered_env(self._hostvars, self._templar, name):
            if not isinstance(layer, Mapping):
                raise UsageError(f"{name}: mlx_env: want a mapping of names to values")
            env |= check_env(layer, f"{name}: mlx_env")
        local = variables.get("ansible_connection") in ("local", "ansible.builtin.local")
        return host_settings(name, variables, env | self._env, local)

    def ssh_name(self, host: HostSettings) -> str:
        """Return what mlx.launch would give to ssh for a host."""
        return ssh_name(host, self._hostvars[host.name])

    def access(self, host: HostSettings, settings: JobSettings) -> Access:
        """Return how to deploy to a host."""
        from ._deploy import Access  # late: a launch that brings nothing does without

        variables = self._hostvars[host.name]

        def argv(command: str) -> Sequence[str]:
            return self._connector.argv(host.name, variables, command)

        return Access(argv, host_command(own_pythons(variables), agent()), settings.python or host.python)

    def channel(self, name: str, python: str) -> Callable[[bool], Sequence[str]]:
        """Return what gives the local command that starts the supervisor on a host; True for a connection of its own.

        Raises:
            UsageError: this host cannot be reached in a way that carries a stream.
        """
        variables = self._hostvars[name]
        command = host_command([*own_pythons(variables), *([python] if python else [])], supervisor())
        argv = self._connector.argv(name, variables, command)
        return lambda fresh: self._connector.argv(name, variables, command, fresh=True) if fresh else argv


def own_pythons(variables: Mapping[str, Any]) -> list[str]:
    """Return the interpreter that a host's variables name for Ansible, when it is a path."""
    own = variables.get("ansible_python_interpreter") or ""
    return [own] if own.startswith("/") else []
