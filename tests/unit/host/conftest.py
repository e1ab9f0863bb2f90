"""A rank whose use of MLX is watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.host.watched_ranks import WatchedRank


@pytest.fixture
def rank(tmp_path: Path) -> WatchedRank:
    return WatchedRank(tmp_path)
