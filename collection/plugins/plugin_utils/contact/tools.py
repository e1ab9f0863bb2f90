# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apple's command line tools, installed over ssh without a dialog. Pure.

softwareupdate(8) offers them only while a certain file exists, which is how `xcode-select --install` makes it do so;
Homebrew's installer and images for continuous integration have relied on that since macOS 10.9.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..hosts.login_shell import in_sh

_ON_DEMAND = "/tmp/.com.apple.dt.CommandLineTools.installondemand.in-progress"  # noqa: S108 - Apple's name for it
_UPDATE, _SELECT = "/usr/sbin/softwareupdate", "/usr/bin/xcode-select"
TOOLS = "/Library/Developer/CommandLineTools"
# Since macOS 10.15 a line is `* Label: Command Line Tools for Xcode-16.2`; before, the label itself stands after the star.
_LABEL = re.compile(r"^\s*\*\s*(?:Label:\s*)?(Command Line Tools\b[^\n]{0,200}?)\s*$", re.MULTILINE)
_ASKING = f'f={_ON_DEMAND}; trap \'rm -f "$f"\' EXIT; rm -f "$f"; set -C; : >"$f" || exit 1; set +C'
#: Lists what could be installed, for `newest`.
LIST = in_sh(f"{_ASKING}; {_UPDATE} --list 2>&1")
#: Installs the one whose label is the first line of standard input.
INSTALL = in_sh(
    f'IFS= read -r label || exit 1; {_ASKING}; {_UPDATE} --install "$label" 2>&1;'
    f" {_SELECT} -p >/dev/null 2>&1 || {_SELECT} --switch {TOOLS}"
)


def newest(listed: str) -> str | None:
    """Return the label of the newest tools that softwareupdate lists, None when it lists none that is released."""
    labels = [label for label in _LABEL.findall(listed) if "beta" not in label.lower() and label.isprintable()]
    return max(labels, key=_version, default=None)


def _version(label: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", label.partition("Xcode")[2] or label)]


def by_hand(label: str = "") -> Sequence[Sequence[str]]:
    """Return the commands by which a person who may be root installs the tools on the Mac, without a dialog.

    Args:
        label: the newest, when it is known.
    """
    return (
        ("touch", _ON_DEMAND),
        ("softwareupdate", "--list"),
        ("sudo", "softwareupdate", "--install", label or "LABEL"),
        ("rm", _ON_DEMAND),
    )
