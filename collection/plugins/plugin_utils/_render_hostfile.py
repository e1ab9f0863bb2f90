# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the hostfile of inventory hosts, from the variables that Ansible has of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from jinja2.exceptions import UndefinedError

from ._errors import UsageError
from ._hostfile import Hostfile
from ._hostfile_inventory import hostfile_from_inventory
from ._resolve import resolve_ipv4

#: What a hostfile is made of.
_NAMES = ("ansible_connection", "ansible_host", "ansible_user", "mlx_ips", "mlx_rdma", "mlx_slots")


def render_hostfile(
    names: Sequence[str],
    hostvars: Mapping[str, Mapping[str, Any]],
    *,
    ranks: Any = None,
    backend: str = "",
    env: Mapping[str, object] | None = None,
) -> Hostfile:
    """Return the hostfile of hosts; see `hostfile_from_inventory`, whose variables may have templates here."""
    variables = {name: _variables(name, hostvars) for name in names}
    return hostfile_from_inventory(names, variables, resolve_ipv4, ranks=ranks, backend=backend, env=env)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise UsageError unless an option has one of its values."""
    if value not in choices:
        raise UsageError(f"hostfile: {name} {value!r}: want {' or '.join(choices)}")


def _variables(host: str, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the host's variables that count, templated; a template that fails is told with host and name."""
    found = {}
    for name in _NAMES:
        try:
            if name in hostvars[host]:
                found[name] = _evaluate(hostvars[host][name])
        except (AnsibleError, UndefinedError) as exc:
            raise UsageError(f"{host}: {name}: {exc.message}") from None
    return found


def _evaluate(value: Any) -> Any:
    """Return it with the templates in its lists evaluated, which Ansible leaves until an item is used."""
    return [_evaluate(item) for item in value] if isinstance(value, list) else value
