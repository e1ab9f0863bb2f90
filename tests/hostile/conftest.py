"""Fixtures of the tests of hosts, neighbours and files that mean harm."""

from __future__ import annotations

from tests.integration.conftest import cluster, site
from tests.support.controller import controller

__all__ = ["cluster", "controller", "site"]
