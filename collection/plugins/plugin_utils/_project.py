# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: which files of the controller go to the hosts as the project.

The script alone, or its directory without what nobody wants on a host. Paths are text as _manifest.py has it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..module_utils._manifest import printable, to_bytes, to_text
from ._errors import UsageError
from ._gitignore import Patterns, read_patterns

NEVER = frozenset((
    *(".git", ".hg", ".svn"),
    *("__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
    ".DS_Store",
))  # fmt: skip
LEAVE_OUT = "leave it out with mlx_exclude (--exclude)"
LINKS = 40  # followed one after the other, as the kernel does
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z")
_BREAK = re.compile(rb"\\[\n\r]")  # a line break, escaped; rsync's ? is one byte
_SPECIAL = re.compile(r"[\\*?\[]")


@dataclass(frozen=True)
class Project:
    """What is to be deployed.

    Attributes:
        name: of its directory on the hosts.
        source: absolute path of the directory it is in, on the controller; text as `paths` are.
        paths: of files, links and directories that belong to it, relative to `source`; a directory before what is in it.
        excluded: paths that do not belong to it; of a directory that is left out, the directory.
        script: relative to `source`; "." for the directory itself, "" when there is none.
        alone: whether the script is all there is of it, so that what is beside it was not even looked at.
    """

    name: str
    source: str
    paths: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    script: str = ""
    alone: bool = False

    def exclude_patterns(self) -> list[str]:
        """Return the lines of a file for `rsync --exclude-from`, with which `rsync -r SOURCE/` sends what belongs to the project.

        Every pattern begins with a slash and so is about one path. A line cannot hold a line break, in place of which any
        character has to do; what this would leave out is named before it, as rsync takes the first pattern that matches.
        (Two names that differ in line breaks only are one to it: one that is left out then comes along with the other.)
        """
        if self.alone:
            return [f"+ {rsync_pattern(self.script)}", "- /*"]
        vague = [path for path in self.excluded if "\n" in path or "\r" in path]
        exact = [path for path in self.excluded if path not in vague]
        like = re.compile(b"|".join(_BREAK.sub(rb"[^/]", re.escape(to_bytes(path))) for path in vague))
        kept = [path for path in self.paths if like.fullmatch(to_bytes(path))] if vague else []
        return [f"{sign} {rsync_pattern(path)}" for sign, paths in (("-", exact), ("+", kept), ("-", vague)) for path in paths]

    def exclude_file(self) -> bytes:
        """Return the content of the file for `rsync --exclude-from`."""
        return b"".join(to_bytes(line) + b"\n" for line in self.exclude_patterns())


def rsync_pattern(path: str) -> str:
    """Return the pattern that matches one path below the top, for rsync 3 and openrsync.

    Both take a backslash for itself in a pattern without wildcards, and for an escape in one with.
    """
    if not re.search(r"[*?\[\n\r]", path):
        return "/" + path
    return "/" + re.sub(r"[\n\r]", "?", _SPECIAL.sub(r"\\\g<0>", path))


def select(script: str, project_dir: str = "", exclude: Sequence[str] = (), name: str = "") -> Project:
    """Return what has to be on a host so that a script runs there.

    Args:
        script: its path; a directory with a `__main__.py` also. "" when only a directory is to be deployed.
        project_dir: the directory that belongs to the script; "" for the script alone.
        exclude: patterns as in a .gitignore file at the top of the directory, which weigh more than those.
        name: of the project on the hosts; "" for one that is made from the script's or the directory's.

    Raises:
        UsageError: naming what is not there, cannot be deployed, or leads out of the directory.
    """
    if not project_dir and not script:
        raise UsageError("nothing to deploy: no script, and no project directory (mlx_project_dir)")
    path = Path(os.path.abspath(script)) if script else None
    if path:
        _check_script(path)
        if not project_dir and not path.is_dir():
            return _select_script(path, name)
    source = Path(os.path.abspath(project_dir)) if project_dir or not path else path
    if not source.is_dir():
        raise UsageError(f"project directory {_show(source)} is not there, or is no directory")
    if path and not path.is_relative_to(source):
        raise UsageError(f"script {_show(path)} is not in the project directory {_show(source)}")
    walk = _Walk(_text(source), exclude)
    walk.run()
    inside = _text(path.relative_to(source)) if path else ""
    if inside not in {"", ".", *walk.paths}:
        who = "a .gitignore file, mlx_exclude (--exclude), or being in a cache"
        advice = f"what {'!/' + inside!r} in mlx_exclude can change, unless a directory above it is left out"
        raise UsageError(f"script {_show(path)} is left out of the project by {who}, {advice}")
    walk.check_links()
    name = check_project_name(name) if name else default_name(source.name)
    return Project(name, _text(source), tuple(sorted(walk.paths)), tuple(sorted(walk.excluded)), inside)


def _check_script(path: Path) -> None:
    if not path.exists():
        raise UsageError(f"script {_show(path)} is not there")
    if path.is_dir() and not (path / "__main__.py").is_file():
        raise UsageError(f"script {_show(path)} is a directory without a __main__.py")


def _select_script(path: Path, name: str) -> Project:
    # Of a link, what it leads to: nothing is beside it that it could lead to on a host.
    real = path.resolve()
    if not real.is_file():
        raise UsageError(f"script {_show(path)} is no file")
    name = check_project_name(name) if name else default_name(path.stem)
    return Project(name, _text(real.parent), (_text(real.name),), (), _text(real.name), alone=True)


def _text(path: Path | str) -> str:
    text: str = to_text(os.fsencode(path))
    return text


def _show(path: Path | None) -> str:
    return str(printable(str(path)))


def check_project_name(name: str) -> str:
    """Return a name that can be that of a directory on a host, else raise UsageError."""
    if not _NAME.match(name):
        want = "letters, digits, '.', '_' and '-', not '.' or '-' in front"
        raise UsageError(f"mlx_project_name: {name!r} cannot be the name of a directory on the hosts: want {want}")
    return name


def default_name(name: str) -> str:
    """Return a project's name made from that of a file; one that has to be changed gets a mark, so that it stays its own."""
    if _NAME.match(name):
        return name
    mark = hashlib.sha256(os.fsencode(name)).hexdigest()[:6]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".-")[:80]
    return f"{plain or 'project'}-{mark}"


