"""Hosts that do not know us yet, and that we do not know: a person's ssh with nothing in it, and a password there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from tests.lab import Host, Lab
from tests.lab.spec import USER, USER_ID
from tests.support.waiting import wait_until

PASSWORD = "sesame, opened! for $HOME"


class Strangers:
    """Hosts of a lab, and a folder that stands for the person's own ~/.ssh: ssh's configuration leads nowhere else.

    Attributes:
        config: ssh's configuration; names of hosts are those of the lab, and mac-1, mac-1.local ... for the same.
        known_hosts, key: the files that ssh would use; neither is there at first.
    """

    def __init__(self, lab: Lab, folder: Path, more: str = "") -> None:
        self.lab = lab
        folder.mkdir(parents=True, exist_ok=True)
        self.config, self.known_hosts, self.key = folder / "config", folder / "known_hosts", folder / "id_ed25519"
        names = [f"Host {host.name} mac-{at} mac-{at}.local\n  HostName {host.address}\n" for at, host in enumerate(lab.hosts, 1)]
        everyone = [
            f"User {USER}",
            f'IdentityFile "{self.key}"',
            "IdentitiesOnly yes",
            f'UserKnownHostsFile "{self.known_hosts}"',
            "GlobalKnownHostsFile /dev/null",
            "ConnectTimeout 30",
        ]
        self.config.write_text(more + "".join(names) + "Host *\n" + "".join(f"  {line}\n" for line in everyone))
        for host in lab.hosts:
            authorized_keys(host).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for host in self.lab.hosts:
            authorized_keys(host).unlink(missing_ok=True)

    @property
    def env(self) -> dict[str, str]:
        """Variables with which Ansible's ssh is this one."""
        return {"ANSIBLE_SSH_COMMON_ARGS": f"-F {self.config}"}

    def let_in(self) -> None:
        """Let all hosts be known, and take a key."""
        self.known_hosts.write_text((self.lab.dir / "known_hosts").read_text())
        shutil.copy(self.lab.dir / "key", self.key)
        for host in self.lab.hosts:
            keys = authorized_keys(host)
            keys.write_text((self.lab.dir / "key.pub").read_text())
            os.chown(keys, USER_ID, USER_ID)

    @staticmethod
    def host_key(host: Host) -> str:
        """Return a host's key, without a name."""
        return " ".join(host.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])

    def fingerprint(self, host: Host) -> str:
        """Return the fingerprint of a host's key, as ssh-keygen shows it on the host."""
        done = host.run(["ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub"], check=True)
        return done.stdout.split()[1]

    def logs_in(self, name: str) -> bool:
        """Return whether plain ssh runs a command there, asking nobody."""
        return self.lab.run(["ssh", "-F", self.config, "-o", "BatchMode=yes", name, "true"]).returncode == 0


def authorized_keys(host: Host) -> Path:
    """Return the file with the keys that a host's user takes."""
    return host.path(f"/home/{USER}/.ssh/authorized_keys")


def write_public_host_key(host: Host) -> None:
    """Write the public half beside a host's key, as an installation does."""
    done = host.run(["ssh-keygen", "-y", "-f", "/etc/ssh/ssh_host_ed25519_key"], check=True)
    host.path("/etc/ssh/ssh_host_ed25519_key.pub").write_text(done.stdout)


def take_passwords(host: Host) -> None:
    """Let a host's sshd take PASSWORD for its normal user."""
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
    ).stdout.strip()
    shadow = host.path("/etc/shadow")
    lines = [line for line in shadow.read_text().splitlines() if not line.startswith(f"{USER}:")]
    shadow.write_text("\n".join([*lines, f"{USER}:{hashed}:19000:0:99999:7:::"]) + "\n")
    configure_sshd(host, "PasswordAuthentication yes")


def configure_sshd(host: Host, *lines: str) -> None:
    """Put lines before a host's configuration of sshd, which count for more, and wait until it has read them."""
    config, pid = host.path("/etc/ssh/sshd_config"), host.path("/run/sshd.pid")
    config.write_text("".join(f"{line}\n" for line in lines) + config.read_text())
    number = int(pid.read_text())
    pid.unlink()  # it writes another one
    host.kill(number, signal.SIGHUP)
    wait_until(lambda: pid.exists() and pid.read_text().endswith("\n"), f"sshd of {host.name} has begun anew")
