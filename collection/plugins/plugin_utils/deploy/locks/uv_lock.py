# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The uv.lock of a project or a workspace, which uv exports as requirements with hashes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ....module_utils.shared.credentials import without_credentials
from ...job.errors import UsageError
from .exported import HOW_TO_SELECT, Exported, index_options, left_out, only_source, phrase_choices

# A line of the export that is a directory or file here: -e ./member, ./member or file:///home/ada/member.
_LOCAL = re.compile(r"(?:-e |--editable[ =])?((?:\.{1,2}(?:/|$)|/|file:)\S*)")
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)(?:\s*;\s*([^\\\n]+))?", re.MULTILINE)
_OWN_SOURCES = ("virtual", "editable", "directory")


def export(file: Path, extras: Sequence[str], groups: Sequence[str]) -> Exported:
    """Return the lock of a uv project as requirements.

    Args:
        file: the uv.lock, or the pyproject.toml of the project or of a member of its workspace.
        extras, groups: what of the project is wanted beside its dependencies and default groups.

    Raises:
        UsageError: naming the file and the cause, in uv's words where it is uv's.
    """
    lock = _lock_of(file)
    said = _run_uv(file, extras, groups)
    content = _load(lock)
    lines = said.splitlines(keepends=True)
    local = [match.group(1) for match in map(_LOCAL.match, lines) if match]
    text = "".join(line for line in lines if not _LOCAL.match(line))
    pins = {(match[1], match[2]): match[3] or "" for match in _PINNED.finditer(text)}
    if not pins and "@" not in text:
        choices = phrase_choices(*_choices(content))
        more = f"; it has {choices}: {HOW_TO_SELECT}" if choices else ""
        raise UsageError(f"{file}: it is locked, but the project there needs no packages{more}")
    warnings = [left_out(str(file), local)] if local else []
    warnings += _missed_mlx(file, content, {name for name, _version in pins})
    return Exported(text, index_options(_registries(file, lock.parent, content, pins)), tuple(warnings))


def _lock_of(file: Path) -> Path:
    """Return the uv.lock of a project; that of a workspace is in a folder above its members."""
    folder = file.absolute().parent
    for above in (folder, *folder.parents) if file.name == "pyproject.toml" else (folder,):
        if (above / "uv.lock").is_file():
            return above / "uv.lock"
    raise UsageError(f"{file}: there is no uv.lock beside it; make one with `uv lock`, or name a requirements file with hashes")


def _run_uv(file: Path, extras: Sequence[str], groups: Sequence[str]) -> str:
    uv = find_uv()
    if not uv:
        raise UsageError(
            f"{file}: uv is needed to read it; install it (`{Path(sys.executable).name} -m pip install uv`), or name a requirements file"
        )
    argv = [uv, "export", "--no-config", "--frozen", "--no-emit-project", "--format", "requirements-txt", "--quiet"]
    argv += [] if "dev" in groups else ["--no-dev"]
    argv += [word for name in extras for word in ("--extra", name)]
    argv += [word for name in groups for word in ("--group", name)]
    # The settings of a user's own work, such as UV_LOCKED or UV_PROJECT, have no place in the reading of a lock.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("UV_") or name == "UV_CACHE_DIR"}
    folder = file.absolute().parent
    done = subprocess.run(argv, cwd=folder, env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise UsageError(f"{file}: uv export: {without_credentials(done.stderr.strip())}")
    return done.stdout


def find_uv() -> str:
    """Return the path of uv on this machine, "" where there is none."""
    others = [Path(sys.executable).parent, Path("~/.local/bin").expanduser(), Path("/opt/homebrew/bin"), Path("/usr/local/bin")]
    return shutil.which("uv") or shutil.which("uv", path=os.pathsep.join(map(str, others))) or ""


def _load(lock: Path) -> dict[str, Any]:
    import tomllib  # few runs read a lock

    try:
        return tomllib.loads(lock.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"{lock}: cannot be read: {exc}") from None


def _registries(file: Path, folder: Path, content: Mapping[str, Any], pins: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield where each exported package was locked from: the export has lost it.

    Raises:
        UsageError: naming a package for every platform that has no wheel.
    """
    for package in content.get("package", ()):
        pin = (package["name"], package.get("version", ""))
        registry = package.get("source", {}).get("registry", "")
        if pin not in pins or not registry:
            continue
        if not package.get("wheels") and not pins[pin]:
            raise UsageError(only_source(str(file), "==".join(pin)))
        yield registry if "://" in registry else str((folder / registry).resolve())


def _missed_mlx(file: Path, content: Mapping[str, Any], exported: set[str]) -> list[str]:
    """Return a warning if MLX is locked and was not exported: only an extra or a group has it."""
    if "mlx" in exported or all(package["name"] != "mlx" for package in content.get("package", ())):
        return []
    choices = phrase_choices(*_choices(content, "mlx"))
    return [f"{file}: mlx is locked, but not in the environment" + (f": it is in {choices}; {HOW_TO_SELECT}" if choices else "")]


def _choices(content: Mapping[str, Any], needed: str = "") -> tuple[list[str], list[str]]:
    """Return the extras and the groups of a lock's own projects; with `needed`, those that need this package."""
    packages = content.get("package", ())
    needs = {package["name"]: [item["name"] for item in _dependencies(package)] for package in packages}
    extras: dict[str, list[str]] = {}
    groups: dict[str, list[str]] = {}
    for package in packages:
        if any(kind in package.get("source", {}) for kind in _OWN_SOURCES):
            _add(extras, package.get("optional-dependencies", {}))
            _add(groups, package.get("dev-dependencies", {}))
    _add(groups, content.get("manifest", {}).get("dependency-groups", {}))
    return tuple(  # type: ignore[return-value] # of two
        [name for name, first in found.items() if not needed or needed in _closure(first, needs)] for found in (extras, groups)
    )


def _dependencies(package: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from package.get("dependencies", ())
    for items in package.get("optional-dependencies", {}).values():
        yield from items


def _add(found: dict[str, list[str]], table: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    for name, items in table.items():
        found.setdefault(name, []).extend(item["name"] for item in items)


def _closure(first: Iterable[str], needs: Mapping[str, Iterable[str]]) -> set[str]:
    """Return these packages and all that they need."""
    found: set[str] = set()
    rest = list(first)
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest += needs.get(name, ())
    return found
