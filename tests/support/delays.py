"""What programs say when they are slow, which a test on a busy machine sees or does not see."""

from __future__ import annotations

import re
from typing import Any

_WAITS = ("Ansible to read the inventory", r"\d+ of \d+ hosts to (be ready|take the hostfile): .*", r"the ranks on .* to end \(grace .*\)")
_DELAYS = rf"^mlxlaunch: waiting for ({'|'.join(_WAITS)})\n"


def without_delays(text: Any) -> Any:
    """Return a program's output, text or bytes or None, without the lines that say only that it was slow."""
    if isinstance(text, bytes):
        return re.sub(_DELAYS.encode(), b"", text, flags=re.MULTILINE)
    return text and re.sub(_DELAYS, "", text, flags=re.MULTILINE)
