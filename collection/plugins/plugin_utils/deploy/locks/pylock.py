# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pylock.toml of PEP 751, which any tool may write, as requirements with hashes. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...job.errors import UsageError
from .exported import HOW_TO_SELECT, Exported, index_options, left_out, only_source, phrase_choices

NAME = re.compile(r"pylock(?:\.[^.]+)?\.toml$")
# What a marker says of the choices of an installation: 'mlx' in extras.
_CHOICE = re.compile(r"""(['"])([^'"]+)\1\s+(not\s+)?in\s+(extras|dependency_groups)""")
_ALWAYS, _NEVER = "python_version >= '0'", "python_version < '0'"


def export(text: str, name: str, extras: Sequence[str], groups: Sequence[str]) -> Exported:
    """Return a lock as requirements.

    Args:
        text: of the file.
        name: the file, as messages call it.
        extras, groups: what is wanted beside the default groups.

    Raises:
        UsageError: naming the file and the package or the choice that is wrong.
    """
    import tomllib  # few runs read a lock

    try:
        content = tomllib.loads(text)
        return _export(content, name, extras, groups)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"{name}: not TOML: {exc}") from None
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise UsageError(f"{name}: not as PEP 751 has it: {exc!r}; lock it again") from None


def _export(content: Mapping[str, Any], name: str, extras: Sequence[str], groups: Sequence[str]) -> Exported:
    if not str(content["lock-version"]).startswith("1."):
        raise UsageError(f"{name}: lock-version {content['lock-version']}: only 1.x is known; lock it with another tool")
    _check_choices(name, "extra", extras, content.get("extras", ()))
    _check_choices(name, "group", groups, content.get("dependency-groups", ()))
    chosen = {"extras": set(extras), "dependency_groups": {*groups, *content.get("default-groups", ())}}
    lines: list[str] = []
    indexes: list[str] = []
    local: list[str] = []
    skipped: set[str] = set()
    for package in content.get("packages", ()):
        marker = _resolve(package.get("marker", ""), chosen)
        if "directory" in package:
            local.append(package["directory"]["path"])
        elif marker == _NEVER or _never(marker):
            skipped.add(package["name"])
        else:
            lines.append(_line(package, marker, name))
            indexes += _indexes(package)
    if not lines:
        choices = phrase_choices(content.get("extras", ()), content.get("dependency-groups", ()))
        raise UsageError(f"{name}: no packages in it" + (f" without {choices}: {HOW_TO_SELECT}" if choices else ""))
    warnings = [left_out(name, local)] if local else []
    if "mlx" in skipped and not any(line.startswith("mlx==") for line in lines):
        choices = phrase_choices(content.get("extras", ()), content.get("dependency-groups", ()))
        warnings.append(f"{name}: mlx is locked, but not in the environment: it is in one of {choices}; {HOW_TO_SELECT}")
    return Exported("".join(lines), index_options(indexes), tuple(warnings))


def _check_choices(name: str, kind: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for choice in wanted:
        if choice not in known:
            raise UsageError(f"{name}: no {kind} {choice} in it; it has {', '.join(known) or 'none'}")


def _resolve(marker: str, chosen: Mapping[str, set[str]]) -> str:
    """Return a marker that says of choices whether they were made; the rest is left to the platform."""

    def answer(match: re.Match[str]) -> str:
        return _ALWAYS if (match[2] in chosen[match[4]]) != bool(match[3]) else _NEVER

    return _CHOICE.sub(answer, marker)


def _never(marker: str) -> bool:
    """Return whether a marker is false on the platforms that hosts may have."""
    from packaging.markers import Marker

    if _NEVER not in marker:
        return False
    systems = ({"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}, {"sys_platform": "linux"})
    return not any(Marker(marker).evaluate({**system, "extra": ""}) for system in systems)


def _line(package: Mapping[str, Any], marker: str, name: str) -> str:
    pin = f"{package['name']}=={package.get('version', '')}"
    for kind in ("vcs", "archive"):
        if kind in package:
            where = package[kind].get("url") or package[kind].get("path")
            raise UsageError(
                f"{name}: {package['name']} is from {where}, and only packages with wheels can be deployed; build a wheel of it"
            )
    files = package.get("wheels") or ([package["sdist"]] if marker and "sdist" in package else [])
    if not files:
        raise UsageError(only_source(name, pin))
    hashes = sorted({f"{kind}:{digest}" for file in files for kind, digest in file["hashes"].items()})
    return f"{pin}{f' ; {marker}' if marker else ''} {' '.join(f'--hash={hash_}' for hash_ in hashes)}\n"


def _indexes(package: Mapping[str, Any]) -> Iterator[str]:
    """Yield the index of a package, and the directories of its wheels that are here."""
    if package.get("index"):
        yield package["index"]
    for wheel in package.get("wheels", ()):
        if "url" not in wheel and wheel.get("path"):
            yield posixpath.dirname(wheel["path"]) or "."
