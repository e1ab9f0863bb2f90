"""The range of ports: which are tried for a job, and the first that all hosts have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.collaborators import Decision
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import RankPlace
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.plan import JobPlan, plan_job
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.port_range import FIRST, LAST, PortRange, ranges


def test_ranges_differ_between_jobs_and_do_not_overlap() -> None:
    mine, yours = ranges("a", 100), ranges("b", 100)
    assert mine == ranges("a", 100) != yours
    assert all(base >= FIRST and base + 100 <= LAST for base in (*mine, *yours))
    assert min(later - earlier for earlier, later in zip(sorted(mine), sorted(mine)[1:], strict=False)) >= 100


def test_job_that_needs_more_ports_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match="12001 ports are needed"):
        ranges("a", LAST - FIRST + 1)


def plan(**settings: Any) -> JobPlan:
    hosts = [HostSettings("a", "10.0.0.1", slots=2), HostSettings("b", "10.0.0.2")]
    places = [RankPlace("a", ("10.0.0.1",)), RankPlace("a", ("10.0.0.1",)), RankPlace("b", ("10.0.0.2",))]
    job_settings = JobSettings(**{"script": "train.py", "backend": "ring", "starting_port": None, **settings})
    return plan_job("job-1", job_settings, hosts, places, sources=host_sources(), default_python="/usr/bin/python3", default_cwd="/here")


@pytest.mark.parametrize("backend", ["mpi", "nccl"])
def test_backend_whose_ports_do_not_move_is_asked_for_no_range(backend: str) -> None:
    found = plan(backend=backend)
    assert found.late is None
    assert {spec.shifts for spec in found.specs.values()} == {(0,)}


def ports_of(found: JobPlan) -> PortRange:
    assert found.late
    assert found.late.ports
    return found.late.ports


def decided(found: JobPlan, chosen: Callable[[JobPlan], None], **shifts: Sequence[int]) -> Decision:
    assert found.late
    return found.late.decide(found.specs, {host: {"shifts": known} for host, known in shifts.items()}, chosen)


def test_first_range_that_all_hosts_have_is_taken() -> None:
    found = plan()
    ports = ports_of(found)
    chosen: list[JobPlan] = []
    settled = decided(found, chosen.append, a=ports.shifts[1:], b=[ports.shifts[0], *ports.shifts[2:]])
    base = ports.bases[2]
    assert [rank.listen for rank in chosen[0].table.ranks] == [(f"10.0.0.1:{base}",), (f"10.0.0.1:{base + 1}",), (f"10.0.0.2:{base + 2}",)]
    assert settled.go["b"]["shift"] == ports.shifts[2]
    assert settled.go["a"]["files"] == settled.go["b"]["files"] == {"MLX_HOSTFILE": chosen[0].table.ring_hostfile()}
    assert set(settled.go["a"]["env"]) == {"0", "1"}
    assert settled.go["b"]["env"] == {"2": {"MASTER_PORT": str(base + 3)}}


def test_hosts_that_all_have_the_first_range_need_not_be_told() -> None:
    found = plan()
    settled = decided(found, lambda _plan: pytest.fail("another"), a=ports_of(found).shifts, b=ports_of(found).shifts)
    assert (settled.go, settled.problems) == ({}, {})


def test_no_range_for_all_is_a_problem_of_all() -> None:
    found = plan()
    shifts = ports_of(found).shifts
    settled = decided(found, lambda _plan: pytest.fail("another"), a=shifts[:3], b=shifts[3:])
    assert set(settled.problems) == {"a", "b"}
    assert "no range of ports" in settled.problems["a"][0]
