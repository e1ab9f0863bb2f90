"""The ceiling of the memory that a GPU may wire."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.prepare.wired_limit import default_wired, most_wired


@pytest.mark.parametrize(("memory", "left"), [(0, 0), (8, 2.67), (16, 5.33), (24, 8), (64, 8), (128, 8), (192, 12), (512, 32)])
def test_system_keeps_a_third_of_a_little_and_a_sixteenth_of_much(memory: int, left: float) -> None:
    assert memory - most_wired(memory * 1024) / 1024 == pytest.approx(left, abs=0.01)


@pytest.mark.parametrize(("memory", "default"), [(0, 0), (8, 5.33), (16, 10.67), (24, 16), (32, 21.33), (36, 27), (64, 48), (512, 384)])
def test_default_is_two_thirds_of_a_little_and_three_quarters_of_much(memory: int, default: float) -> None:
    assert default_wired(memory * 1024) / 1024 == pytest.approx(default, abs=0.01)


def test_most_is_never_less_than_the_default() -> None:
    assert [memory for memory in range(600_000) if most_wired(memory) < default_wired(memory)] == []
