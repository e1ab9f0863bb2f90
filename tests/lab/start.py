"""How the lab init is started and ended: directory, keys, files, process."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import control, files
from .needs import LabError
from .spec import LabSpec, hosts_file

#: The project's checkout; hosts see it, read-only, at the same path.
CHECKOUT = Path(__file__).resolve().parents[2]

#: Seconds a lab may take to start and to stop.
_START_PATIENCE, _STOP_PATIENCE = 150.0, 60.0

_OWN_FILES = (
    "lab.json",
    "key",
    "key.pub",
    "known_hosts",
    "ssh_config",
    "hosts",
    "inventory.yml",
    "init.log",
    "control",
)
_OWN_DIRECTORIES = ("cp", "host_keys", "trees")


def make_directory(wanted: Path | None) -> Path:
    """Make the private directory of a lab: the wanted one, else a temporary one."""
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="mlxlab-")).resolve()
    wanted.mkdir(parents=True, exist_ok=True)
    if not (wanted / "lab.json").exists() and any(wanted.iterdir()):
        raise LabError(f"{wanted} is neither empty nor a lab's directory")
    if (wanted / "lab.json").exists() and _is_up(wanted):
        raise LabError(f"a lab is up in {wanted}")
    remove_files(wanted)
    wanted.mkdir(parents=True, exist_ok=True)
    wanted.chmod(0o700)
    return wanted.resolve()


def _is_up(directory: Path) -> bool:
    try:
        control.ask(directory, {"op": "status"})
    except LabError:
        return False
    return True


def remove_files(directory: Path) -> None:
    """Remove the files of a lab that is down, and the directory when nothing else is in there."""
    for name in (*_OWN_FILES, *(log.name for log in directory.glob("node*.log"))):
        (directory / name).unlink(missing_ok=True)
    for name in _OWN_DIRECTORIES:
        shutil.rmtree(directory / name, ignore_errors=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


def all_binds(more: Sequence[Path]) -> tuple[Path, ...]:
    """What every host sees of the machine at the same path: the checkout and every Python."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    wanted = [CHECKOUT, Path(sys.prefix), Path(sys.base_prefix), pyenv, *more]
    # The system's Python is there anyway, and /usr itself has to stay writable for package installation.
    paths = {path.absolute() for path in wanted if path.exists()} - {
        Path("/"),
        Path("/usr"),
        Path("/usr/local"),
    }
    return tuple(path for path in sorted(paths) if not paths.intersection(path.parents))


def start_init(spec: LabSpec) -> subprocess.Popen[bytes]:
    """Write a lab's files and start its init; returns when every host takes connections."""
    spec.save()
    _make_keys(spec)
    _write_files(spec)
    init = _spawn_init(spec)
    try:
        report = _first_line(init)
    except BaseException:
        end_owned(init)
        raise
    if "error" in report:
        end_owned(init)
        raise LabError(f"the lab does not start: {report['error']}")
    if not spec.owned:
        namespace = Path(f"/proc/{report['value']['pid']}/ns/net")
        (spec.dir / "ssh_config").write_text(files.ssh_config(spec, namespace=namespace))
    return init


def _make_keys(spec: LabSpec) -> None:
    (spec.dir / "host_keys").mkdir()
    keys = {"mlxlaunch lab": spec.key, **{host.name: spec.host_key(host) for host in spec.hosts}}
    making = [
        subprocess.Popen(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", file]) for comment, file in keys.items()
    ]
    codes = [process.wait(timeout=120) for process in making]
    if any(codes):
        raise LabError("ssh-keygen failed")


def _write_files(spec: LabSpec) -> None:
    public_keys = {host: spec.host_key(host).with_suffix(".pub").read_text() for host in spec.hosts}
    (spec.dir / "known_hosts").write_text(files.known_hosts(spec, public_keys))
    (spec.dir / "ssh_config").write_text(files.ssh_config(spec))
    (spec.dir / "hosts").write_text(hosts_file(spec))
    (spec.dir / "inventory.yml").write_text(files.inventory(spec))


def _spawn_init(spec: LabSpec) -> subprocess.Popen[bytes]:
    """Start the lab init in new namespaces.

    The write end of its standard input exists in this process only (subprocess makes it close-on-exec); the
    kernel closes it whichever way this process ends. `--kill-child` covers the death of unshare itself.
    """
    namespaces = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--net", "--uts", "--ipc"]
    program = [sys.executable, "-E", "-S", "-m", "tests.lab.init", str(spec.dir)]
    with (spec.dir / "init.log").open("wb") as log:
        return subprocess.Popen(
            [*namespaces, *program],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE if spec.owned else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the test run, which then stops the lab
        )


def _first_line(init: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert init.stdout
    with init.stdout, selectors.DefaultSelector() as selector:
        selector.register(init.stdout, selectors.EVENT_READ)
        line = init.stdout.readline() if selector.select(_START_PATIENCE) else b""
    if not line:
        log = Path(str(init.args[-1])) / "init.log"  # type: ignore[index]
        raise LabError(f"the lab does not start: {log.read_text()[-2000:].strip() or 'no reason given'}")
    report: dict[str, Any] = json.loads(line)
    return report


def end_owned(init: subprocess.Popen[bytes]) -> None:
    """End a lab init by closing its standard input, or by force when that does not help."""
    if init.stdin:
        init.stdin.close()
    try:
        init.wait(timeout=_STOP_PATIENCE)
    except subprocess.TimeoutExpired:
        init.kill()
        init.wait(timeout=_STOP_PATIENCE)
