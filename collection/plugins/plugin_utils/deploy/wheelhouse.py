# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill a directory with the wheels that hosts need, on a controller of any platform.

The package `packaging`, which ansible-core brings, is imported where it is used: few runs fill a wheelhouse.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...module_utils.shared import pip
from ...module_utils.shared.credentials import without_credentials
from ..job.errors import UsageError
from .lockfile import Lock, Requirement

if TYPE_CHECKING:
    from packaging.tags import Tag


class Run(Protocol):
    """Runs a program."""

    def __call__(
        self, argv: Sequence[str], on_line: Callable[[str], object], /, *, env: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Call `on_line` with each line of its output; return (exit status, output)."""


INDEX = ".mlxlaunch-wheels.json"  # the hashes of the wheels in a wheelhouse, so that each is read once
# manylinux's older names; see PEP 599, 571 and 513.
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}  # elsewhere 17
_SYSTEMS = {"macosx": ("darwin", "Darwin"), "manylinux": ("linux", "Linux"), "linux": ("linux", "Linux")}


@dataclass(frozen=True)
class Wheels:
    """The wheels of a wheelhouse that one lock needs on one platform.

    Args:
        folder: the wheelhouse.
        hashes: sha256 of each file, by its name.
    """

    folder: Path
    hashes: Mapping[str, str]

    @property
    def digest(self) -> str:
        """One digest of all of them; short, as it names a directory."""
        return hashlib.sha256(json.dumps(sorted(self.hashes.items())).encode()).hexdigest()[:16]

    def joined(self, other: Wheels) -> Wheels:
        """Return these and another platform's."""
        return Wheels(self.folder, {**self.hashes, **other.hashes})


def pip_platforms(facts: Mapping[str, str]) -> list[str]:
    """Return the platform tags whose wheels a host can use, the most specific first.

    Args:
        facts: system, machine, release (of macOS or glibc) and libc, as a host's handshake has them.

    Raises:
        UsageError: for a platform that has no such tags.
    """
    system, machine, release = facts["system"], facts["machine"], facts.get("release", "")
    numbers = [int(part) for part in re.findall(r"\d+", release)[:2]] + [0]
    if system == "Darwin" and numbers[0] >= 10:
        from packaging.tags import mac_platforms

        return list(mac_platforms((numbers[0], numbers[1]), machine))
    if system == "Linux" and facts.get("libc") == "glibc" and numbers[0] == 2:
        return _linux_platforms(numbers[1], machine)
    raise UsageError(
        f"a wheelhouse cannot be filled for {system} {machine} {facts.get('libc', '')} {release}: want macOS, or Linux with glibc"
    )


def _linux_platforms(minor: int, machine: str) -> list[str]:
    tags = []
    for number in range(minor, _OLDEST_GLIBC.get(machine, 17) - 1, -1):
        tags.append(f"manylinux_2_{number}_{machine}")
        if number in _OLD_NAMES:
            tags.append(f"{_OLD_NAMES[number]}_{machine}")
    return [*tags, f"linux_{machine}"]


def marker_environment(python_version: str, platform: str) -> dict[str, str]:
    """Return the variables of a marker for a platform that is not this one.

    Args:
        python_version: exact, such as 3.12.4.
        platform: a platform tag, such as macosx_14_0_arm64.
    """
    sys_platform, system = _SYSTEMS[re.match("[a-z]+", platform).group()]  # type: ignore[union-attr] # every tag begins so
    machine = re.sub(r"^(?:macosx_\d+_\d+|manylinux_\d+_\d+|manylinux\d*|linux)_", "", platform)
    return {
        "implementation_name": "cpython",
        "implementation_version": python_version,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": system,
        "platform_version": "",
        "python_full_version": python_version,
        "python_version": ".".join(python_version.split(".")[:2]),
        "sys_platform": sys_platform,
        "extra": "",
    }


def fill_wheelhouse(
    lock: Lock,
    folder: str | os.PathLike[str],
    python_version: str,
    platforms: Sequence[str],
    index_url: str,
    progress: Callable[[str], object],
    run: Run | None = None,
) -> Wheels:
    """Put the wheels a lock needs on a platform into a directory; those that are there already are not asked for.

    Args:
        lock: the packages.
        folder: the wheelhouse; made when it is not there. Others may fill it at the same time.
        python_version: the hosts', exact, such as 3.12.4.
        platforms: the hosts' platform tags, see `pip_platforms`.
        index_url: where to get them from; "" for pip's own configuration.
        progress: is called with pip's lines.
        run: runs pip, so that it can be ended; it need not come back then.

    Raises:
        UsageError: naming the package that has no wheel for the platform, or another fault.
    """
    house = Path(folder).expanduser().absolute()
    needed = [item for item in lock.requirements if item.applies(marker_environment(python_version, platforms[0]))]
    if not needed:
        raise UsageError(f"{lock.path}: none of its packages is for {platforms[0]} with Python {python_version}")
    tags = _tags(python_version, platforms)
    try:
        house.mkdir(parents=True, exist_ok=True)
        found = _find_wheels(needed, _index(house), tags)
        missing = [item for item in needed if item not in found]
        if missing:
            _download(lock, missing, house, python_version, platforms, index_url, progress, run or _run)
            found = _find_wheels(needed, _index(house), tags)
    except OSError as exc:
        raise UsageError(f"wheelhouse {house}: {exc.filename or ''}: {exc.strerror}") from None
    for item in needed:
        if item not in found:
            raise UsageError(f"{lock.path}: wheelhouse {house} has no wheel of {item.name}=={item.version} for {platforms[0]}")
    return Wheels(house, dict(found.values()))


def _tags(python_version: str, platforms: Sequence[str]) -> dict[Tag, int]:
    """Return the tags of wheels that will do, with their rank: the lower the better."""
    from packaging.tags import compatible_tags, cpython_tags

    major, minor = (int(part) for part in python_version.split(".")[:2])
    every = [*cpython_tags((major, minor), platforms=platforms), *compatible_tags((major, minor), f"cp{major}{minor}", platforms)]
    return {tag: rank for rank, tag in reversed(list(enumerate(every)))}


def _find_wheels(needed: Sequence[Requirement], index: Mapping[str, str], tags: Mapping[Tag, int]) -> dict[Requirement, tuple[str, str]]:
    """Return (file name, sha256) of the best wheel for each requirement that has one with a locked hash."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
    from packaging.version import Version

    by_version = {(item.name, Version(item.version)): item for item in needed}
    best: dict[Requirement, tuple[int, str, str]] = {}
    for name, sha256 in index.items():
        try:
            package, version, _build, wheel_tags = parse_wheel_filename(name)
        except InvalidWheelFilename:
            continue
        item = by_version.get((package, version))
        rank = min((tags[tag] for tag in wheel_tags if tag in tags), default=None)
        if item and rank is not None and f"sha256:{sha256}" in item.hashes and (rank, name, sha256) < best.get(item, (rank + 1, "", "")):
            best[item] = (rank, name, sha256)
    return {item: (name, sha256) for item, (_rank, name, sha256) in best.items()}


def _index(house: Path) -> dict[str, str]:
    """Return the sha256 of each wheel in a directory; one that has neither size nor time changed is not read again."""
    known = _known(house / INDEX)
    now: dict[str, Any] = {}
    for file in sorted(house.glob("*.whl")):
        info = file.stat()
        row = known.get(file.name)
        now[file.name] = row if row and row[1:] == [info.st_size, info.st_mtime_ns] else [_sha256(file), info.st_size, info.st_mtime_ns]
    if now != known:
        _write(house / INDEX, json.dumps(now, indent=1))
    return {name: row[0] for name, row in now.items()}


def _known(path: Path) -> dict[str, Any]:
    """Return {file name: [sha256, bytes, modification time in ns]} as it was written down last."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(path: Path, text: str) -> None:
    """Write a file that is whole or not there; a wheelhouse that is read-only does without."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False, encoding="utf-8") as out:
            out.write(text)
        Path(out.name).replace(path)
    except OSError:
        pass


def _sha256(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _download(
    lock: Lock,
    missing: Sequence[Requirement],
    house: Path,
    python_version: str,
    platforms: Sequence[str],
    index_url: str,
    progress: Callable[[str], object],
    run: Run,
) -> None:
    """Get wheels into a directory of our own first: a file in the wheelhouse is whole."""
    with tempfile.TemporaryDirectory(dir=house, prefix=".part-") as name:
        part = Path(name)
        # Markers are gone: pip would evaluate them for the controller. Those that are false for the hosts were left out.
        (part / "requirements.txt").write_text("".join(item.line(marker=False) + "\n" for item in missing), encoding="utf-8")
        argv = [*_pip_command(), "--disable-pip-version-check", "--no-input", "download", "--progress-bar", "off", "--retries", "2"]
        argv += ["--only-binary", ":all:", "--no-deps", "--require-hashes", "--python-version", python_version, "--implementation", "cp"]
        argv += [word for platform in platforms for word in ("--platform", platform)]
        argv += pip.sources("", index_url, lock.index_options, ())
        argv += ["--dest", str(part / "wheels"), "--requirement", str(part / "requirements.txt")]
        variables = pip.variables(os.environ, pip.configured(_pip_configuration(), "download"), "", index_url, lock.index_options)
        code, text = run(argv, lambda line: progress(without_credentials(line)), env=variables)
        if code:
            where = f"{platforms[0]} with Python {python_version}"
            raise UsageError(f"{lock.path}: wheelhouse {house} could not be filled: {pip.explain(text, where)}")
        for wheel in (part / "wheels").iterdir():
            wheel.replace(house / wheel.name)


def _pip_configuration() -> list[str]:
    """Return the contents of pip's configuration files on this machine."""
    paths = map(Path, pip.config_files(os.environ, str(Path.home()), sys.prefix, os.uname().sysname))
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file() and os.access(path, os.R_OK)]


def _pip_command() -> list[str]:
    """Return how pip is started; an environment made by uv has none, and then its base interpreter may."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-I", "-m", "pip"]
    for python in (getattr(sys, "_base_executable", ""), shutil.which("python3") or ""):
        if python and subprocess.run([python, "-I", "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return [python, "-I", "-m", "pip"]
    raise UsageError(f"filling a wheelhouse takes pip, and {sys.executable} has none: {sys.executable} -m ensurepip")


def _run(argv: Sequence[str], progress: Callable[[str], object], *, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    lines = []
    with subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            progress(line.rstrip())
    return process.returncode, "".join(lines)
