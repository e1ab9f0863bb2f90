"""What a host looks like over ssh: a Linux machine, or a Mac as far as a Linux machine can.

What is real on such a Mac and what is not is told in README.md, beside the recordings and programs it gets.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from tests.lab.needs import BACK_DOOR, mac_lacks_programs, program
from tests.lab.spec import USER, USER_ID, HostSpec, LabSpec

_MAC = Path(__file__).parent
#: Directories on the machine that hold Pythons, as patterns of the versions in them.
_VERSIONS = ("{pyenv}/versions/3.{minor}.*/bin/python3.{minor}", "{uv}/cpython-3.{minor}.*/bin/python3.{minor}")
#: Which a Mac may have, and the one of its command line tools.
_MINORS, _APPLE = range(10, 16), 9

#: Linux programs that scripts like to use and a Mac does not have. Their absence is felt by root and by users.
_NOT_ON_A_MAC = (
    *("ip", "ss", "bridge", "tc", "ethtool", "lscpu", "lsblk", "lsmem", "lspci", "findmnt", "free", "pidof", "nproc", "numactl"),
    *("timeout", "flock", "setsid", "taskset", "ionice", "chrt", "prlimit", "runuser", "unshare", "nsenter", "stdbuf", "tac", "getent"),
    *("systemctl", "journalctl", "hostnamectl", "service", "lsb_release", "ldd", "strace"),
    *("apt", "apt-get", "apt-cache", "dpkg", "dpkg-query"),
)
_BIN_DIRECTORIES = ("usr/bin", "usr/sbin", "bin", "sbin")
#: The PATH sshd of macOS gives to a command, whoever runs it.
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_SSHD_CONFIG = f"SetEnv PATH={PATH}\n"
#: Loads and starts the services in a directory.
LAUNCHD = (f"{BACK_DOOR}/python3", "-IS", f"{BACK_DOOR}/launchd.py")
LAUNCH_DAEMONS = "/Library/LaunchDaemons"
_LOGIN_PROFILES = {
    # What path_helper(8) makes of /etc/paths, and what Homebrew's installer asks a user to add: for login shells only.
    "etc/zsh/zprofile": f"PATH=/usr/local/bin:/System/Cryptexes/App/usr/bin:{PATH}\n",
    "root/.zprofile": "export PATH=/opt/homebrew/bin:/opt/homebrew/sbin:$PATH\n",
    f"home/{USER}/.zprofile": "export PATH=/opt/homebrew/bin:/opt/homebrew/sbin:$PATH\n",
}


# --- what this machine has for a Mac ---


def find_pythons() -> dict[int, Path]:
    """Return the machine's Pythons by minor version: the newest 3.9 that pyenv, uv or the system has, and so on.

    MLXLAUNCH_PY39 names a 3.9 that is elsewhere.
    """
    found = {minor: path for minor in (_APPLE, *_MINORS) if (path := _find_python(minor))}
    if given := os.environ.get("MLXLAUNCH_PY39"):
        found[_APPLE] = Path(given).absolute()
    return found


def _find_python(minor: int) -> Path | None:
    places = {
        "pyenv": os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")),
        "uv": os.environ.get("UV_PYTHON_INSTALL_DIR", str(Path.home() / ".local/share/uv/python")),
    }
    for pattern in _VERSIONS:
        relative = Path(pattern.format(minor=minor, **places)).relative_to("/")
        if paths := sorted(Path("/").glob(str(relative)), key=_version):
            return paths[-1]
    system = program(f"python3.{minor}")
    return Path(system) if system else None


def _version(python: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", python.parent.parent.name)]


def mac_lacks(pythons: dict[int, Path], base_prefix: str) -> list[str]:
    """Say why no host of this machine can look like a Mac; empty: one can.

    Args:
        pythons: the machine's, by minor version.
        base_prefix: where the Python comes from that the ranks of tests run.
    """
    lacks = mac_lacks_programs()
    if _APPLE not in pythons:
        lacks.append("Python 3.9, which macOS has (pyenv install 3.9, uv python install 3.9, or name one in MLXLAUNCH_PY39)")
    if base_prefix == "/usr":  # an environment made with it leads to /usr/bin/python3
        lacks.append("a Python for tests that is not /usr/bin/python3, which is a 3.9 on a Mac")
    return lacks


def python_prefixes(pythons: dict[int, Path]) -> list[Path]:
    """Return the directories that hosts have to see for these Pythons to run there."""
    return [python.resolve().parent.parent for python in pythons.values()]


def rsync_client(directory: Path) -> Path:
    """Put an `rsync` into a directory that is for a controller what openrsync is for one that is a Mac; return it."""
    client = directory / "rsync"
    client.symlink_to(_MAC / "tree/usr/bin/rsync")
    return client


# --- how a blank disk becomes a Mac's ---


def sshd_config(host: HostSpec) -> str:
    """What is particular in the configuration of its sshd."""
    return _SSHD_CONFIG if host.is_mac else ""


def login_shell(host: HostSpec) -> str:
    """The shell of root and of the normal user."""
    return "/bin/zsh" if host.is_mac else "/bin/bash"


def make_mac(spec: LabSpec, host: HostSpec, root: Path) -> None:
    """Give the tree of a host with a blank disk what a Mac has, and take what it does not have."""
    _keep_behind_the_door(root)
    _remove_linux_programs(root, spec.pythons.values())
    _copy_programs(root, _MAC / "tree")
    _write_recordings(root / BACK_DOOR.relative_to("/") / "recordings", _names(spec, host))
    if plan := spec.cable_plan:
        _copy_programs(root, _MAC / "cabled")
        facts = plan.of_host(host.name, [each.name for each in spec.hosts])
        (root / BACK_DOOR.relative_to("/") / "recordings/cables.json").write_text(json.dumps(facts))
    _link_pythons(root, spec.pythons)
    _write_profiles(root)
    shared = root / "Users/Shared"
    shared.mkdir(parents=True, exist_ok=True)
    shared.chmod(0o1777)
    for name in (LAUNCH_DAEMONS, "/Library/Preferences"):
        (root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)


def _keep_behind_the_door(root: Path) -> None:
    """Copy what the lab itself still needs once a Mac's program, or none, stands in its place."""
    door = root / BACK_DOOR.relative_to("/")
    door.mkdir(parents=True, exist_ok=True)
    for name in ("rsync", "timeout", "ip"):
        source = program(name)
        assert source
        shutil.copy2(root / Path(source).relative_to("/"), door / name)


