"""Ids of jobs sort by time and do not repeat."""

from __future__ import annotations

import re

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.ids import new_job_id


def test_id_is_a_time_and_a_random_number() -> None:
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", new_job_id())


def test_ids_of_one_second_differ() -> None:
    assert len({new_job_id() for _ in range(20)}) == 20
