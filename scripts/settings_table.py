#!/usr/bin/env python3
"""Write docs/settings.md from the one list of settings, or with --check say whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / ".ansible")]

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._settings import HOST, SETTINGS, Setting  # noqa: E402

PAGE = TOP / "docs" / "settings.md"
HEAD = """\
# Settings

<!-- Made by `make docs` from collection/plugins/plugin_utils/_settings.py; edit that. -->

Every setting has one name. On the command line it is a flag, in inventory, playbook and role it is a variable that
begins with `mlx_`, in Python it is an argument of `run_job`, and in a task an option of `mlxlaunch.cluster.launch`.

The command line, or Python, is stronger than the inventory; within the inventory Ansible's rules decide. `mlx_env` is
merged instead: groups, parents first, then the host, then the play, then the command line.

"""
COLUMNS = ("command line", "inventory, playbook", "Python", "default", "meaning")
#: How the command line calls what is not a flag there.
POSITIONAL = {"script": "`SCRIPT`", "args": "`ARGUMENT...`", "command": "`-- COMMAND...`"}


def main(argv: list[str]) -> int:
    """Write or check the page; return the exit status."""
    text = HEAD + table()
    if argv == ["--check"]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print(f"{PAGE.relative_to(TOP)} is not what the settings say; run: make docs", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


def table() -> str:
    """Return the settings as a Markdown table."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(row(setting) for setting in SETTINGS)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def row(setting: Setting) -> tuple[str, ...]:
    """Return one setting's cells."""
    return (
        flags(setting),
        f"`{setting.variable}`" + (", per host" if setting.scope == HOST else ""),
        "" if setting.name in INVENTORY_ONLY else f"`{setting.name}`",
        default(setting),
        setting.doc.replace("|", r"\|"),
    )


def flags(setting: Setting) -> str:
    """Return how the command line calls it."""
    value = f" {setting.metavar}" if setting.metavar else ""
    return ", ".join(f"`{flag}{value}`" for flag in setting.flags) or POSITIONAL.get(setting.name, "")


def default(setting: Setting) -> str:
    """Return the default as YAML has it; nothing where the meaning tells it."""
    if setting.default in ("", (), {}):
        return ""
    if isinstance(setting.default, bool):
        return "yes" if setting.default else "no"
    return f"`{setting.default:g}`" if isinstance(setting.default, float) else f"`{setting.default}`"


#: What describes a machine and not a job.
INVENTORY_ONLY = frozenset(setting.name for setting in SETTINGS if setting.scope == HOST and not setting.flags)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
