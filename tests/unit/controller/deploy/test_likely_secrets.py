# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and credentials are known by their names."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.likely_secrets import likely_secrets


@pytest.mark.parametrize(
    "path",
    [
        *(".env", ".env.local", "prod.env", ".netrc", "_netrc", ".git-credentials", ".pypirc", ".npmrc"),
        *("credentials.json", "Credentials.json", ".aws/credentials", "client_secret_1.json", "service_account.json"),
        *("id_rsa", "keys/id_ed25519", "id_ed25519_sk", "id_work", "server.pem", "server.key", "a.p12", "a.pfx"),
    ],
)
def test_file_is_likely_a_secret(path: str) -> None:
    assert likely_secrets(["train.py", path]) == [path]


@pytest.mark.parametrize(
    "path",
    [".env.example", ".env.sample", "id_rsa.pub", "id_map.py", "ids.csv", "env", "env.py", "pem", "keys.json", ".envrc.md", "a.keys"],
)
def test_file_is_likely_none(path: str) -> None:
    assert likely_secrets([path]) == []
