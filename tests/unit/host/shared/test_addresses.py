# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Literal IP addresses are told from names."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.addresses import is_ip


@pytest.mark.parametrize(("text", "expected"), [("10.0.0.1", True), ("fe80::1", True), ("10.0.0", False), ("mac-1", False), ("", False)])
def test_addresses_are_told_from_names(text: str, expected: bool) -> None:
    assert is_ip(text) is expected
