"""Fixtures of the field tests: the lab's hosts, and an environment of their own for what is launched."""

from __future__ import annotations

from tests.integration.conftest import cluster, controller, site

__all__ = ["cluster", "controller", "site"]
