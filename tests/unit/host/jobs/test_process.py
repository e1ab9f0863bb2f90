# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mark of a job among the variables of a process."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.process import mark_in


@pytest.mark.parametrize(
    ("words", "mark"),
    [
        ([], ""),
        ([b"PATH=/usr/bin", b"MLXLAUNCH_JOB=job-1", b"HOME=/"], "job-1"),
        ([b"MLXLAUNCH_JOB=one", b"MLXLAUNCH_JOB=two"], "one"),
        ([b"XMLXLAUNCH_JOB=job-1", b"MLXLAUNCH_JOBS=job-1", b"MLXLAUNCH_JOB"], ""),
        ([b"MLXLAUNCH_JOB=\xff"], "\ufffd"),
    ],
)
def test_mark_is_the_value_of_its_variable(words: list[bytes], mark: str) -> None:
    assert mark_in(words) == mark
