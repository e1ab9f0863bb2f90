# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: the lock file of an environment, requirements with hashes as uv and pip-tools write them.

The package `packaging`, which ansible-core brings, is imported where it is used: few runs read a lock.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ._errors import UsageError

_HOW_TO_LOCK = "lock it with `uv pip compile --generate-hashes` or `pip-compile --generate-hashes`"
_REQUIREMENT = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[([^\]]*)\])?\s*={2,3}\s*([^\s;=*]+)\s*(?:;\s*(.+))?$")
_HASH = re.compile(r"--hash[= ](\w+:[0-9a-fA-F]+)")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_INDEX_OPTIONS = ("--index-url", "--extra-index-url", "--find-links", "--no-index", "--trusted-host")
_SHORT_OPTIONS = {"-i": "--index-url", "-f": "--find-links"}
# They change nothing here: hashes are always wanted, wheels are all that is used, and everything is pinned.
_IDLE_OPTIONS = ("--require-hashes", "--only-binary", "--pre", "--prefer-binary")


@dataclass(frozen=True)
class Requirement:
    """One entry of a lock: a package in one version, for the platforms its marker names."""

    name: str
    version: str
    extras: str
    marker: str
    hashes: tuple[str, ...]

    def line(self, marker: bool = True) -> str:
        """Return it as a line of a requirements file; without its marker it is for every platform."""
        extras = f"[{self.extras}]" if self.extras else ""
        condition = f" ; {self.marker}" if self.marker and marker else ""
        return f"{self.name}{extras}=={self.version}{condition} " + " ".join(f"--hash={hash_}" for hash_ in self.hashes)

    def applies(self, environment: Mapping[str, str]) -> bool:
        """Return whether it is for a platform, given as the variables of a marker (PEP 508)."""
        from packaging.markers import Marker

        return not self.marker or Marker(self.marker).evaluate(dict(environment))


