# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the configuration files of pip and uv on this host say of the way to an index, as their variables."""

from __future__ import annotations

import json
import os

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.interpreter import attempt
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import pip
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.probe_answer import SAID, answer

# The library can read TOML from 3.11 on, and whatever runs this may be older than the Python of the environment.
_READ = (
    """
import json, sys, tomllib
with open(sys.argv[1], "rb") as source:
    found = tomllib.load(source)
print(%r + json.dumps(found, default=str))
"""
    % SAID
)
# uv's variables by the keys of uv.toml; what separates the parts of a list.
_KEYS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_EXTRA_INDEX_URL", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "allow-insecure-host": ("UV_INSECURE_HOST", " "),
    "keyring-provider": ("UV_KEYRING_PROVIDER", " "),
    "native-tls": ("UV_NATIVE_TLS", " "),
    "system-certs": ("UV_SYSTEM_CERTS", " "),
    "cache-dir": ("UV_CACHE_DIR", " "),
    "no-cache": ("UV_NO_CACHE", " "),
}


def of_pip(prefix, environ):
    """Return the variables of pip for its files; `prefix` is the environment that pip is in."""
    texts = []
    for path in pip.config_files(environ, os.path.expanduser("~"), prefix, os.uname().sysname):
        try:
            with open(path, encoding="utf-8", errors="replace") as source:
                texts.append(source.read())
        except OSError:
            continue
    return pip.configured(texts, "install")


def of_uv(python, run, environ):
    """Return the variables of uv for its files, and warnings about files that cannot be read.

    Args:
        python: the Python of the environment that is to be made.
        run: runs a command.
        environ: the variables of this process.
    """
    found = {}
    warnings = []
    for path in uv_files(environ):
        if os.path.isfile(path):
            code, text = attempt(run, [python, "-I", "-c", _READ, path])
            said = answer(text) if code == 0 else None
            if said is None:
                warnings.append("%s is not followed: %s cannot read it (TOML needs Python 3.11)" % (path, python))
            else:
                found.update(variables_of(said))
    return found, warnings


def uv_files(environ):
    """Return the paths of uv's configuration, the most important last; see uv's page about configuration files."""
    if environ.get("UV_CONFIG_FILE"):
        return [environ["UV_CONFIG_FILE"]]
    home = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return ["/etc/uv/uv.toml", os.path.join(home, "uv", "uv.toml")]


def variables_of(content):
    """Return the variables of uv for the content of an uv.toml. Pure."""
    found = {}
    pip_table = content.get("pip")
    for table in (content, pip_table if isinstance(pip_table, dict) else {}):
        for key, (name, separator) in _KEYS.items():
            if key in table:
                value = table[key]
                found[name] = separator.join(map(str, value)) if isinstance(value, list) else _text(value)
    tables = content.get("index")
    indexes = [item for item in tables if isinstance(item, dict) and "url" in item] if isinstance(tables, list) else []
    named = ["%s%s" % (item["name"] + "=" if item.get("name") else "", item["url"]) for item in indexes if not _special(item)]
    if named:
        found["UV_INDEX"] = " ".join(named)
    for item in indexes:
        if item.get("default"):
            found["UV_DEFAULT_INDEX"] = "%s%s" % (item["name"] + "=" if item.get("name") else "", item["url"])
    return found


def _special(index):
    """Return whether an index is not asked for every package: only for some, or in the place of PyPI."""
    return bool(index.get("explicit") or index.get("default"))


def _text(value):
    return json.dumps(value) if isinstance(value, bool) else str(value)
