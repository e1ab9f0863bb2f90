# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw answers of one host, as its agent sends them or a recording has them. Pure.

A host or a stranger has written them, so their types and sizes are checked before anything reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...job.errors import UsageError

FORMAT = 1
MOST_ANSWERS = 64
MOST_CHARACTERS = 4 * 1024 * 1024  # of one answer, as the agent cuts it
MOST_REASON = 200  # characters of a reason that goes into a message
SYSTEMS = ("Darwin", "Linux")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}\.(json|txt)")


@dataclass(frozen=True)
class HostAnswers:
    """The answers of one host.

    Attributes:
        system: Darwin or Linux; empty for a host that could not be asked.
        texts: by name, see docs/network.md.
        failed: by name, why there is no answer.
        failure: why the host could not be asked, or empty.
    """

    system: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""

    def text(self, name: str) -> str:
        """Return an answer; empty when there is none."""
        return self.texts.get(name, "")

    def json(self, name: str) -> tuple[Any, str]:
        """Return (data, "") of an answer that is to be JSON, or (None, reason) when there is none."""
        if name in self.failed:
            return None, self.failed[name][:MOST_REASON]
        text = self.text(name).strip()
        if not text:
            return None, "it answered nothing"
        try:
            data = json.loads(text)
            json.dumps(data, ensure_ascii=False).encode()  # half a surrogate could be neither printed nor written
        except (ValueError, RecursionError):
            return None, f"its answer is not JSON: {text[:40]!r}"
        return data, ""


def answers_from(data: Any, where: str) -> HostAnswers:
    """Return the answers in data from outside, or raise UsageError at `where`."""
    if not isinstance(data, Mapping):
        raise UsageError(f"{where}: want an object, not {type(data).__name__}")
    check_format(data.get("format"), where)
    system, texts, failed = data.get("system"), data.get("answers", {}), data.get("failed", {})
    failure = data.get("failure", "")
    if not isinstance(failure, str):
        raise UsageError(f"{where}: failure: want text")
    if not failure and system not in SYSTEMS:
        raise UsageError(f"{where}: system {system!r:.40}: want {' or '.join(SYSTEMS)}")
    return HostAnswers("" if failure else str(system), _texts(texts, f"{where}: answers"), _texts(failed, f"{where}: failed"), failure)


def check_format(value: Any, where: str) -> None:
    """Raise UsageError unless a format is the one that this version reads."""
    if value != FORMAT or isinstance(value, bool):
        newer = isinstance(value, int) and value > FORMAT
        hint = "; a newer mlxlaunch has made it, so update this one" if newer else ""
        raise UsageError(f"{where}: format {value!r:.40}: this version reads format {FORMAT}{hint}")


def _texts(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > MOST_ANSWERS:
        raise UsageError(f"{where}: want an object of at most {MOST_ANSWERS} texts")
    for name, text in value.items():
        check_name(name, where)
        if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
            raise UsageError(f"{where}: {name}: want text of at most {MOST_CHARACTERS // 1024 // 1024} MiB")
    return {name: text.encode("utf-8", "replace").decode() for name, text in value.items()}


def check_name(name: object, where: str) -> None:
    """Raise UsageError unless a name is one that an answer may have."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{where}: {name!r:.60} is no name of an answer")
