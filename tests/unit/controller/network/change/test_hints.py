"""Errors of connections get the next step."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.hints import explain


@pytest.mark.parametrize(
    ("name", "text", "step"),
    [
        ("EADDRNOTAVAIL", "Cannot assign requested address", "--apply again"),
        ("ETIMEDOUT", "no answer", "a firewall or a VPN"),
        ("ECONNREFUSED", "Connection refused", "does not listen"),
        ("EHOSTUNREACH", "No route to host", "Local Network"),
        ("", "Changing queue pair to RTR failed with errno 22", "a bridge still has the port"),
        ("", "Changing queue pair to RTR failed with errno 16", "restart the Mac"),
        ("", "Couldn't allocate protection domain", "the RDMA port is down"),
        ("", "[jaccl] No IPv4-mapped GID found", "has no IPv4 address"),
        ("", "[ring] Couldn't bind socket (error: 49)", "the address has vanished"),
        ("", "ModuleNotFoundError: No module named 'mlx'", "mlx_python"),
    ],
)
def test_error_names_one_next_step(name: str, text: str, step: str) -> None:
    said = explain(name, text)
    assert said.startswith(f"{text}: ")
    assert step in said


def test_unknown_error_is_shown_as_it_is() -> None:
    assert explain("", "it broke") == "it broke"
    assert explain("EIO", "") == "EIO"
