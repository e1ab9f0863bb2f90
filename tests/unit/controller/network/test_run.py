"""One run: a look, and in this order setup, another look, proofs and measurement."""

from __future__ import annotations

from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.change.result import Work
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.gather import Probe
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.outcome import look_at
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import check_wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.run import NetworkRun
from tests.unit.controller.fleets import Events, FakeFleet
from tests.unit.macs import Cluster, macs, ring

LINK = {"latency": 0.001, "bandwidth": 1e9}
SUM = {"size": 2, "sum": 3.0, "latency": 0.1, "bytes": 4, "seconds": 0.5}


def told(steps: int) -> dict[str, Any]:
    return {"interface": "en2", "before": "", "after": "", "steps": [["x"]] * steps, "persistent": True, "rejoins": "", "note": ""}


def carried_out(
    cluster: Cluster, *, steps: int = 1, jobs: tuple[str, ...] = (), dry_run: bool = False, **wished: Any
) -> tuple[Work, list[str]]:
    """Return the work, and the calls of the first host in their order."""
    scripts: dict[str, dict[str, Any]] = {
        name: {
            "network": {"format": 1, "system": each.system, "answers": dict(each.texts), "failed": {}},
            "running": {"jobs": list(jobs), "uid": 0},
            "set_up_port": told(steps),
            "undo_ports": [told(steps)],
            "answer_links": lambda addresses, **_how: dict.fromkeys(addresses, 5),
            "try_links": lambda targets, **_how: [LINK] * len(targets),
            "silence_links": None,
            "sum_over_ring": SUM,
        }
        for name, each in cluster.answers().items()
    }
    fleet, root = FakeFleet(scripts), FakeFleet(scripts)
    wishes = check_wishes(wished)
    run = NetworkRun(
        fleet, Probe(JobSettings(), {}, fleet), lambda _hosts: (root, {}), wishes, lambda a: look_at(a, wishes), {}, dry_run=dry_run
    )
    _look, work = run.run(Events())
    return work, [name for name, _how in fleet.agents["a"].calls]


def test_setup_is_followed_by_another_look_and_by_proofs() -> None:
    work, calls = carried_out(ring(2), apply=True, over="thunderbolt")
    assert calls == ["network", "set_up_port", "running", "network", "answer_links", "try_links", "silence_links"]
    assert (work.changed, work.problems, len(work.proofs or ())) == (True, [], 2)


def test_nothing_to_change_is_verified_all_the_same() -> None:
    work, calls = carried_out(ring(2), apply=True, over="thunderbolt", steps=0)
    assert (work.changed, calls.count("network"), "try_links" in calls) == (False, 1, True)


def test_dry_run_only_tells() -> None:
    work, calls = carried_out(ring(2), apply=True, over="thunderbolt", dry_run=True)
    assert (work.changed, "try_links" in calls) == (True, False)


def test_plan_that_cannot_be_changes_nothing() -> None:
    work, calls = carried_out(macs(2), apply=True, over="thunderbolt")
    assert (work.changes, calls) == (None, ["network"])


def test_measurement_goes_over_links_and_ring() -> None:
    work, _calls = carried_out(ring(2), measure=True, over="thunderbolt")
    assert [proof.bandwidth for proof in work.measured or ()] == [1e9, 1e9]
    assert work.ring is not None
    assert work.problems == []


def test_measurement_is_refused_while_a_job_runs() -> None:
    work, _calls = carried_out(ring(2), measure=True, over="thunderbolt", jobs=("20260101-000000-aaaaaa",))
    assert work.problems == ["a: job 20260101-000000-aaaaaa runs there; nothing was measured"]
    assert work.measured is None


def test_undo_needs_no_plan() -> None:
    work, calls = carried_out(macs(2), state="absent")
    assert (work.undo, work.changed, calls) == (True, True, ["network", "undo_ports", "running", "network"])
