# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A word reaches sh as it is, through any login shell."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.login_shell import in_sh, shell_word

#: With their options: csh and tcsh without the user's start file, as sshd starts the others.
SHELLS = {"sh": [], "bash": [], "dash": [], "zsh": [], "fish": [], "csh": ["-f"], "tcsh": ["-f"]}
WORDS = [
    "/opt/plain-1.0/bin/python3",
    "two  words",
    'it\'s "quoted"',
    "/opt/we!rd/python!",
    "!!",
    "back\\slash",
    "end\\",
    "\\\\two\\\\",
    "quote\\'d",
    "line\nline!",
    "tab\tand\x7f",
    "$HOME ${PATH} $(id) `id`",
    "größe 尺寸 !🖥",
    "*?[a-z]{a,b}~",
    "50%",
    "-n",
    "#;&|<>()",
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("word", WORDS)
def test_word_arrives_through_any_login_shell(word: str, shell: str) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    command = in_sh(f"printf '<%s>' {shell_word(word)}; exit 3")
    done = subprocess.run([path, *SHELLS[shell], "-c", command], capture_output=True, check=False, timeout=60)
    assert (done.stdout.decode(), done.returncode) == (f"<{word}>", 3), done.stderr


def test_usual_path_is_written_as_it_is() -> None:
    assert in_sh(f"exec {shell_word('/usr/bin/python3')} -I") == "exec /bin/sh -c 'exec /usr/bin/python3 -I'"
