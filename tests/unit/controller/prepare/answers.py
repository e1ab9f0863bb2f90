"""Answers of hosts to the calls of a preparation, for its tests."""

from __future__ import annotations

from typing import Any

DAEMON = "/Library/LaunchDaemons/mlxlaunch.cluster.wired-limit.plist"
SLEEP = {"before": "sleep 1, disksleep 10", "after": "sleep 0, disksleep 0", "commands": [["pmset", "-c", "sleep", "0", "disksleep", "0"]]}
LIMIT = {
    "before": "0 MB",
    "after": "98304 MB",
    "commands": [["sysctl", "iogpu.wired_limit_mb=98304"], ["launchctl", "bootstrap", "system", DAEMON]],
}


def row(name: str, state: str, text: str = "", **more: Any) -> dict[str, Any]:
    """Return the row of one item."""
    return {"name": name, "state": state, "before": "", "after": "", "text": text, "commands": [], **more}


def mac(*rows: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a Mac."""
    return {"system": "Darwin", "items": list(rows)}


def linux(*rows: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a Linux machine."""
    return {"system": "Linux", "items": list(rows)}
