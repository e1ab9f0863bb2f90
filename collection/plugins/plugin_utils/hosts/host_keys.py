# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options by which an ssh command line turns off the check of host keys. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WITH_VALUE = "BbcDEeFIiJLlmOoPpQRSWw"  # ssh(1): the letters that take a value
_SETTING = re.compile(r'\s*"?([A-Za-z]+)"?\s*[=\s]\s*(.*?)\s*\Z', re.DOTALL)
_OFF = {"stricthostkeychecking": ("no", "off", "false"), "nohostauthenticationforlocalhost": ("yes", "true")}
_ADDS = "accept-new"  # which accepts any key where there is no file to add it to
_NO_FILE = ("/dev/null", "none")


@dataclass(frozen=True)
class _Option:
    """A setting of an -o: in the words from `first` to before `last`; `kept` are letters before it in its word."""

    first: int
    last: int
    kept: str
    name: str
    value: str

    @property
    def off(self) -> bool:
        return self.value.lower() in _OFF.get(self.name, ())

    @property
    def no_file(self) -> bool:
        return self.name == "userknownhostsfile" and all(file in _NO_FILE for file in self.value.split())


def with_check(words: Sequence[str], *, off: bool = False) -> tuple[list[str], list[str]]:
    """Return an ssh command line that checks host keys, and the options that were taken out for it.

    A user's choice to accept the keys of new hosts (accept-new) stands; the keys of known hosts are checked then.

    Args:
        words: the command line.
        off: the check was turned off elsewhere, so that a file of known hosts that is none is part of it.
    """
    options = list(_options(words))
    strict = [option for option in options if option.name == "stricthostkeychecking"]
    off = off or any(option.off for option in options) or any(option.value.lower() == _ADDS for option in strict)
    wrong = [option for option in options if option.off or (off and option.no_file)]
    if any(option.no_file for option in wrong):
        wrong += [option for option in strict if option.value.lower() == _ADDS]
    kept = dict(enumerate(words))
    for option in wrong:
        for at in range(option.first, option.last):
            del kept[at]
        if option.kept:
            kept[option.first] = option.kept
    return [kept[at] for at in sorted(kept)], [words[option.last - 1].removeprefix("-o") for option in wrong]


def _options(words: Sequence[str]) -> Iterator[_Option]:
    """Yield the settings in a command line, as getopt finds them: -o A=B, -oA=B, -o "A B", -4oA=B."""
    at = 1
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-", "--"):
        word, first = words[at], at
        at += 1
        letter = next((index for index, char in enumerate(word[1:], 1) if char in _WITH_VALUE), None)
        if letter is None:
            continue
        value = word[letter + 1 :]
        if not value and at < len(words):
            value, at = words[at], at + 1
        found = _SETTING.match(value) if word[letter] == "o" else None
        if found:
            before = word[:letter]
            yield _Option(first, at, "" if before == "-" else before, found[1].lower(), found[2].strip('"'))
