# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for the Python that an environment is made from.

A command run over ssh has hardly any PATH on a Mac, so this looks where Python is known to be: uv, Homebrew,
python.org, pyenv, the system. Each candidate is tried, as a file of that name may be a shim that cannot run.
"""

from __future__ import annotations

import glob
import os
import re
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.probe_answer import answer

OLDEST = (3, 10)  # when nothing in particular is wanted; MLX has no wheels for less
_APPLE_STUB = "/usr/bin/python3"
_NAME = re.compile(r"python(\d+(?:\.\d+)?)$")
_WANTED = re.compile(r"(?:python)?(\d+(?:\.\d+){0,2})$")

# What one interpreter says of itself: no site, so that it costs 10 ms. The base of a virtual environment is meant.
_PROBE = r"""
import json, os, sys
from importlib.machinery import PathFinder
system, _node, _release, _version, machine = os.uname()
release, libc = "", ""
if system == "Darwin":
    import platform
    release = platform.mac_ver()[0]
else:
    try:
        libc, _space, release = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        pass
path = getattr(sys, "_base_executable", "") or sys.executable
if os.path.exists(os.path.join(os.path.dirname(os.path.dirname(path)), "pyvenv.cfg")):
    path = os.path.realpath(path)  # before 3.11 the base of a virtual environment is not known by name
version = "%d.%d.%d" % sys.version_info[:3]
if sys.version_info[3] != "final":
    version += sys.version_info[3][0].replace("c", "rc") + str(sys.version_info[4])
print("MLXLAUNCH " + json.dumps({
    "path": path,
    "version": version,
    "implementation": sys.implementation.name + ("-t" if "t" in getattr(sys, "abiflags", "") else ""),
    "platform": {"system": system, "machine": machine, "release": release, "libc": libc},
    "ensurepip": PathFinder.find_spec("ensurepip", sys.path) is not None,
}))
"""


class PythonNotFound(Exception):
    """No such Python on this host; the text names the places that were searched, and the Pythons found there."""


def find_python(wanted, run):
    """Return the Python that is wanted: its path, version, implementation, platform, and whether it has ensurepip.

    Args:
        wanted: a path; a version such as 3.12 or 3.12.4; "" for the newest from 3.10 on.
        run: runs a command, see `_agent`.

    Raises:
        PythonNotFound: telling where was looked and which versions are there.
    """
    if "/" in wanted:
        return _by_path(os.path.expanduser(wanted), run)
    match = _WANTED.match(wanted or "3")
    if not match:
        raise PythonNotFound("mlx_python %r is neither a path nor a version such as 3.12" % wanted)
    version = tuple(int(part) for part in match.group(1).split("."))
    found = {}
    paths = candidates(run)
    best = _newest(paths, version, run, found) or _ask_uv(match.group(1) if wanted else "", version, run, found)
    if best is None:
        _try_all(paths, run, found)
        raise PythonNotFound(_complaint(wanted, found))
    return best


def _by_path(path, run):
    if not os.path.exists(path):
        raise PythonNotFound("python %s is not there" % path)
    if _is_stub(path, run):
        raise PythonNotFound("python %s is a placeholder until Apple's command line tools are installed: xcode-select --install" % path)
    found, problem = _probe(path, run)
    if found is None:
        raise PythonNotFound("python %s cannot be run: %s" % (path, problem))
    return found


def _is_stub(path, run):
    """Whether this is Apple's placeholder, which opens a dialog instead of running Python."""
    return sys.platform == "darwin" and os.path.realpath(path) == _APPLE_STUB and attempt(run, ["/usr/bin/xcode-select", "-p"])[0] != 0


def _probe(path, run):
    """Return (the interpreter's facts about itself, ""), or (None, the reason why it has none)."""
    code, text = attempt(run, [path, "-I", "-S", "-c", _PROBE])
    said = answer(text)
    return (said, "") if code == 0 and said else (None, last_line(text) or ending(code))


def attempt(run, argv, **options):
    """Return (exit status, output) of a command; one that cannot be started has status 127, as in a shell."""
    try:
        return run(argv, **options)
    except OSError as exc:
        return 127, "%s: %s" % (argv[0], exc.strerror)


