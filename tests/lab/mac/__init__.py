"""Hosts that look like Macs over ssh: their programs, files and Thunderbolt cables."""

from __future__ import annotations