@dataclass(frozen=True)
class _Scope:
    """The patterns of one .gitignore file, and how a path of the project looks from there."""

    patterns: Patterns
    below: int = 0  # characters of a path that are above the file, when it is in the project
    above: str = ""  # the way from the file to the project, when the file is above it

    def match(self, path: str, is_folder: bool) -> bool | None:
        return self.patterns.match(self.above + path[self.below :], is_folder)


class _Walk:
    """Goes through a directory and tells what belongs to a project from what does not."""

    def __init__(self, source: str, exclude: Sequence[str]) -> None:
        self._base = to_bytes(source).rstrip(b"/") + b"/"
        self._exclude = Patterns(exclude)
        self._above = _scopes_above(Path(os.fsdecode(self._base)))
        self.paths: list[str] = []
        self.links: dict[str, str] = {}
        self.excluded: list[str] = []

    def run(self) -> None:
        waiting = [("", self._above)]
        while waiting:
            folder, scopes = waiting.pop()
            items = self._list(folder)
            if folder and any(item.name == b"pyvenv.cfg" for item in items):
                self.excluded.append(folder[:-1])
                continue
            if folder:
                self.paths.append(folder[:-1])
            scopes = [*scopes, *self._scope_in(folder, items)]
            for item in items:
                path = folder + to_text(item.name)
                is_folder = item.is_dir(follow_symlinks=False)
                if self._leaves_out(path, is_folder, scopes):
                    self.excluded.append(path)
                elif is_folder:
                    waiting.append((path + "/", scopes))
                else:
                    self._take(path, item)

    def _list(self, folder: str) -> list[os.DirEntry[bytes]]:
        try:
            with os.scandir(self._base + to_bytes(folder)) as items:
                return list(items)
        except OSError as exc:
            raise UsageError(f"{self._show(folder)} cannot be read: {exc.strerror}; {LEAVE_OUT}") from None

    def _scope_in(self, folder: str, items: Iterable[os.DirEntry[bytes]]) -> Iterator[_Scope]:
        # As git has it, a link of that name does not count.
        if any(item.name == b".gitignore" and item.is_file(follow_symlinks=False) for item in items):
            yield _Scope(_read_gitignore(self._base + to_bytes(folder) + b".gitignore"), below=len(folder))

    def _leaves_out(self, path: str, is_folder: bool, scopes: Sequence[_Scope]) -> bool:
        if path[path.rfind("/") + 1 :] in NEVER:
            return True
        found = self._exclude.match(path, is_folder)
        for scope in reversed(scopes):
            if found is not None:
                break
            found = scope.match(path, is_folder)
        return bool(found)

    def _take(self, path: str, item: os.DirEntry[bytes]) -> None:
        if item.is_symlink():
            self.links[path] = to_text(os.readlink(item.path))  # noqa: PTH115 - bytes
        elif not item.is_file(follow_symlinks=False):
            raise UsageError(f"{self._show(path)} is {_kind(item.stat(follow_symlinks=False).st_mode)}, not a file; {LEAVE_OUT}")
        self.paths.append(path)

    def check_links(self) -> None:
        """Raise UsageError for a link that would lead nowhere on a host."""
        excluded = frozenset(self.excluded)
        for path in sorted(self.links):
            if reason := self._follow(path, excluded):
                where = f"{self._show(path)}, a symbolic link to {printable(self.links[path])}"
                raise UsageError(f"{where}, leads {reason}; {LEAVE_OUT}, or replace it by what it leads to")

    def _follow(self, path: str, excluded: frozenset[str]) -> str:
        """Return why a link cannot be taken, or "". Its way is followed on paper: on a host, the directory has another name."""
        here = path.split("/")[:-1]
        target = self.links[path]
        left = target.split("/")[::-1]
        for _turn in range(LINKS):
            if target.startswith("/"):
                return "to an absolute path, out of the project directory"
            target = ""
            while left and not target:
                part = left.pop()
                if part == "..":
                    if not here:
                        return "out of the project directory"
                    here.pop()
                elif part not in {"", "."}:
                    here.append(part)
                    if "/".join(here) in excluded:
                        return f"to {printable('/'.join(here))}, which does not belong to the project"
                    target = self.links.get("/".join(here), "")
            if not target:
                return ""
            here.pop()
            left += target.split("/")[::-1]
        return "to itself"

    def _show(self, path: str) -> str:
        return str(printable(to_text(self._base) + path))


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISSOCK, "a socket"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))
    return next((text for test, text in kinds if test(mode)), "something special")


def _read_gitignore(path: bytes) -> Patterns:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - bytes
            return read_patterns(to_text(file.read()))
    except OSError as exc:
        raise UsageError(f"{printable(to_text(path))} cannot be read: {exc.strerror}") from None


def _scopes_above(source: Path) -> list[_Scope]:
    """Return the .gitignore files above a directory that is part of a git repository, from the top.

    None when they ignore the directory itself: who deploys it nevertheless does not mean them.
    """
    top = next((folder for folder in (source, *source.parents) if os.path.lexists(folder / ".git")), source)
    found: list[tuple[Path, Patterns]] = []
    folder = top
    for part in source.relative_to(top).parts:
        file = folder / ".gitignore"
        if file.is_file() and not file.is_symlink():
            found.append((folder, _read_gitignore(os.fsencode(file))))
        folder /= part
        said = [patterns.match(_text(folder.relative_to(at)), is_folder=True) for at, patterns in reversed(found)]
        if next((each for each in said if each is not None), False):
            return []
    return [_Scope(patterns, above=_text(source.relative_to(at)) + "/") for at, patterns in found]
