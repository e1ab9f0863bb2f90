#!/usr/bin/env python3
"""Write the README of each role from its argument specification; with --check, report whether they are up to date."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pages import TOP, table, write_or_check

ROLES = TOP / "collection" / "roles"
GALAXY = yaml.safe_load((TOP / "collection" / "galaxy.yml").read_text(encoding="utf-8"))
WIDTH = 120
COLUMNS = ("variable", "type", "default", "meaning")

#: Variables of the example of each role; one without any runs as it is.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "check": {"mlx_script": "train.py", "mlx_environment": "requirements.lock"},
    "env": {"mlx_environment": "requirements.lock", "mlx_wheelhouse": "wheels"},
    "fetch": {"mlx_fetch": ["weights.npz", "checkpoints/**"]},
    "hostfile": {"mlx_hostfile_path": "hosts.json"},
    "launch": {"mlx_script": "train.py", "mlx_environment": "requirements.lock"},
    "network": {"mlx_network_over": "thunderbolt"},
    "prepare": {"mlx_prepare_apply": True},
    "project": {"mlx_script": "llm/train.py", "mlx_project_dir": "llm"},
}
#: Roles that go before this one, in a play.
BEFORE = {"fetch": ("launch",)}

#: Ansible's markup for documentation, by its letters; see "Linking and other format macros within module documentation".
_MARKUP = re.compile(r"\b(RV|[BCEILMOPUV])\(([^()]*)\)")
_CODE = frozenset({"C", "E", "O", "RV", "V"})


def main(argv: list[str]) -> int:
    """Write or check the pages; return the exit status."""
    return write_or_check({role / "README.md": page(role) for role in sorted(ROLES.iterdir())}, argv)


def page(role: Path) -> str:
    """Return the README of a role."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    name = f"{GALAXY['namespace']}.{GALAXY['name']}.{role.name}"
    head = f"# {name}\n\n<!-- Made by `make docs` from meta/argument_specs.yml; edit that. -->\n\n"
    points = [entry_point(point, spec) for point, spec in specs.items()]
    return head + "\n".join([*points, example(role.name), tail(role.name, specs["main"])])


def entry_point(point: str, spec: Mapping[str, Any]) -> str:
    """Return the section of an entry point: its purpose and its variables."""
    title = "" if point == "main" else f"## With `tasks_from: {point}`\n\n"
    rows = list(variables(spec.get("options", {})))
    text = title + plain(spec["short_description"]) + ".\n\n" + "".join(map(item, paragraphs(spec)))
    return text + (f"\n{table([COLUMNS, *rows])}" if rows else "")


def item(text: str) -> str:
    """Return a text as an item of a list."""
    return wrapped(f"- {plain(text)}", "  ")


def wrapped(text: str, indent: str = "") -> str:
    """Return a text in lines of the width of all pages."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) + "\n"


def variables(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Yield a row for each variable, and for the keys of one that is a mapping."""
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if option.get("elements") else "")
        meaning = [*map(plain, paragraphs(option))]
        if option.get("choices"):
            meaning.append(f"One of {', '.join(f'`{choice}`' for choice in option['choices'] if choice != '')}.")
        default = "required" if option.get("required") else value(option.get("default"))
        yield f"`{prefix}{name}`", kind, default, " ".join(meaning).replace("|", r"\|")
        yield from variables(option.get("options", {}), f"{prefix}{name}.")


def value(default: Any) -> str:
    """Return a default as YAML has it; nothing for one that is empty."""
    if default in (None, "", [], {}):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def paragraphs(documented: Mapping[str, Any]) -> list[str]:
    """Return a description as a list of texts without line breaks."""
    texts = documented.get("description") or []
    return [" ".join(text.split()) for text in ([texts] if isinstance(texts, str) else texts)]


def plain(text: str) -> str:
    """Return a text with Markdown in the place of Ansible's markup."""
    return _MARKUP.sub(lambda found: _marked(found[1], found[2]), text)


def _marked(letter: str, inside: str) -> str:
    if letter in _CODE:
        return f"`{inside}`"
    if letter == "M":
        return f"`{inside}` (module)"
    if letter == "P":
        name, _, kind = inside.partition("#")
        return f"`{name}` ({kind})"
    if letter == "L":
        text, _, address = inside.rpartition(",")
        return f"[{text.strip()}]({address.strip()})"
    return {"B": "**{}**", "I": "*{}*", "U": "<{}>"}[letter].format(inside)


def example(role: str) -> str:
    """Return a section with a play that has the role in it."""
    names = (*BEFORE.get(role, ()), role)
    wanted = {name: value for each in names for name, value in EXAMPLES.get(each, {}).items()}
    play: dict[str, Any] = {"name": plays_name(names), "hosts": "mlx", "gather_facts": False}
    play |= {"vars": wanted} if wanted else {}
    play["roles"] = [{"role": f"mlxlaunch.cluster.{name}"} for name in names]
    return f"## Example\n\n```yaml\n{yaml.dump([play], sort_keys=False, Dumper=_Indented)}```\n"


def plays_name(roles: Sequence[str]) -> str:
    """Return a name for a play of roles."""
    return " and ".join(roles).capitalize()


class _Indented(yaml.SafeDumper):
    """Writes the items of a list further to the right than its name, as ansible-lint wants it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Begin a list or mapping."""
        super().increase_indent(flow, False)


def tail(role: str, spec: Mapping[str, Any]) -> str:
    """Return the sections that all roles have."""
    where = f"{GALAXY['repository']}/blob/main"
    text = (
        f"Those of the [collection]({where}/collection/README.md#requirements). `ansible-doc -t role mlxlaunch.cluster.{role}` "
        f"shows this page in a terminal. [Settings]({where}/docs/settings.md) has the name of a variable on a command line and in Python."
    )
    licence = f"{GALAXY['license'][0]}. {', '.join(spec['author'])}."
    return f"## Requirements\n\n{wrapped(text)}\n## Licence and authors\n\n{licence}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
