# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer of a probe is found among the output of others."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.probe_answer import SAID, answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'{SAID}{{"a": 1}}\n', {"a": 1}),
        (f'a warning\n{SAID}{{"a": 1}}\nanother\n', {"a": 1}),
        (f'{SAID}{{"a": 1}}\n{SAID}{{"a": 2}}\n', {"a": 2}),
        (f"{SAID}{{broken\n", None),
        ("nothing of the kind\n", None),
        ("", None),
    ],
)
def test_last_answer_counts(text: str, expected: object) -> None:
    assert answer(text) == expected
