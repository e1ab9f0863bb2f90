"""How a fresh process becomes PID 1 of a host: its file tree, its network, its sshd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from pathlib import Path

from tests.lab import linux
from tests.lab.mac import personality
from tests.lab.needs import program
from tests.lab.spec import USER, USER_ID, HostSpec, LabSpec, hosts_file

from . import network

#: Directories of the machine which a host does not see; it has its own on its disk. Mode of each.
_OWN = {
    "tmp": 0o1777,
    "var/tmp": 0o1777,
    "run": 0o755,
    "opt": 0o755,
    "srv": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "root": 0o700,
}
_EMPTY_AT_BOOT = ("tmp", "run")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

_SSHD_CONFIG = """\
ListenAddress 0.0.0.0
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
AcceptEnv LANG LC_*
# the clock of a host is set by ~/.ssh/environment
PermitUserEnvironment yes
MaxStartups 1000
MaxSessions 1000
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""
#: Seconds sshd may take to listen.
_SSHD_PATIENCE = 60.0


def become_host(spec: LabSpec, host: HostSpec, channel: socket.socket) -> None:
    """Turn this process, alone in a new pid namespace, into the host; returns only by exception.

    Says on `channel` when its namespaces exist, waits there for its cables, says there when sshd listens.
    """
    log = os.open(spec.log(host), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.umask(0o022)
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC)
    channel.sendall(b"namespaces\n")
    socket.sethostname(host.name)
    root = _make_tree(spec, host)
    if not channel.recv(1):
        return  # the lab init is gone
    # No IPv6: its neighbour discovery would talk when the test wants silence.
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").write_text("0")
    network.batch(network.address_lines(host))  # by the machine's programs: a host may have others
    os.chdir(root)
    linux.pivot_root_here()
    if host.is_mac:
        _start_daemons(log)
    sshd = _start_sshd(log)
    _await_listening(sshd)
    channel.sendall(b"ready\n")
    channel.close()
    _be_init(sshd, log)


# --- file tree ---


def _make_tree(spec: LabSpec, host: HostSpec) -> Path:
    disk = spec.tree(host)
    blank = not (disk / "upper").exists()
    for name in ("upper", "work", "root"):
        (disk / name).mkdir(exist_ok=True)
    os.chdir(disk)  # relative names: a comma or colon in the path would end an overlay option
    linux.mount("overlay", "root", "overlay", options="lowerdir=/,upperdir=upper,workdir=work")
    root = disk / "root"
    _mount_own(disk, root)
    _mount_kernel(root)
    for path in spec.binds:
        _bind(path, root)
    if blank:
        _write_system_files(spec, host, root)
        if host.is_mac:
            personality.make_mac(spec, host, root)
    (root / "run/sshd").mkdir()
    (root / "run/lock").mkdir()
    (root / "run/lock").chmod(0o1777)
    return root


def _mount_own(disk: Path, root: Path) -> None:
    for name, mode in _OWN.items():
        own, target = disk / "own" / name, root / name
        if name in _EMPTY_AT_BOOT:
            shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True, exist_ok=True)
        own.chmod(mode)
        target.mkdir(parents=True, exist_ok=True)
        linux.bind(str(own), str(target))


def _mount_kernel(root: Path) -> None:
    quiet = linux.MS_NOSUID | linux.MS_NOEXEC
    linux.mount("proc", str(root / "proc"), "proc", quiet | linux.MS_NODEV)
    linux.mount("sysfs", str(root / "sys"), "sysfs", quiet | linux.MS_NODEV | linux.MS_RDONLY)
    dev = root / "dev"
    linux.mount("dev", str(dev), "tmpfs", linux.MS_NOSUID, "mode=755,size=1m")
    for name in _DEVICES:  # binds, because a container may not be allowed to make device nodes
        (dev / name).touch()
        linux.bind(f"/dev/{name}", str(dev / name))
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    linux.mount("devpts", str(dev / "pts"), "devpts", quiet, "newinstance,ptmxmode=0666,mode=620,gid=5")
    linux.mount("shm", str(dev / "shm"), "tmpfs", quiet | linux.MS_NODEV, "mode=1777,size=256m")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        (dev / name).symlink_to(target)


