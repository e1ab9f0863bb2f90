# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hostfile of inventory hosts, from the variables that Ansible has of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleError
from jinja2.exceptions import UndefinedError

from ..hosts.ansible_core import inventory_variables
from ..hosts.resolve import resolve_ipv4
from ..job.backend_names import AUTO, check_backend
from ..job.errors import UsageError
from ..job.host_settings import limited_devices
from ..job.hostfile import Hostfile, hostfile_from_data
from ..job.structured import structured
from ..plan.inventory import hostfile_from_inventory

#: The variables that a hostfile is made from.
_NAMES = (
    *("ansible_connection", "ansible_host", "ansible_ssh_host", "ansible_user", "ansible_ssh_user"),
    *("mlx_ips", "mlx_rdma", "mlx_slots"),
)


def render_hostfile(
    names: Sequence[str],
    hostvars: Mapping[str, Mapping[str, Any]],
    *,
    ranks: Any = None,
    backend: Any = AUTO,
    env: Mapping[str, object] | None = None,
    user: str | None = None,
    limit: Collection[str] | None = None,
) -> Hostfile:
    """Return the hostfile of hosts; see `hostfile_from_inventory`, whose variables may have templates here.

    `user` is by default the one of Ansible's command line and configuration. With `limit`, only those of the hosts that
    are in it.
    """
    if not isinstance(backend or "", str):
        raise UsageError(f"mlx_backend: {backend!r}: want a name")
    backend = check_backend(backend or AUTO, "hostfile: ")
    chosen = [name for name in names if limit is None or name in limit]
    variables = {name: _variables(name, hostvars) for name in chosen}
    ranks, env = structured(ranks, "mlx_hostfile"), structured(env, "mlx_hostfile_env")
    if limit is not None:
        variables = {name: _limited(own, names, chosen) for name, own in variables.items()}
        ranks = ranks and hostfile_from_data(ranks, "mlx_hostfile").limited(chosen).data("list")
    if user is None:
        user = context.CLIARGS.get("remote_user") or C.DEFAULT_REMOTE_USER or ""
    return hostfile_from_inventory(chosen, variables, resolve_ipv4, ranks=ranks, backend=backend, env=env, user=user)


def _limited(variables: Mapping[str, Any], members: Sequence[str], chosen: Sequence[str]) -> dict[str, Any]:
    devices = variables.get("mlx_rdma")
    cut = {"mlx_rdma": list(limited_devices(devices, members, chosen))} if isinstance(devices, (list, tuple)) else {}
    return {**variables, **cut}


def hostfile_text(
    names: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]], *, schema: Any, backend: Any, env: Any, ranks: Any, user: str
) -> str:
    """Return the content of a hostfile, from a task's options; see `render_hostfile`. An empty option has its default.

    Raises:
        UsageError: naming the option that is wrong.
    """
    schema, env = schema or "list", structured(env or {}, "mlx_hostfile_env")
    check_choice("schema", schema, ("list", "object"))
    if not isinstance(env, Mapping):
        raise UsageError(f"mlx_hostfile_env: {env!r}: want a mapping of names to values")
    return render_hostfile(names, hostvars, ranks=ranks, backend=backend, env=env, user=user).render(schema)


def hostfile_path(given: Any, inventory: Sequence[str]) -> str:
    """Return the path of the file on the controller, "" for none; raise UsageError when it is an inventory source."""
    given = given or ""
    if not isinstance(given, str) or "\0" in given:
        raise UsageError(f"mlx_hostfile_path: {given!r} is not a path")
    try:
        path = str(Path(given).expanduser().resolve()) if given else ""
    except (RuntimeError, OSError) as exc:  # no such user, links in a circle
        raise UsageError(f"mlx_hostfile_path: {given}: {exc}") from None
    if path and any(_reads(Path(source).resolve(), Path(path)) for source in inventory):
        raise UsageError(f"mlx_hostfile_path: {given} is the inventory; name another file, or none with mlx_hostfile_path=''")
    return path


def _reads(source: Path, path: Path) -> bool:
    """Return whether an inventory source is this file, by any name, or a directory whose files are all read."""
    if source.is_dir():
        return path.is_relative_to(source)
    return path == source or (path.exists() and source.exists() and path.samefile(source))


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise UsageError unless an option has one of its values."""
    if value not in choices:
        raise UsageError(f"hostfile: {name} {value!r}: want {' or '.join(choices)}")


def _variables(host: str, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the host's variables that count, templated; raise UsageError naming host and variable if one fails."""
    own, found = inventory_variables(hostvars, host), {}
    for name in _NAMES:
        try:
            if name in own:
                found[name] = _evaluate(own[name])
        except (AnsibleError, UndefinedError) as exc:
            raise UsageError(f"{host}: {name}: {exc.message}") from None
    return found


def _evaluate(value: Any) -> Any:
    """Return it with the templates in its lists evaluated, which Ansible leaves until an item is used."""
    return [_evaluate(item) for item in value] if isinstance(value, list) else value
