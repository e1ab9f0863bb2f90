# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a project that are likely to be secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

_NAMES = (
    *(".env", ".env.*", "*.env"),
    *(".netrc", "_netrc", ".git-credentials", ".pypirc", ".npmrc", ".pgpass", ".htpasswd"),
    *("credentials", "credentials.json", "client_secret*.json", "service_account*.json", "kubeconfig"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.ppk", "*.keychain", "*.kdbx"),
)
_TEMPLATES = ("*.example", "*.sample", "*.template", "*.dist", "*.pub")


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return one expression for some patterns of a shell: a project may have many files."""
    return re.compile("|".join(translate(pattern) for pattern in patterns))


_SECRET, _TEMPLATE = _any_of(_NAMES), _any_of(_TEMPLATES)


def likely_secrets(paths: Iterable[str]) -> list[str]:
    """Return the paths of environment files, keys and credentials, by their names."""
    return [path for path in paths if _is_secret(path.rpartition("/")[2].lower())]


def _is_secret(name: str) -> bool:
    ssh = name.startswith("id_") and "." not in name  # as ssh-keygen names them
    return bool(ssh or _SECRET.match(name)) and not _TEMPLATE.match(name)
