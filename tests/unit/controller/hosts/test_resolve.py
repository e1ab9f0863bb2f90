"""Addresses of names, from the controller's resolver."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.resolve import resolve_ipv4


def test_address_of_this_machine_is_known() -> None:
    assert resolve_ipv4("127.0.0.1") == ["127.0.0.1"]


def test_name_that_is_none_is_an_error() -> None:
    with pytest.raises(socket.gaierror):
        resolve_ipv4("no such name")
