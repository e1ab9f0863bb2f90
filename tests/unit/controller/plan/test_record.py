"""job.json: what a job was, without what nobody may read in it."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.rank_table import RankTable
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job import settings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.deployed import Deployed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.rank_table import RankPlace, build_rank_table
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import SETTINGS, check_settings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.plan import plan_job
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.record import (
    job_record,
    rank_differences,
    rank_rows,
    recorded_settings,
)

PLACES = [RankPlace("mac-1", ("10.0.0.1",)), RankPlace("mac-2", ("10.0.0.2",))]


def table(*places: tuple[str, tuple[str, ...]], port: int = 32323) -> RankTable:
    return build_rank_table(places or [place[:2] for place in PLACES], port)


def test_values_of_variables_are_nowhere() -> None:
    given = check_settings({"script": "/opt/t.py", "backend": "ring", "env": {"HF_TOKEN": "hunter2"}})
    hosts = [HostSettings(name, ips[0], env={"HF_TOKEN": "hunter2", "OTHER": "hunter3"}) for name, ips, *_rest in PLACES]
    plan = plan_job("j", given, hosts, PLACES, sources=host_sources(), default_python="/p", default_cwd="/", deployed=Deployed())
    record = job_record(given, plan, inventory={}, deployed={}, versions={})
    assert "hunter" not in str(record)
    assert record["settings"]["env"] == ["HF_TOKEN"]
    assert {"HF_TOKEN", "OTHER", "MLX_RANK"} <= set(record["hosts"]["mac-1"]["env"])
    assert record["hostfile"] == [{"ssh": "mac-1", "ips": ["10.0.0.1"]}, {"ssh": "mac-2", "ips": ["10.0.0.2"]}]


def test_rdma_devices_are_in_the_hostfile_of_the_record() -> None:
    given = check_settings({"script": "/opt/t.py", "backend": "jaccl"})
    hosts = [HostSettings(name, ips[0]) for name, ips, *_rest in PLACES]
    places = [RankPlace("mac-1", ("10.0.0.1",), (None, "en2")), RankPlace("mac-2", ("10.0.0.2",), ("en2", None))]
    plan = plan_job("j", given, hosts, places, sources=host_sources(), default_python="/p", default_cwd="/")
    rows = job_record(given, plan, inventory={}, deployed={}, versions={})["hostfile"]
    assert [row["rdma"] for row in rows] == [[None, "en2"], ["en2", None]]


#: Values that have a canary, by setting.
CANARIES = {
    "env": {"TOKEN": "canary"},
    "args": ["--data", "https://ada:canary@data.example/x", "--data=https://data.example/x?token=canary&page=2"],
    "command": ["curl", "https://canary@data.example/x", "https://data.example/x?X-Amz-Signature=canary"],
    "mpi_args": ["-x TOKEN=canary -x OTHER", "--x T2=canary", "--y https://data.example/x?sig=canary"],
    "index_url": "https://ada:c%20a@canary@pkg.example/simple?token=canary",
}


@pytest.mark.parametrize("name", CANARIES)
def test_secret_in_a_setting_is_not_recorded(name: str) -> None:
    what = {} if name == "command" else {"script": "/opt/t.py"}
    recorded = recorded_settings(check_settings({**what, "backend": "ring", name: CANARIES[name]}))
    assert "canary" not in str(recorded)
    assert name in recorded


def test_each_setting_is_public_or_may_have_a_canary() -> None:
    assert {setting.name for setting in SETTINGS if not setting.public} == set(CANARIES)


def test_setting_that_is_not_known_to_be_public_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_PUBLIC_TYPES", ())
    assert "cwd" not in recorded_settings(check_settings({"script": "/opt/t.py", "backend": "ring", "cwd": "canary"}))


def test_the_same_hosts_make_no_difference() -> None:
    assert rank_differences(rank_rows(table()), table()) == []


def test_ranks_that_have_moved_are_named() -> None:
    moved = table(("mac-1", ("10.0.0.1",)), ("mac-3", ("10.0.0.3",)))
    assert rank_differences(rank_rows(table()), moved) == ["rank 1 is now on mac-3 (10.0.0.3:32324), it was on mac-2 (10.0.0.2:32324)"]


def test_fewer_ranks_are_counted() -> None:
    fewer = table(("mac-1", ("10.0.0.1",)))
    assert rank_differences(rank_rows(table()), fewer) == ["there are 1 ranks, there were 2"]
