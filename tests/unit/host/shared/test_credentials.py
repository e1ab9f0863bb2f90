# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses are recorded and shown without their credentials."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.credentials import (
    recordable,
    without_credentials,
    without_userinfo,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("https://pkg.example/simple", "https://pkg.example/simple"),
        ("https://ada:canary@pkg.example/simple", "https://***@pkg.example/simple"),
        ("https://canary@pkg.example/simple/@scope", "https://***@pkg.example/simple/@scope"),
        ("https://ada:c@nary@pkg.example", "https://***@pkg.example"),
        ("https://:canary@pkg.example:8443/", "https://***@pkg.example:8443/"),
        ("HTTPS://ada:canary@pkg.example", "HTTPS://***@pkg.example"),
        ("git+ssh://canary@host/x", "git+ssh://***@host/x"),
        ("from https://a:canary@one, 'https://b:canary@two' and ada@host", "from https://***@one, 'https://***@two' and ada@host"),
        ("--index-url=https://ada:canary@pkg.example", "--index-url=https://***@pkg.example"),
        ("http://host:80/a@b", "http://host:80/a@b"),
    ],
)
def test_user_and_password_are_hidden(text: str, expected: str) -> None:
    assert without_userinfo(text) == expected
    assert without_credentials(text) == expected


def test_query_of_an_index_may_be_a_token() -> None:
    assert without_credentials("see https://pkg.example/s?token=canary#x for more") == "see https://pkg.example/s?***#x for more"
    assert without_userinfo("https://pkg.example/s?page=2") == "https://pkg.example/s?page=2"


def test_all_texts_in_data_are_meant() -> None:
    data = {"a": [1, ("https://x:canary@y", None)], "https://canary@b": True}
    assert recordable(data) == {"a": [1, ["https://***@y", None]], "https://***@b": True}