def _remove_linux_programs(root: Path, keep: Iterable[Path]) -> None:
    kept = {str(path) for path in keep}
    for directory in _BIN_DIRECTORIES:
        for path in [root / directory / name for name in _NOT_ON_A_MAC] + list((root / directory).glob("python3*")):
            if f"/{path.relative_to(root)}" not in kept:
                path.unlink(missing_ok=True)


def _copy_programs(root: Path, tree: Path) -> None:
    for source in (path for path in tree.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        target = root / source.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        for directory in _BIN_DIRECTORIES:  # Linux may have its own elsewhere, and earlier on the PATH
            (root / directory / source.name).unlink(missing_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755)
    if not (root / "usr/bin/openrsync").is_symlink():
        (root / "usr/bin/openrsync").symlink_to("rsync")


def _names(spec: LabSpec, host: HostSpec) -> dict[str, str]:
    """What differs between the recordings of two hosts. Thunderbolt cables make a ring of them."""
    neighbours = {"THIS": host.index, "NEXT": host.index % spec.count + 1, "PREVIOUS": (host.index - 2) % spec.count + 1}
    return {f"@{word}@": f"{index:02x}" for word, index in neighbours.items()} | {"@NAME@": host.name}


def _write_recordings(place: Path, names: dict[str, str]) -> None:
    recordings = _MAC / "recordings"
    for source in (path for path in recordings.rglob("*") if path.is_file()):
        text = source.read_text(encoding="utf-8")
        for word, value in names.items():
            text = text.replace(word, value)
        target = place / source.relative_to(recordings)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _link_pythons(root: Path, pythons: dict[int, Path]) -> None:
    tools, homebrew = root / "Library/Developer/CommandLineTools/usr/bin", root / "opt/homebrew/bin"
    for directory in (tools, homebrew):
        directory.mkdir(parents=True, exist_ok=True)
    # The programs of the lab's Macs have theirs behind the door: somebody may take the command line tools away.
    for link in (tools / "python3", tools / "python3.9", root / LAUNCHD[0].lstrip("/")):
        link.symlink_to(pythons[_APPLE])
    for minor in sorted(pythons.keys() - {_APPLE}):
        (homebrew / f"python3.{minor}").symlink_to(pythons[minor])


def _write_profiles(root: Path) -> None:
    (root / "etc/zsh/zshenv").unlink(missing_ok=True)  # Debian's; macOS has none
    for name, text in _LOGIN_PROFILES.items():
        profile = root / name
        profile.write_text(text)
        if name.startswith("home/"):
            os.chown(profile, USER_ID, USER_ID)
