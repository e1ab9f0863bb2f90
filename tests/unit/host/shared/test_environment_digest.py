# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments that are the same have the same key and the same digest, on both sides."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.environment_digest import PROBE, environment_key

LINUX = {"system": "Linux", "machine": "x86_64"}


def test_key_is_of_lock_exact_python_and_platform_only() -> None:
    python = {"version": "3.12.4", "implementation": "cpython", "path": "/usr/bin/python3.12"}
    key = environment_key("ab", python, {**LINUX, "release": "2.36"})
    assert key == environment_key("ab", {**python, "path": "/opt/python3"}, {**LINUX, "release": "2.39"})
    others = [
        environment_key("ac", python, LINUX),
        environment_key("ab", {**python, "version": "3.12.5"}, LINUX),
        environment_key("ab", python, {**LINUX, "machine": "aarch64"}),
    ]
    assert len({key, *others}) == 4
    assert len(key) == 16


def test_distributions_are_those_of_importlib_metadata() -> None:
    theirs = "import importlib.metadata as m, json; print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"

    def output(program: str) -> str:
        return subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True).stdout

    expected = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in json.loads(output(theirs)).items()}
    assert {"pip", "ansible-core"} <= set(expected)
    assert json.loads(output(PROBE).removeprefix("MLXLAUNCH "))["distributions"] == expected
