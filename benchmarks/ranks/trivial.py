"""A rank that says one thing and ends."""

from __future__ import annotations

print("rank here", flush=True)
