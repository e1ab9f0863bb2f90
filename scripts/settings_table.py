#!/usr/bin/env python3
"""Write docs/settings.md from the one table of settings; with --check, report whether it is up to date."""

from __future__ import annotations

import sys

from pages import TOP, table, write_or_check

sys.path[:0] = [str(TOP / ".ansible")]

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import HOST, SETTINGS, Setting  # noqa: E402 - where it is found is known only now

PAGE = TOP / "docs" / "settings.md"
HEAD = """\
# Settings

<!-- Made by `make docs` from collection/plugins/plugin_utils/job/settings.py; edit that. -->

Every setting has one name. On the command line it is a flag, in inventory, playbook and role it is a variable that
begins with `mlx_`, in Python it is an argument of `run_job`, and in a task an option of `mlxlaunch.cluster.launch`.

The command line, or Python, is stronger than all variables; between variables Ansible's rules decide. A variable may be
set wherever Ansible lets you set one: in an inventory of any kind, `group_vars` and `host_vars`, in `vars` of a play,
role, block or task, in `vars_files`, `include_vars` and `set_fact`, in a vault, and with `-e`.

- Variables marked "per host" may differ between hosts, also by a template: `mlx_python: /opt/{{ inventory_hostname }}`.
  All others have one value, that of the play's first host. A line says where another host has another one.
- `mlx_env` is merged: groups, parents first, then the host, then the value in force in the play, then the command line.
- A list or mapping in an INI inventory, or in `-e NAME=VALUE`, is text. It is read as JSON, Python or YAML if it begins
  with a bracket; a text that is none of them is refused. Any other text for a list is split as a shell splits words.
- Texts are converted as Ansible does: `no`, `off` and `n`, `"2"` and `1e3`.
- `null`, and a template that is `omit`, are as no value.

"""
COLUMNS = ("command line", "inventory, playbook", "Python", "default", "meaning")
#: Settings that are positional arguments on the command line.
POSITIONAL = {"script": "`SCRIPT`", "args": "`ARGUMENT...`", "command": "`-- COMMAND...`"}


def main(argv: list[str]) -> int:
    """Write or check the page; return the exit status."""
    return write_or_check({PAGE: HEAD + table([COLUMNS, *(row(setting) for setting in SETTINGS)])}, argv)


def row(setting: Setting) -> tuple[str, ...]:
    """Return one setting's cells."""
    return (
        flags(setting),
        f"`{setting.variable}`" + (", per host" if setting.scope == HOST else ""),
        "" if setting.name in NOT_IN_PYTHON else f"`{setting.name}`",
        default(setting),
        setting.doc.replace("|", r"\|"),
    )


def flags(setting: Setting) -> str:
    """Return the setting's flags on the command line."""
    value = f" {setting.metavar}" if setting.metavar else ""
    return ", ".join(f"`{flag}{value}`" for flag in setting.flags) or POSITIONAL.get(setting.name, "")


def default(setting: Setting) -> str:
    """Return the default as YAML has it, or nothing if the meaning tells it."""
    if setting.default in ("", (), {}):
        return ""
    if isinstance(setting.default, bool):
        return "yes" if setting.default else "no"
    return f"`{setting.default:g}`" if isinstance(setting.default, float) else f"`{setting.default}`"


#: Settings of a machine and not of a job, and one of the command's screen.
NOT_IN_PYTHON = frozenset(setting.name for setting in SETTINGS if setting.scope == HOST and not setting.flags) | {"prefix"}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