def _bind(path: Path, root: Path) -> None:
    target = root / path.relative_to("/")
    if path.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    linux.bind(str(path), str(target), read_only=True)
    if path.is_relative_to("/root"):  # for the normal user, who may have to run a Python which lives there
        (root / "root").chmod(0o711)


# --- system files, on a blank disk ---


def _write_system_files(spec: LabSpec, host: HostSpec, root: Path) -> None:
    etc = root / "etc"
    _replace(etc / "hostname", f"{host.name}\n")
    _replace(etc / "hosts", hosts_file(spec))
    _replace(etc / "ssh/sshd_config", _SSHD_CONFIG + personality.sshd_config(host))
    _replace(etc / "ssh/ssh_host_ed25519_key", spec.host_key(host).read_text(), 0o600)
    _write_accounts(etc, personality.login_shell(host))
    public_key = spec.key.with_suffix(".pub").read_text()
    _write_home(root / "root", 0, public_key)
    _write_home(root / "home" / USER, USER_ID, public_key)
    if (etc / "sudoers.d").is_dir():
        _replace(etc / f"sudoers.d/{USER}", f"{USER} ALL=(ALL) NOPASSWD: ALL\n", 0o440)


def _write_accounts(etc: Path, shell: str) -> None:
    _set_entry(etc / "passwd", USER, f"{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:{shell}")
    _set_entry(etc / "passwd", "root", f"root:x:0:0:root:/root:{shell}")
    _set_entry(etc / "group", USER, f"{USER}:x:{USER_ID}:")
    for name in (USER, "root"):  # "*": no password fits; "!" would lock the account for sshd
        _set_entry(etc / "shadow", name, f"{name}:*:19000:0:99999:7:::")


def _set_entry(file: Path, name: str, entry: str) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith(f"{name}:")]
    file.write_text("\n".join([*lines, entry]) + "\n")


def _write_home(home: Path, owner: int, public_key: str) -> None:
    ssh = home / ".ssh"
    ssh.mkdir(parents=True, exist_ok=True)
    _replace(ssh / "authorized_keys", public_key, 0o600)
    ssh.chmod(0o700)
    for path in (home, ssh, ssh / "authorized_keys"):
        os.chown(path, owner, owner)


def _replace(file: Path, text: str, mode: int = 0o644) -> None:
    file.unlink(missing_ok=True)  # it may be a symbolic link out of what a host has
    file.write_text(text)
    file.chmod(mode)


# --- init ---


def _start_daemons(log: int) -> None:
    """Start the LaunchDaemons of a Mac, if it has any."""
    if not any(Path(personality.LAUNCH_DAEMONS).glob("*.plist")):
        return
    actions = [(os.POSIX_SPAWN_DUP2, log, 2)]
    launchd = os.posix_spawn(personality.LAUNCHD[0], personality.LAUNCHD, {"PATH": personality.PATH}, file_actions=actions)
    os.waitpid(launchd, 0)


def _start_sshd(log: int) -> int:
    sshd = program("sshd")
    assert sshd
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    actions = [(os.POSIX_SPAWN_DUP2, log, 2)]
    return os.posix_spawn(sshd, [sshd, "-D", "-e"], {"PATH": path}, file_actions=actions, setsid=True)


def _await_listening(sshd: int) -> None:
    """Wait for the file sshd writes once its socket listens; a connection would leave a trace in the log."""
    deadline = time.monotonic() + _SSHD_PATIENCE
    pid = Path("/run/sshd.pid")
    while not pid.exists() or not pid.read_text().endswith("\n"):
        if os.waitpid(sshd, os.WNOHANG)[0]:
            raise OSError("sshd ended at once; the reason is in the host's log")
        if time.monotonic() > deadline:
            raise OSError(f"sshd does not listen after {_SSHD_PATIENCE:.0f} s")
        time.sleep(0.005)


def _be_init(sshd: int, log: int) -> None:
    """Reap orphans for ever, and start sshd again when it ends, as a service manager would."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        if os.waitpid(-1, 0)[0] == sshd:
            time.sleep(0.1)  # not a busy loop when sshd cannot start any more
            sshd = _start_sshd(log)
