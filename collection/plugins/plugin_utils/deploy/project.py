# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the controller that are the project on the hosts.

The script with the modules that it imports from beside it, or its directory without files that nobody wants on a host.
Paths are text as in shared/manifest.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...module_utils.shared.manifest import printable, to_bytes, to_text
from ...module_utils.shared.names import RESULTS
from ..job.errors import UsageError
from ..job.ids import JOB_ID
from .gitignore import Patterns, read_patterns
from .imports.neighbours import find_neighbours
from .imports.remembered import RememberedImports

NEVER = frozenset((
    *(".git", ".hg", ".svn"),
    *("__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
    *(".DS_Store", "nohup.out"),
))  # fmt: skip
LEAVE_OUT = "leave it out with mlx_exclude (--exclude)"
MOST = 100 * 1000**2  # bytes that go with a script unasked
# Of a package that goes with a script unasked: secrets, and what a run has left there.
_NO_CODE = (".*", "*.safetensors", "*.gguf", "*.ckpt", "*.pt", "*.pth", "*.log")
TRIES = 10  # an editor that saves a file may remove it first
LINKS = 40  # followed one after the other, as the kernel does
_FOREIGN = (b"pyvenv.cfg", RESULTS.encode())
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z")
Identity = tuple[int, int]  # of a file: device and inode
_BREAK = re.compile(rb"\\[\n\r]")  # a line break, escaped; rsync's ? is one byte
_SPECIAL = re.compile(r"[\\*?\[]")


@dataclass(frozen=True)
class Project:
    """The files to deploy.

    Attributes:
        name: of its directory on the hosts.
        source: absolute path of the directory it is in, on the controller; text as `paths` are.
        paths: of files, links and directories that belong to it, relative to `source`; a directory before its content.
        excluded: paths that do not belong to it; of a directory that is left out, the directory.
        script: relative to `source`; "." for the directory itself, "" when there is none.
        alone: whether no directory was asked for: the script, and the modules beside it that it imports.
        followed: links that go as what they lead to, a file or a directory: {path: absolute path of that}.
    """

    name: str
    source: str
    paths: tuple[str, ...]
    excluded: tuple[str, ...] = ()
    script: str = ""
    alone: bool = False
    followed: Mapping[str, str] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Return the absolute path here of what goes under a path of the project."""
        return self.followed.get(path) or f"{self.source}/{path}"

    @property
    def neighbours(self) -> list[str]:
        """The modules beside a script that go with it: files, and packages with a slash at their end."""
        if not self.alone:
            return []
        tops = {path.partition("/")[:2] for path in self.paths if path != self.script}
        folders = {name for name, slash in tops if slash}
        return sorted(name + "/" * (name in folders) for name in dict(tops))

    def needs(self, path: str) -> bool:
        """Return whether nothing runs without a path: the script, and the modules that go with it."""
        return path == self.script or (self.alone and path.endswith(".py"))

    def only(self, paths: Collection[str]) -> Project:
        """Return the project without the paths that are not among these."""
        left_out = set(self.paths) - set(paths)
        if not left_out:
            return self
        kept = tuple(path for path in self.paths if path not in left_out)
        return replace(self, paths=kept, excluded=tuple(sorted({*self.excluded, *left_out})))

    def exclude_patterns(self) -> list[str]:
        """Return the lines of a file for `rsync --exclude-from`, with which `rsync -r SOURCE/` sends only the project.

        Every pattern begins with a slash and so is about one path. A line cannot hold a line break, so any
        character matches in its place. Files that this would leave out are named before it: rsync takes the first
        matching pattern. Names that differ in line breaks only are one name to it, and come along together.
        """
        if self.alone:
            folders = sorted({path.rpartition("/")[0] for path in self.paths})
            beside = [f"- {rsync_pattern(folder)}/*" if folder else "- /*" for folder in folders]
            return [*(f"+ {rsync_pattern(path)}" for path in self.paths), *beside]
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


def select(script: str, project_dir: str = "", exclude: Sequence[str] = (), outputs: Collection[Identity] = ()) -> Project:
    """Return the files that a script needs on a host.

    Args:
        script: its path; a directory with a `__main__.py` also. "" when only a directory is to be deployed.
        project_dir: the directory that belongs to the script; "" for the script and what it imports from beside it.
        exclude: patterns as in a .gitignore file at the top of the directory, which weigh more than those.
        outputs: files and directories that launches write to, which are no part of it.

    Raises:
        UsageError: naming what is not there, cannot be deployed, or leads out of the directory.
    """
    if not project_dir and not script:
        raise UsageError("nothing to deploy: no script, and no project directory (mlx_project_dir)")
    path = Path(os.path.abspath(script)) if script else None
    if path:
        _check_script(path)
        if not project_dir and not path.is_dir():
            return _select_script(path, exclude)
    source = Path(os.path.abspath(project_dir)) if project_dir or not path else path
    _check_directory(source)
    inside = _inside(path, source) if path else ""
    walk = _Walk(_text(source), exclude, outputs)
    walk.run()
    if inside not in {"", ".", *walk.paths}:
        inside = _as_listed(source, inside, walk.paths)
    if inside not in {"", ".", *walk.paths}:
        who = "a .gitignore file, mlx_exclude (--exclude), or being in a cache"
        advice = f"what {'!/' + inside!r} in mlx_exclude can change, unless a directory above it is left out"
        raise UsageError(f"script {_show(path)} is left out of the project by {who}, {advice}")
    walk.check_links()
    return Project(default_name(source.name), _text(source), tuple(sorted(walk.paths)), tuple(sorted(walk.excluded)), inside)


def _check_directory(source: Path) -> None:
    if not source.is_dir():
        raise UsageError(f"project directory {_show(source)} is not there, or is no directory")
    home = os.path.expanduser("~")  # noqa: PTH111 - without a home it stays
    what = {os.path.realpath(home): "your home directory", "/": "the root directory"}.get(os.path.realpath(source))
    if what:
        raise UsageError(f"project directory {_show(source)} is {what}; name that of the program alone (mlx_project_dir, --project-dir)")


def _inside(path: Path, source: Path) -> str:
    """Return the path of the script in its directory; the way there may be another one, through links."""
    # Not of the script itself: a link belongs to the project, and what it leads to may not.
    real, real_source = path.parent.resolve() / path.name, source.resolve()
    for found, folder in ((path, source), (real, real_source)):
        if found.is_relative_to(folder):
            return _text(found.relative_to(folder))
    if path.resolve() == real_source:
        return "."
    raise UsageError(f"script {_show(path)} is not in the project directory {_show(source)}")


def _as_listed(source: Path, inside: str, paths: Iterable[str]) -> str:
    """Return a path as its directory lists it: for a file system, another case or form of a letter may be the same."""

    def plain(path: str) -> str:
        return unicodedata.normalize("NFC", path).casefold()

    def place(path: str) -> Path:
        return source / os.fsdecode(to_bytes(path))

    alike = [path for path in paths if plain(path) == plain(inside)]
    with contextlib.suppress(FileNotFoundError):
        return next((path for path in alike if place(path).samefile(place(inside))), inside)
    return inside


def _check_script(path: Path) -> None:
    if not path.exists():
        raise UsageError(f"script {_show(path)} is not there")
    if path.is_dir() and not (path / "__main__.py").is_file():
        raise UsageError(f"script {_show(path)} is a directory without a __main__.py")


def _select_script(path: Path, exclude: Sequence[str]) -> Project:
    # Of a link, its target: there Python looks for modules, and nothing is beside the link that it could lead to on a host.
    real = path.resolve()
    found = _lstat(real)
    if found is None or not stat.S_ISREG(found.st_mode):
        raise UsageError(f"script {_show(path)} is {'no file' if found else 'not there'}")
    _refuse_special_bits(_show(real), found.st_mode)
    source, script = _text(real.parent), _text(real.name)
    paths, followed = _with_neighbours(real, exclude) if _is_python(real) else (set(), {})
    return Project(default_name(path.stem), source, tuple(sorted({script, *paths})), (), script, alone=True, followed=followed)


def _is_python(script: Path) -> bool:
    """Return whether imports of a script can be found: not those of a program, or of another language."""
    if script.suffix in {".py", ".pyw"}:
        return True
    try:
        with script.open("rb") as file:
            first = file.readline(256)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first


def _with_neighbours(script: Path, exclude: Sequence[str]) -> tuple[set[str], dict[str, str]]:
    """Return the paths of the modules that a script imports from beside it, and the links that are followed for them.

    Of packages, all that belongs to them.
    """
    imports = RememberedImports(str(script.parent), script.name)
    found = find_neighbours(str(script.parent), script.name, imports.of)
    imports.save()
    if not found.files:
        return set(), {}
    walk = _Walk(_text(script.parent), (*exclude, *_NO_CODE))
    for package in map(_text, found.packages):
        if not walk.asked_to_leave_out(package, is_folder=True):
            walk.run(package)
    # A module that is imported belongs to the program, even one that .gitignore names since it is generated.
    walk.follow_links({_text(file) for file in found.files if not walk.asked_to_leave_out(_text(file))})
    walk.check_links()
    _check_size(script, {path: walk.followed.get(path) or f"{_text(script.parent)}/{path}" for path in walk.paths})
    return set(walk.paths), walk.followed


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _check_size(script: Path, places: Mapping[str, str]) -> None:
    known = {path: _lstat(to_bytes(place)) for path, place in places.items()}
    sizes = {path: found.st_size for path, found in known.items() if found and not stat.S_ISDIR(found.st_mode)}
    if sum(sizes.values()) <= MOST:
        return
    largest = max(sizes, key=lambda path: sizes[path])
    total = sum(sizes.values()) // 1000**2
    raise UsageError(
        f"script {_show(script)} imports {total} MB from beside it (most of it {printable(largest)}, {sizes[largest] // 1000**2} MB); "
        f"leave data out with mlx_exclude (--exclude), or say with mlx_project_dir (--project-dir) which directory belongs to it"
    )


def _lstat(path: Path | bytes | os.DirEntry[bytes]) -> os.stat_result | None:
    """Return the status of a path, None for one that is gone by now."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _text(path: Path | str) -> str:
    text: str = to_text(os.fsencode(path))
    return text


def _show(path: Path | None) -> str:
    return str(printable(str(path)))


def default_name(name: str) -> str:
    """Return a project's name made from a file's; one that has to be changed gets a mark, so that it stays unique."""
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
    """Goes through a directory and separates the files of a project from the others.

    What is gone by the time it is looked at was not there.

    Attributes:
        paths, excluded: see `Project`.
        links: those that stay links: {path: target}.
        followed: see `Project`.
    """

    def __init__(self, source: str, exclude: Sequence[str], outputs: Collection[Identity] = ()) -> None:
        self._base = to_bytes(source).rstrip(b"/") + b"/"
        self._exclude = Patterns(exclude)
        self._outputs = frozenset(outputs)
        self._inodes = frozenset(inode for _device, inode in outputs)
        self._nearly: set[str] = set()  # links that a pattern for directories would leave out
        self._above = _scopes_above(Path(os.fsdecode(self._base)))
        self.paths: list[str] = []
        self.links: dict[str, str] = {}
        self.followed: dict[str, str] = {}
        self.excluded: list[str] = []

    def run(self, top: str = "") -> None:
        """Go through the directory, or through one below it."""
        waiting = [(f"{top}/" if top else "", self._scopes_of(top))]
        while waiting:
            folder, scopes = waiting.pop()
            items, own = self._read(folder)
            if items is None:
                continue
            scopes = [*scopes, *own]
            left_out = {item.name for item in items if self._leaves_out(folder + to_text(item.name), _is_folder(item), scopes)}
            if folder and (_is_foreign(items) or (b".gitignore" in left_out and len(left_out) == len(items))):
                self.excluded.append(folder[:-1])
                continue
            if folder:
                self.paths.append(folder[:-1])
            for item in items:
                path, is_folder = folder + to_text(item.name), _is_folder(item)
                if item.name in left_out or self._is_output(item):
                    self.excluded.append(path)
                elif is_folder:
                    waiting.append((path + "/", scopes))
                else:
                    self._take(path, item)
                    if path in self.links and self._leaves_out(path, is_folder=True, scopes=scopes):
                        self._nearly.add(path)

    def asked_to_leave_out(self, path: str, is_folder: bool = False) -> bool:
        """Return whether a pattern of the user's own leaves out a path, or a directory it is in."""
        return bool(self._exclude.match(path, is_folder)) or any(self._exclude.match(above, True) for above in _above(path))

    def _scopes_of(self, top: str) -> list[_Scope]:
        """Return the .gitignore files that count for a directory below this one."""
        scopes = list(self._above)
        for folder in ["", *(f"{above}/" for above in _above(top))] if top else []:
            scopes += self._read(folder)[1]
        return scopes

    def _read(self, folder: str) -> tuple[list[os.DirEntry[bytes]] | None, list[_Scope]]:
        """Return what a directory holds, None when it is gone, and the patterns of its .gitignore file."""
        items = None
        for _try in range(TRIES):
            items = self._list(folder)
            # As git has it, a link of that name does not count.
            if not any(item.name == b".gitignore" and item.is_file(follow_symlinks=False) for item in items or ()):
                break
            with contextlib.suppress(FileNotFoundError):
                return items, [_Scope(_read_gitignore(self._base + to_bytes(folder) + b".gitignore"), below=len(folder))]
        return items, []

    def _list(self, folder: str) -> list[os.DirEntry[bytes]] | None:
        try:
            with os.scandir(self._base + to_bytes(folder)) as items:
                return list(items)
        except OSError as exc:
            if folder and isinstance(exc, FileNotFoundError | NotADirectoryError):
                return None
            raise UsageError(f"{self._show(folder)} cannot be read: {exc.strerror}; {LEAVE_OUT}") from None

    def _leaves_out(self, path: str, is_folder: bool, scopes: Sequence[_Scope]) -> bool:
        if path[path.rfind("/") + 1 :] in NEVER:
            return True
        found = self._exclude.match(path, is_folder)
        for scope in reversed(scopes):
            if found is not None:
                break
            found = scope.match(path, is_folder)
        return bool(found)

    def _is_output(self, item: os.DirEntry[bytes]) -> bool:
        if JOB_ID.fullmatch(to_text(item.name)) and _is_folder(item):
            return True  # the record of a job
        if item.inode() not in self._inodes:
            return False
        found = _lstat(item)
        return found is not None and (found.st_dev, found.st_ino) in self._outputs

    def _take(self, path: str, item: os.DirEntry[bytes]) -> None:
        found = _lstat(item)
        if found is None or stat.S_ISDIR(found.st_mode):
            return
        if stat.S_ISLNK(found.st_mode):
            try:
                self.links[path] = to_text(os.readlink(item.path))  # noqa: PTH115 - bytes
            except OSError:
                return
        elif not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{self._show(path)} is {_kind(found.st_mode)}, not a file; {LEAVE_OUT}")
        else:
            _refuse_special_bits(self._show(path), found.st_mode)
        self.paths.append(path)

    def follow_links(self, modules: Collection[str]) -> None:
        """Take these files too, with the directories they are in.

        A link on the way to one goes as what it leads to, unless that goes along anyway: then it leads there on a host.
        """
        goes, within_packages = {*self.paths, *modules}, set(self.links)
        needed = {*modules, *(above for path in modules for above in _above(path))}
        self._read_links(needed)
        for path in sorted(needed & self.links.keys()):
            reached = [self._follow(file) for file in modules if file == path or file.startswith(f"{path}/")]
            if all(not reason and end in goes for end, reason in reached):
                continue
            del self.links[path]
            self.followed[path] = to_text(os.path.realpath(self._base + to_bytes(path)))
            if path in within_packages and os.path.isdir(self._base + to_bytes(path)):  # noqa: PTH112 - bytes
                self.run(path)  # of a package, all that belongs to it
        # What is below a link that stays one is where that leads.
        self.paths = [path for path in {*self.paths, *needed} if not self.links.keys() & _above(path)]

    def _read_links(self, paths: Iterable[str]) -> None:
        for path in paths:
            with contextlib.suppress(OSError):  # no link
                self.links[path] = to_text(os.readlink(self._base + to_bytes(path)))  # noqa: PTH115 - bytes

    def check_links(self) -> None:
        """Raise UsageError for a link that would lead nowhere on a host."""
        excluded = frozenset(self.excluded).difference(self.paths)
        for path in sorted(self.links):
            if reason := self._follow(path, excluded)[1]:
                where = f"{self._show(path)}, a symbolic link to {printable(self.links[path])}"
                hint = "a pattern that ends in a slash is for no link, write it without; or " if path in self._nearly else ""
                raise UsageError(f"{where}, leads {reason}; {hint}{LEAVE_OUT}, or replace it by what it leads to")

    def _follow(self, path: str, excluded: frozenset[str] = frozenset()) -> tuple[str, str]:
        """Return where a path leads, and why it cannot be taken, or "".

        Links are followed by name: on a host, the directory has another.
        """
        here: list[str] = []
        target = ""
        left = path.split("/")[::-1]
        for _turn in range(LINKS + 1):
            if target.startswith("/"):
                return "", "to an absolute path, out of the project directory"
            target = ""
            while left and not target:
                part = left.pop()
                if part == "..":
                    # Above what a followed link leads to, there is another directory here than on a host.
                    if not here or "/".join(here) in self.followed:
                        return "", "out of the project directory"
                    here.pop()
                elif part not in {"", "."}:
                    here.append(part)
                    if "/".join(here) in excluded:
                        return "", f"to {printable('/'.join(here))}, which does not belong to the project"
                    target = self.links.get("/".join(here), "")
            if not target:
                return "/".join(here), ""
            here.pop()
            left += target.split("/")[::-1]
        return "", "to itself"

    def _show(self, path: str) -> str:
        return str(printable(to_text(self._base) + path))


def _is_folder(item: os.DirEntry[bytes]) -> bool:
    return item.is_dir(follow_symlinks=False)


def _is_foreign(items: Sequence[os.DirEntry[bytes]]) -> bool:
    """Return whether a directory is a virtual environment, has what was fetched, or only holds records of jobs."""
    if any(item.name in _FOREIGN for item in items):
        return True
    return bool(items) and all(JOB_ID.fullmatch(to_text(item.name)) for item in items)


def _refuse_special_bits(shown: str, mode: int) -> None:
    """Raise UsageError for a file that is setuid, setgid or sticky; on a host it would be root's, maybe."""
    if bits := mode & 0o7000:
        names = [name for bit, name in ((stat.S_ISUID, "setuid"), (stat.S_ISGID, "setgid"), (stat.S_ISVTX, "sticky")) if bits & bit]
        raise UsageError(f"{shown} is {' and '.join(names)}, which hosts do not get; run chmod u-s,g-s,-t on it, or {LEAVE_OUT}")


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISSOCK, "a socket"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))
    return next((text for test, text in kinds if test(mode)), "something special")


def _read_gitignore(path: bytes) -> Patterns:
    """Return the patterns of a file; raise FileNotFoundError when it is gone, and UsageError when it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - bytes
            return read_patterns(to_text(file.read()))
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise UsageError(f"{printable(to_text(path))} cannot be read: {exc.strerror}") from None


def _scopes_above(source: Path) -> list[_Scope]:
    """Return the .gitignore files above a directory that is part of a git repository, from the top.

    None when they ignore the directory itself: somebody who deploys it nevertheless does not mean them.
    """
    top = next((folder for folder in (source, *source.parents) if os.path.lexists(folder / ".git")), source)
    found: list[tuple[Path, Patterns]] = []
    folder = top
    for part in source.relative_to(top).parts:
        file = folder / ".gitignore"
        if file.is_file() and not file.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                found.append((folder, _read_gitignore(os.fsencode(file))))
        folder /= part
        said = [patterns.match(_text(folder.relative_to(at)), is_folder=True) for at, patterns in reversed(found)]
        if next((each for each in said if each is not None), False):
            return []
    return [_Scope(patterns, above=_text(source.relative_to(at)) + "/") for at, patterns in found]
