"""Keys of hosts are compared by their line or their fingerprint, as people have them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.host_key import HostKey, algorithms, given_keys
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError

LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID81UPHG0vimB2n3+NWN3bCQ5EqixMvpfFCq8VQPtfeR"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_fingerprint_is_that_of_ssh_keygen(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    shown = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout.split()
    key = HostKey.of(path.with_suffix(".pub").read_text())
    assert key
    assert (key.fingerprint, f"({key.name})") == (shown[1], shown[-1])
    assert key.is_one_of(given_keys(shown[1], "x"))
    assert key.is_one_of(given_keys([f"SHA256:{'x' * 43}", path.with_suffix(".pub").read_text()], "x"))
    assert not key.is_one_of(given_keys(LINE, "x"))


@pytest.mark.parametrize("line", [LINE, f"{LINE} me@here", f"10.0.0.1 {LINE}", f"@cert-authority *.x {LINE} c", f"[10.0.0.1]:2222 {LINE}"])
def test_key_is_found_in_a_line(line: str) -> None:
    assert HostKey.of(line) == HostKey(*LINE.split())


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 !!", "# ssh-rsa is old", "AAAA ssh-ed25519", f"{'x ' * 9000}{LINE}"])
def test_line_without_a_key_has_none(line: str) -> None:
    assert HostKey.of(line) is None


@pytest.mark.parametrize("value", [None, "", [], ()])
def test_nothing_is_given(value: Any) -> None:
    assert given_keys(value, "x") == ()


@pytest.mark.parametrize("value", ["SHA256:short", "MD5:16:27:ac", 7, {"a": 1}, ["SHA256:short"], "ssh-ed25519", f"SHA256:{'x' * 44}"])
def test_other_values_are_refused_by_name(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^mac-1: want a line of the host's \.pub file, or a fingerprint"):
        given_keys(value, "mac-1")


def test_fingerprint_may_be_that_of_any_kind() -> None:
    assert algorithms(()) == ()
    assert algorithms((LINE,)) == ("ssh-ed25519",)
    assert algorithms((f"SHA256:{'x' * 43}",)) == ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512,rsa-sha2-256")
