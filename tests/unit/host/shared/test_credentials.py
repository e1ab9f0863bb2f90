# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses are recorded and shown without their credentials."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.credentials import (
    lacks_secret,
    recordable,
    without_credentials,
    without_secrets,
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


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("token=canary", "token=***"),
        ("page=2&access_token=canary&n=3#top", "page=2&access_token=***&n=3#top"),
        ("X-Amz-Credential=canary&X-Amz-Date=2026&X-Amz-Signature=canary", "X-Amz-Credential=***&X-Amz-Date=2026&X-Amz-Signature=***"),
        ("sv=2024&sig=canary%3D", "sv=2024&sig=***"),
        ("apiKey=canary;client-secret=canary;key=canary", "apiKey=***;client-secret=***;key=***"),
        ("PASSWORD=canary", "PASSWORD=***"),
        ("token=canary==", "token=***"),
    ],
)
def test_value_of_a_secret_in_a_query_is_hidden(query: str, expected: str) -> None:
    assert without_secrets(f"--data=https://ada:canary@data.example/x?{query} next") == f"--data=https://***@data.example/x?{expected} next"
    assert lacks_secret(f"https://data.example/x?{expected}")


@pytest.mark.parametrize(
    "query", ["page=2", "tokenizer=llama", "max_tokens=20", "design=7&monkey=1&keyword=a&author=b", "token", "token=", ""]
)
def test_other_queries_stay(query: str) -> None:
    text = f"https://data.example/x?{query}"
    assert without_secrets(text) == text
    assert not lacks_secret(text)


def test_text_that_is_no_address_stays() -> None:
    """Arguments of a script are recorded as they are: a job could not be run again without."""
    assert [without_secrets(text) for text in ("--token=x", "a?token=x", "=***")] == ["--token=x", "a?token=x", "=***"]
    assert not lacks_secret("=***")


def test_all_texts_in_data_are_meant() -> None:
    data = {"a": [1, ("https://x:canary@y", "https://y?sig=canary", None)], "https://canary@b": True}
    assert recordable(data) == {"a": [1, ["https://***@y", "https://y?sig=***", None]], "https://***@b": True}
