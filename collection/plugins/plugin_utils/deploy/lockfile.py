# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock file of an environment: requirements with hashes as uv and pip-tools write them, or a source of them.

The package `packaging`, which ansible-core brings, is imported where it is used: few runs read a lock.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...module_utils.shared.credentials import without_credentials
from ...module_utils.shared.pip import canonical_name
from ..job.errors import UsageError
from .locks import pylock, uv_lock
from .locks.exported import Exported

_HOW_TO_LOCK = "lock it with `uv pip compile --generate-hashes` or `pip-compile --generate-hashes`"
_REQUIREMENT = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[([^\]]*)\])?\s*={2,3}\s*([^\s;=*]+)\s*(?:;\s*(.+))?$")
_HASH = re.compile(r"--hash[= ](\w+:[0-9a-fA-F]+)")
# What pip accepts after --hash; others in a lock, such as md5, count for nothing.
_STRONG = ("sha256:", "sha384:", "sha512:")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")  # in options, as pip and uv have it
_COMMENT = re.compile(r"(^|\s+)#.*$")
_INDEX_OPTIONS = ("--index-url", "--extra-index-url", "--find-links", "--no-index", "--trusted-host")
_SHORT_OPTIONS = {"-i": "--index-url", "-f": "--find-links"}
# They change nothing here: hashes are always wanted, only wheels are used, and all is pinned.
_IDLE_OPTIONS = ("--require-hashes", "--only-binary", "--pre", "--prefer-binary")
_INCLUDE = re.compile(r"(?:-r|--requirement[ =])\s*(.+)$")


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
    """The packages that a lock file pins. Equal for files that pin the same, in any order and with any comments.

    Args:
        path: of the file, as messages call it.
        requirements: by name; a package may be there several times, for different platforms.
        index_options: arguments for pip and uv that the file has, such as --index-url and its value.
        warnings: what a person may miss in it.
    """

    path: str
    requirements: tuple[Requirement, ...]
    index_options: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

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


def read_lock(path: str | os.PathLike[str], extras: Sequence[str] = (), groups: Sequence[str] = ()) -> Lock:
    """Return the lock in a file.

    Args:
        path: of requirements with hashes, of a pylock.toml, of a uv.lock, or of the pyproject.toml of one.
        extras, groups: what of a uv.lock or pylock.toml is wanted beside the dependencies of the project.

    Raises:
        UsageError: naming the file, and the line or package that is wrong.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise UsageError(f"{file}: a directory; mlx_environment names a lock file, a pyproject.toml with its uv.lock, or is `copy`")
    if not file.exists():
        raise UsageError(f"{file}: the lock file is not there; {_HOW_TO_LOCK}")
    if file.name in {"pyproject.toml", "uv.lock"}:
        return _of_export(file, uv_lock.export(file, extras, groups))
    if pylock.NAME.match(file.name):
        return _of_export(file, pylock.export(_text_of(file), str(file), extras, groups))
    if extras or groups:
        raise UsageError(f"{file}: lock_extra and lock_group choose from a uv.lock or pylock.toml; this file has no extras or groups")
    return _with_places(_parse(_lines_of_file(file, ()), str(file)), file.absolute().parent)


def _of_export(file: Path, exported: Exported) -> Lock:
    lock = parse_lock(exported.text, str(file))
    return _with_places(replace(lock, index_options=exported.index_options, warnings=exported.warnings), file.absolute().parent)


def _with_places(lock: Lock, folder: Path) -> Lock:
    """Return a lock whose directories of wheels are no longer relative to its own, as pip has them."""
    options = list(lock.index_options)
    for number, word in enumerate(options[1:], 1):
        if options[number - 1] == "--find-links" and "://" not in word and (folder / word).exists():
            options[number] = str(folder / word)
    return replace(lock, index_options=tuple(options))


def _text_of(file: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 as some shells write it."""
    try:
        content = file.read_bytes()
        return content.decode("utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{file}: cannot be read: {exc}") from None


def _lines_of_file(file: Path, including: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    """Yield (place, line) of a requirements file and of those that it includes.

    Args:
        file: its path, absolute or as it was given.
        including: the files on the way to it.
    """
    for number, line in _logical_lines(_text_of(file)):
        where = f"{file}:{number}"
        if match := _INCLUDE.match(line):
            other = file.parent / match[1].strip("'\"")
            if not other.is_file():
                raise UsageError(f"{where}: {without_credentials(line)}: no such file here; {_HOW_TO_LOCK}")
            if other.resolve() in {path.resolve() for path in (*including, file)}:
                raise UsageError(f"{where}: {line}: this file includes itself")
            yield from _lines_of_file(other, (*including, file))
        else:
            yield where, _VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), line) if line.startswith("-") else line


def parse_lock(text: str, name: str) -> Lock:
    """Return the lock in the text of one requirements file; see `read_lock`. Pure."""
    return _parse(((f"{name}:{number}", line) for number, line in _logical_lines(text)), name)


def _parse(lines: Iterable[tuple[str, str]], name: str) -> Lock:
    requirements: list[Requirement] = []
    options: list[str] = []
    for where, line in lines:
        try:
            if line.startswith("-"):
                options += _parse_option(line, where)
            else:
                requirements.append(_parse_requirement(line, where))
        except UsageError as exc:
            raise UsageError(without_credentials(str(exc))) from None
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
    if name in {"-c", "--constraint"} or name.startswith("-c"):
        raise UsageError(f"{where}: {line}: a lock pins everything itself, and a constraint has no place in it; leave it out")
    if name in {"-r", "--requirement"}:
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
    name, extras, version, marker = match.groups(default="")
    _check_version(version, where)
    given = {hash_.lower() for hash_ in _HASH.findall(line)}
    hashes = tuple(sorted(hash_ for hash_ in given if hash_.startswith(_STRONG)))
    if not given:
        raise UsageError(f"{where}: {name}=={version} has no hash; {_HOW_TO_LOCK}")
    if not any(hash_.startswith("sha256:") for hash_ in hashes):
        raise UsageError(f"{where}: {name}=={version} has no sha256 hash; {_HOW_TO_LOCK}")
    return Requirement(canonical_name(name), version, _extras(extras), _marker(marker, where), hashes)


def _check_version(version: str, where: str) -> None:
    from packaging.version import InvalidVersion, Version

    try:
        Version(version)
    except InvalidVersion:
        raise UsageError(f"{where}: {version}: not a version such as 1.2.3; {_HOW_TO_LOCK}") from None


def _extras(extras: str) -> str:
    return ",".join(sorted(part.strip() for part in extras.split(",") if part.strip()))


def _marker(marker: str, where: str) -> str:
    if not marker:
        return ""
    from packaging.markers import InvalidMarker, Marker  # slow to import: many locks have none

    try:
        return str(Marker(marker))
    except InvalidMarker:
        raise UsageError(f"{where}: {marker}: not a marker such as sys_platform == 'darwin'") from None


def _refuse_two_versions(requirements: list[Requirement], name: str) -> None:
    everywhere: dict[str, str] = {}
    for item in requirements:
        if not item.marker and everywhere.setdefault(item.name, item.version) != item.version:
            raise UsageError(f"{name}: {item.name} is there twice, as {everywhere[item.name]} and {item.version}")
