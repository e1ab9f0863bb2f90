# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of a first contact, which run on a host before anything else can: in sh, under any login shell. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from ..hosts.login_shell import in_sh

_MARK = "mlxlaunch: "
_FACTS = f"{_MARK}facts "
KEY_ADDED, KEY_THERE = f"{_MARK}key added", f"{_MARK}key there"
# The line is data, read from standard input; its second word is the key itself.
INSTALL_KEY = in_sh(
    "umask 077; set -f; IFS= read -r line || exit 1; set -- $line; d=$HOME/.ssh; f=$d/authorized_keys;"
    ' [ -d "$d" ] || mkdir "$d" || exit 1; chmod 700 "$d" || exit 1; touch "$f" || exit 1; chmod 600 "$f" || exit 1;'
    f' if grep -qF -- "$2" "$f"; then echo "{KEY_THERE}"; exit 0; fi;'
    ' if [ -n "$(tail -c 1 "$f")" ]; then echo >>"$f" || exit 1; fi; printf "%s\\n" "$line" >>"$f" || exit 1;'
    ' if command -v restorecon >/dev/null 2>&1; then restorecon -R "$d" >/dev/null 2>&1; fi;'
    f' echo "{KEY_ADDED}"'
)
#: Says whether the host is a Mac, and whether its /usr/bin/python3 would open a dialog in place of being a Python.
LOOK_FOR_TOOLS = in_sh(
    f'echo "{_MARK}system $(uname -s)"; if [ -x /usr/bin/xcode-select ]; then'
    f' if /usr/bin/xcode-select -p >/dev/null 2>&1; then echo "{_MARK}tools there"; else echo "{_MARK}tools missing"; fi; fi'
)
_LONGEST = 1024  # characters of a text that a host says about itself


def hello_program(python: str) -> bytes:
    """Return the program, compressed, that says what a host is; any Python of a host can run it.

    Args:
        python: path of the ranks' Python on the host.
    """
    source = (
        "import json, os, platform, sys\n"
        f"facts = {{'system': platform.system(), 'release': platform.mac_ver()[0] or platform.release(), 'machine': platform.machine(),\n"
        f"         'python': platform.python_version(), 'executable': sys.executable, 'ranks_python': os.access({python!r}, os.X_OK)}}\n"
        f"print({_FACTS!r} + json.dumps(facts))\n"
    )
    return zlib.compress(source.encode())


def facts_in(output: str) -> Mapping[str, Any] | None:
    """Return the facts in the output of `hello_program`, texts and the bool `ranks_python`; None without any."""
    lines = [line for line in output.splitlines() if line.startswith(_FACTS)]
    try:
        found = json.loads(lines[-1].removeprefix(_FACTS)) if lines else None
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    texts = {name: found.get(name) for name in ("system", "release", "machine", "python", "executable")}
    if not all(isinstance(text, str) and len(text) <= _LONGEST and text.isprintable() for text in texts.values()):
        return None
    return {**texts, "ranks_python": found.get("ranks_python") is True}


def lacks_tools(output: str) -> bool:
    """Return whether the output of LOOK_FOR_TOOLS is that of a Mac without the command line tools."""
    lines = output.splitlines()
    return f"{_MARK}system Darwin" in lines and f"{_MARK}tools missing" in lines
