"""Hosts that reach each other by ssh, as root, which no launcher of ours needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from .host import Host

_SSH = PurePosixPath("/root/.ssh")
_MADE = ("id_ed25519", "id_ed25519.pub", "config", "known_hosts", "known_hosts.old")


@contextlib.contextmanager
def trusted(head: Host, others: Sequence[Host]) -> Iterator[None]:
    """Let one host reach others by ssh for a while."""
    head.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", _SSH / "id_ed25519"], check=True)
    public = head.path(_SSH / "id_ed25519.pub").read_text()
    before = {host: host.path(_SSH / "authorized_keys").read_text() for host in others}
    head.path(_SSH / "config").write_text("Host *\nStrictHostKeyChecking accept-new\nLogLevel ERROR\n")
    try:
        for host, keys in before.items():
            host.path(_SSH / "authorized_keys").write_text(keys + public)
        yield
    finally:
        for host, keys in before.items():
            host.path(_SSH / "authorized_keys").write_text(keys)
        for name in _MADE:
            head.path(_SSH / name).unlink(missing_ok=True)