def last_line(text):
    """Return the last line of some output that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def ending(code):
    """Return how a process ended, as a phrase."""
    return "ended by signal %d" % -code if code < 0 else "exit status %d" % code


def candidates(run):
    """Return [(version that the name promises, path)], each file once, in the order of search."""
    found, seen = [], set()
    for folder in _folders():
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "python3*"))):
            real = os.path.realpath(path)
            match = _NAME.match(os.path.basename(path))
            if match and real not in seen and os.access(path, os.X_OK) and not _is_stub(path, run):
                seen.add(real)
                found.append((_promise(path, real, match.group(1)), path))
    return found


def _promise(path, real, name):
    """Return the version a path speaks of, most exact first: 3.12.4 in a pyenv or uv folder, 3.12, or 3."""
    exact = re.search(r"/(?:versions/|cpython-)(\d+\.\d+\.\d+)[^/]*/bin/", path)
    if exact is None:
        plain = _NAME.match(os.path.basename(real))
        name = max(name, plain.group(1) if plain else "", key=len)
    return tuple(int(part) for part in (exact.group(1) if exact else name).split("."))


def _folders():
    home = os.path.expanduser("~")
    uv = os.environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(os.environ.get("XDG_DATA_HOME") or home + "/.local/share", "uv/python")
    pyenv = os.environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv")
    folders = glob.glob(glob.escape(uv) + "/*/bin")
    for prefix in ("/opt/homebrew", "/usr/local"):
        folders += [prefix + "/bin", *glob.glob(prefix + "/opt/python@3*/bin")]
    folders += glob.glob("/Library/Frameworks/Python.framework/Versions/3*/bin")
    folders += glob.glob(glob.escape(pyenv) + "/versions/3*/bin")
    folders += ["/usr/bin", *os.environ.get("PATH", os.defpath).split(os.pathsep)]
    return [folder for folder in dict.fromkeys(folders) if folder.startswith("/")]


def _newest(paths, version, run, found):
    """Return the newest of the candidates that is of a version; the others that were tried are left in `found`."""
    best = None
    for promise, path in sorted(paths, key=lambda item: _padded(item[0]), reverse=True):
        if best and numbers(best["version"]) >= _padded(promise):
            break  # the rest cannot be newer
        if any(mine != theirs for mine, theirs in zip(promise, version)):
            continue
        said, _problem = _probe(path, run)
        if said:
            found[said["path"]] = said["version"]
        if said and _fits(said, version) and (best is None or numbers(said["version"]) > numbers(best["version"])):
            best = said
    return best


def _try_all(paths, run, found):
    """Add every candidate that runs to `found`, for the message."""
    for _version, path in paths:
        said, _problem = _probe(path, run)
        if said:
            found[said["path"]] = said["version"]


def _padded(promise):
    """Return the highest version that a name can stand for: python3.12 may be any 3.12."""
    return promise + (10**6,) * (3 - len(promise))


def numbers(version):
    """Return (3, 12, 4) for 3.12.4, and for 3.12.4rc1."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _fits(said, version):
    """Return whether an interpreter will do: of this version, released, and new enough for MLX unless it was named."""
    exact = numbers(said["version"])
    if exact[: len(version)] != version or said["implementation"] != "cpython":
        return False
    return len(version) == 3 or (re.search(r"[a-z]", said["version"]) is None and (len(version) == 2 or exact[:2] >= OLDEST))


def find_uv(run):
    """Return the path of a uv that runs, or ""."""
    home = os.path.expanduser("~")
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), home + "/.local/bin", home + "/.cargo/bin"]
    for folder in [*folders, "/opt/homebrew/bin", "/usr/local/bin"]:
        path = os.path.join(folder, "uv")
        if folder.startswith("/") and os.access(path, os.X_OK) and attempt(run, [path, "--version"])[0] == 0:
            return path
    return ""


def _ask_uv(wanted, version, run, found):
    """Return a Python that only uv knows of; it must not download one that nobody asked for."""
    uv = find_uv(run)
    if not uv:
        return None
    code, text = attempt(
        run, [uv, "python", "find", *([wanted] if wanted else [])], env=dict(os.environ, UV_PYTHON_DOWNLOADS="never"), cwd="/"
    )
    path = last_line(text)
    return _newest([((3,), path)], version, run, found) if code == 0 and path.startswith("/") else None


def _complaint(wanted, found):
    there = ", ".join(
        "%s (%s)" % (version, path) for path, version in sorted(found.items(), key=lambda item: numbers(item[1]), reverse=True)
    )
    return "no Python %s on this host: found %s; looked at uv, Homebrew, python.org, pyenv, /usr/bin and PATH (%s). %s" % (
        wanted or "%d.%d or newer" % OLDEST,
        there or "none that runs",
        os.environ.get("PATH", os.defpath),
        "Install it, or name another one or a path in mlx_python",
    )
