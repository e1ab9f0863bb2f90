# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of a task, as Ansible's variables describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..job.env import check_env
from ..job.errors import UsageError
from ..job.host_settings import HostSettings, host_settings, limited
from ..job.hostfile import check_host_name
from ..job.settings import SETTINGS, JobSettings, env_of
from ..plan.inventory import reach_record, ssh_name
from ..plan.misspelled import misspelled
from .ansible_core import Connector, HostVariables, TaskVariables, hosts_of_task, inventory_sources, keyword_env, own_python
from .bootstrap import agent, host_command, supervisor

if TYPE_CHECKING:
    from .access import Access, Way


_HERE = "localhost"
_BUILT_IN = {"all", "ungrouped"}  # groups that every inventory has
_LEFT = "left the play: failed, unreachable or ended"
_NOT_ASKED = "Ansible does not run this task there"
_UNWANTED = "when is false there"


class Hosts:
    """The hosts that a task knows of.

    Args:
        task, play_context, templar, task_vars: those of the action.
        env: variables for the ranks that are stronger than those of the inventory.

    Attributes:
        absent: by host, why it takes no part, of those in the play that belong to a group asked for so far.
    """

    def __init__(self, task: Any, play_context: Any, templar: Any, task_vars: Mapping[str, Any], env: Mapping[str, str]) -> None:
        self.absent: dict[str, str] = {}
        self._hostvars = task_vars["hostvars"]
        self._task = task
        self._task_vars = task_vars
        self._variables = TaskVariables(task, templar, task_vars)
        self._env = dict(env)
        self._keyword_env = keyword_env(task, templar)
        self._connector = Connector(task, play_context)

    @property
    def sources(self) -> list[str]:
        """Paths of the inventory."""
        return inventory_sources(self._hostvars)

    @property
    def limit(self) -> str:
        """The pattern of --limit, empty without."""
        return str(self._task_vars.get("ansible_limit") or "")

    def names(self, group: str) -> list[str]:
        """Return the hosts of a group that take part, in inventory order: those for which Ansible would run the task.

        Raises:
            UsageError: there is none, or a condition cannot be evaluated for one of them.
        """
        members = self._task_vars.get("groups", {}).get(group)
        if not members:
            known = ", ".join(sorted(self._task_vars.get("groups", {})))
            where = ", ".join(inventory_sources(self._hostvars)) or "no inventory is given"
            unread = members is not None or not set(self._task_vars.get("groups", {})) - _BUILT_IN
            hint = "; ansible-inventory --graph shows what Ansible reads there" if unread else ""
            raise UsageError(f"inventory {where}: group {group!r} has no hosts; the groups are: {known}{hint}")
        chosen = set(self._task_vars.get("ansible_play_hosts_all") or members)
        # A play for localhost drives the group as a whole; a play for the group honours --limit.
        inside = [name for name in members if name in chosen]
        if self.limit and not inside:
            raise UsageError(f"--limit {self.limit}: no host of group {group!r} is left")
        if _HERE in chosen and not self.limit and 0 < len(inside) < len(members):
            # Our plays are for a group and localhost, by a pattern that sees no variable of the inventory.
            text = f"mlx_group is {group!r}, by a variable that a play's hosts cannot see"
            raise UsageError(f"{text}; give it with --group {group}, or -e mlx_group={group}")
        if not inside:
            return list(members)
        self.absent |= self._absent(inside)
        present = [name for name in inside if name not in self.absent]
        if not present:
            raise UsageError(f"group {group!r}: no host is left; {self.absence}")
        return present

    def _absent(self, members: Sequence[str]) -> dict[str, str]:
        """Return why hosts of the play take no part, by name, of those that are not known yet to take none."""
        playing = set(self._task_vars.get("ansible_play_hosts", members))
        seen = hosts_of_task(self._task)
        asked = playing if seen is None else set(seen)
        conditions = self._task.when or ()
        found = {}
        for name in members:
            if name in self.absent or name == self._task_vars.get("inventory_hostname"):
                continue  # for that one Ansible has asked already
            if name not in asked:
                found[name] = _NOT_ASKED if name in playing else _LEFT
            elif conditions and not self.variables(name).meet(conditions):
                found[name] = _UNWANTED
        return found

    @property
    def absence(self) -> str:
        """One line on the hosts that are absent, or ""."""
        by_reason = {reason: [name for name in self.absent if self.absent[name] == reason] for reason in self.absent.values()}
        told = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
        return f"hosts that take no part: {told}" if told else ""

    def settings(self, name: str) -> HostSettings:
        """Return the settings of a host, or raise UsageError naming the host and the variable."""
        check_host_name(name, "inventory")
        variables = self.variables(name)
        env = check_env(self._keyword_env, "environment of the play")
        for layer in self._variables.layers(name, "mlx_env"):
            env |= env_of(layer, f"{name}: mlx_env")
        return host_settings(name, variables, env | self._env, self._connector.is_local(variables))

    @property
    def user(self) -> str:
        """The one who logs in where a host's variables name nobody; "" for the one whom ssh takes."""
        return self._connector.user

    def variables(self, name: str) -> HostVariables:
        """Return the variables of a host, as the task would have them if it ran for that host."""
        return self._variables.of(name)

    def members(self, group: str) -> list[HostSettings]:
        """Return the settings of each host of a group that takes part; see `names` and `settings`."""
        chosen = self.names(group)
        members = self._task_vars["groups"][group]
        return [limited(self.settings(name), members, chosen) for name in chosen]

    def ssh_name(self, host: HostSettings) -> str:
        """Return the name by which mlx.launch would reach a host over ssh."""
        return ssh_name(host, self.variables(host.name), self.user)

    def origin(self, hosts: Sequence[HostSettings], paths: Sequence[str]) -> dict[str, Any]:
        """Return where some hosts come from, for the record.

        Args:
            hosts: the hosts.
            paths: of the inventory. Where there are none, what reaches each host, and the names of variables that the
                inventory sets for ranks, are in no file and belong to the record.
        """
        if paths:
            return {"paths": list(paths)}
        env = {name for host in hosts for name in host.env} - set(self._env)
        return {"paths": [], **reach_record({host.name: self.variables(host.name) for host in hosts}), "env": sorted(env)}

    def warnings(self, group: str, given: Mapping[str, Any]) -> list[str]:
        """Return a line for everything about the hosts of a group that is configured and not followed.

        Args:
            group: its name.
            given: settings of the job, by name.
        """
        unknown = misspelled({name: self.variables(name) for name in self.names(group)})
        return [text for text in (self._key_warning(), *self._not_per_host(group, given), *unknown) if text]

    def _key_warning(self) -> str:
        """Return one line on hosts that are not to be known by their keys, of those connected to so far, or "".

        Their keys are checked all the same.
        """
        unfollowed = self._connector.unfollowed
        options = ", ".join(dict.fromkeys(option for found in unfollowed.values() for option in found))
        text = f"host keys are checked all the same: {options} in Ansible's configuration or the inventory is not followed"
        return f"{text} ({', '.join(unfollowed)})" if unfollowed else ""

    def _not_per_host(self, group: str, given: Mapping[str, Any]) -> list[str]:
        """Return a line for each variable with different values for hosts of which only that of one host counts."""
        name = self._task_vars["inventory_hostname"]
        own, others = self.variables(name), {other: self.variables(other) for other in self.names(group)}
        lines = []
        for setting in (setting for setting in SETTINGS if setting.variable in own):
            variable = setting.variable
            unlike = [other for other, found in others.items() if own.differs(found, variable)]
            if setting.per_host and unlike and name not in others:
                lines.append(f"{variable} of {name} does not count, as it runs no rank; set it for {', '.join(unlike)}")
            # A default, that of a role for example, is nobody's wish.
            unlike = [other for other in unlike if not setting.is_default(others[other].get(variable))]
            if not setting.per_host and unlike and own[variable] == given.get(setting.name, ()):
                lines.append(f"{variable} is one value for the whole job: that of {name} counts, not the other one of {', '.join(unlike)}")
        return lines

    def access(self, host: HostSettings, settings: JobSettings, become: bool | None = None) -> Access:
        """Return how to deploy to a host; `become` as for `Connector.argv`."""
        from .access import Access

        variables = self.variables(host.name)

        def argv(command: str) -> Sequence[str]:
            return self._connector.argv(host.name, variables, command, become=become)

        command = host_command(own_pythons(variables), agent(), trust_owner=settings.trust_owner)
        return Access(argv, command, settings.python or host.python)

    def way(self, name: str, *, key_only: bool) -> Way:
        """Return how ssh reaches a host; see `Connector.way`."""
        return self._connector.way(name, self.variables(name), key_only=key_only)

    def command(self, name: str, program: bytes, trust_owner: str = "") -> str:
        """Return the shell command that runs a program in the Python that an agent would have on a host."""
        return host_command(own_pythons(self.variables(name)), program, trust_owner=trust_owner)

    def access_of(self, hosts: Sequence[HostSettings], settings: JobSettings, become: bool | None = None) -> dict[str, Access]:
        """Return how to deploy to each of some hosts, by name."""
        return {host.name: self.access(host, settings, become) for host in hosts}

    def channel(self, name: str, python: str, trust_owner: str = "") -> Callable[[bool], Sequence[str]]:
        """Return a function that gives the local command for a supervisor; True for a connection of its own.

        Raises:
            UsageError: this host cannot be reached in a way that carries a stream.
        """
        variables = self.variables(name)
        command = host_command(own_pythons(variables), supervisor(), [python] if python else [], trust_owner)
        argv = self._connector.argv(name, variables, command)
        return lambda fresh: self._connector.argv(name, variables, command, fresh=True) if fresh else argv


def own_pythons(variables: Mapping[str, Any]) -> list[str]:
    """Return the interpreter that is named for Ansible on a host, when it is a path."""
    own = own_python(variables)
    return [own] if own else []