@dataclass(frozen=True)
class Lock:
    """What a lock file asks for. Equal for files that ask for the same, whatever their comments and order.

    Args:
        path: of the file, as messages call it.
        requirements: by name; a package may be there several times, for different platforms.
        index_options: arguments for pip and uv that the file has, such as --index-url and its value.
    """

    path: str
    requirements: tuple[Requirement, ...]
    index_options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The requirements file to install from."""
        return "".join(requirement.line() + "\n" for requirement in self.requirements)

    @property
    def sha256(self) -> str:
        """The digest of `text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def packages(self) -> dict[str, str]:
        """The version of each package; several, for different platforms, are joined by a comma."""
        found: dict[str, list[str]] = {}
        for requirement in self.requirements:
            versions = found.setdefault(requirement.name, [])
            if requirement.version not in versions:
                versions.append(requirement.version)
        return {name: ", ".join(versions) for name, versions in found.items()}


def read_lock(path: str | os.PathLike[str]) -> Lock:
    """Return what a lock file asks for.

    Args:
        path: of requirements with hashes; or of a uv.lock, or the pyproject.toml beside one, which uv is asked to export.

    Raises:
        UsageError: naming the file, and the line or package that is wrong.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise UsageError(f"{file}: a directory; mlx_environment names a lock file, a pyproject.toml with its uv.lock, or is `copy`")
    if not file.exists():
        raise UsageError(f"{file}: the lock file is not there; {_HOW_TO_LOCK}")
    if file.name in {"pyproject.toml", "uv.lock"}:
        return parse_lock(_export(file), str(file))
    try:
        return parse_lock(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{file}: cannot be read: {exc}") from None


def parse_lock(text: str, name: str) -> Lock:
    """Return what the text of a requirements file asks for; see `read_lock`. Pure."""
    requirements: list[Requirement] = []
    options: list[str] = []
    for number, line in _logical_lines(text):
        where = f"{name}:{number}"
        if line.startswith("-"):
            options += _parse_option(line, where)
        else:
            requirements.append(_parse_requirement(line, where))
    if not requirements:
        raise UsageError(f"{name}: no packages in it; {_HOW_TO_LOCK}")
    _refuse_two_versions(requirements, name)
    ordered = sorted(set(requirements), key=lambda item: (item.name, item.version, item.marker, item.extras))
    return Lock(name, tuple(ordered), tuple(options))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield (number of its first line, line) with `\` continuations joined and comments gone."""
    parts: list[str] = []
    first = 1
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if not parts:
            first = number
        bare = _COMMENT.sub("", line).rstrip()
        # A comment between continued lines belongs to them, as pip reads it.
        continues = bare.endswith("\\") or (bool(parts) and not bare and bool(line.strip()))
        parts.append(bare.rstrip("\\").strip())
        if not continues:
            joined = " ".join(part for part in parts if part)
            parts = []
            if joined:
                yield first, joined
    joined = " ".join(part for part in parts if part)
    if joined:
        yield first, joined


def _parse_option(line: str, where: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError as exc:
        raise UsageError(f"{where}: {line}: {exc}") from None
    name, equals, value = words[0].partition("=")
    name = _SHORT_OPTIONS.get(name, name)
    if name in {"-e", "--editable"}:
        raise UsageError(f"{where}: {line}: an editable package is not in the lock; leave it out, and deploy it as the project")
    if name in {"-r", "--requirement", "-c", "--constraint"}:
        raise UsageError(f"{where}: {line}: a lock is one file; {_HOW_TO_LOCK}")
    if name in _IDLE_OPTIONS:
        return []
    if name not in _INDEX_OPTIONS:
        raise UsageError(f"{where}: {line}: this option of pip has no place in a lock")
    return [name, *([value] if equals else words[1:])]


def _parse_requirement(line: str, where: str) -> Requirement:
    spec = _HASH.sub("", line).strip()
    if re.match(r"(?:[^\s;]*\s@\s|[\w+]+://|git\+|\.{0,2}/|~/)", spec) or " @ " in spec.partition(";")[0]:
        raise UsageError(
            f"{where}: {spec}: neither a repository, an address nor a local path can be locked; want NAME==VERSION with hashes"
        )
    match = _REQUIREMENT.match(spec)
    if not match:
        raise UsageError(f"{where}: {spec}: want NAME==VERSION with hashes; {_HOW_TO_LOCK}")
    from packaging.utils import canonicalize_name

    name, extras, version, marker = match.groups(default="")
    _check_version(version, where)
    hashes = tuple(sorted({hash_.lower() for hash_ in _HASH.findall(line)}))
    if not hashes:
        raise UsageError(f"{where}: {name}=={version} has no hash; {_HOW_TO_LOCK}")
    if not any(hash_.startswith("sha256:") for hash_ in hashes):
        raise UsageError(f"{where}: {name}=={version} has no sha256 hash; {_HOW_TO_LOCK}")
    return Requirement(canonicalize_name(name), version, _extras(extras), _marker(marker, where), hashes)


def _check_version(version: str, where: str) -> None:
    from packaging.version import InvalidVersion, Version

    try:
        Version(version)
    except InvalidVersion:
        raise UsageError(f"{where}: {version}: not a version such as 1.2.3; {_HOW_TO_LOCK}") from None


def _extras(extras: str) -> str:
    return ",".join(sorted(part.strip() for part in extras.split(",") if part.strip()))


def _marker(marker: str, where: str) -> str:
    from packaging.markers import InvalidMarker, Marker

    try:
        return str(Marker(marker)) if marker else ""
    except InvalidMarker:
        raise UsageError(f"{where}: {marker}: not a marker such as sys_platform == 'darwin'") from None


def _refuse_two_versions(requirements: list[Requirement], name: str) -> None:
    everywhere: dict[str, str] = {}
    for item in requirements:
        if not item.marker and everywhere.setdefault(item.name, item.version) != item.version:
            raise UsageError(f"{name}: {item.name} is there twice, as {everywhere[item.name]} and {item.version}")


def _export(file: Path) -> str:
    """Return a uv project's lock as requirements with hashes."""
    if not file.with_name("uv.lock").exists():
        raise UsageError(f"{file}: there is no uv.lock beside it; make one with `uv lock`, or name a requirements file with hashes")
    uv = _find_uv()
    if not uv:
        raise UsageError(
            f"{file}: uv is needed to read it; install it (`{Path(sys.executable).name} -m pip install uv`), or name a requirements file"
        )
    argv = [uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--format", "requirements-txt", "--quiet"]
    done = subprocess.run(argv, cwd=file.parent.absolute(), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise UsageError(f"{file}: uv export: {done.stderr.strip()}")
    return done.stdout


def _find_uv() -> str:
    others = [Path(sys.executable).parent, Path("~/.local/bin").expanduser(), Path("/opt/homebrew/bin"), Path("/usr/local/bin")]
    return shutil.which("uv") or shutil.which("uv", path=os.pathsep.join(map(str, others))) or ""
