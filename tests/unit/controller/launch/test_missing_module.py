"""The hint for a module that is missing on a host."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.missing_module import import_hint

TAIL = ["Traceback (most recent call last):", '  File "train.py", line 1, in <module>', "ModuleNotFoundError: No module named '{}'"]


@pytest.mark.parametrize(
    ("name", "alone", "hint"),
    [
        ("pytest.mark", True, "pytest is installed here, and not where the rank ran; bring it with --environment (mlx_environment)"),
        ("helper", True, "if it is yours, name its directory with --project-dir (mlx_project_dir)"),
        ("helper", False, "helper is neither in the project as it was sent, nor installed where the rank ran"),
    ],
)
def test_hint_names_the_way_to_bring_a_module(name: str, alone: bool, hint: str) -> None:
    tail = [line.format(name) for line in TAIL]
    assert hint in import_hint(tail, brought=True, alone=alone)
    assert import_hint(tail, brought=False, alone=alone) == ""


def test_other_failures_get_no_hint() -> None:
    assert import_hint(["ValueError: No module named 'x'"], brought=True, alone=True) == ""
    assert import_hint([], brought=True, alone=True) == ""
