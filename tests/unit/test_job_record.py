"""job.json: what a job was, without what nobody may read in it."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._plan import Deployed, HostSettings, plan_job
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._ranktable import Place, RankTable, build_rank_table
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._record import job_record, masked, rank_differences, rank_rows
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._settings import check_settings

PLACES = [Place("mac-1", ("10.0.0.1",)), Place("mac-2", ("10.0.0.2",))]


def table(*places: tuple[str, tuple[str, ...]], port: int = 32323) -> RankTable:
    return build_rank_table(places or [place[:2] for place in PLACES], port)


def test_values_of_variables_are_nowhere() -> None:
    settings = check_settings({"script": "/opt/t.py", "backend": "ring", "env": {"HF_TOKEN": "hunter2"}})
    hosts = [HostSettings(name, ips[0], env={"HF_TOKEN": "hunter2", "OTHER": "hunter3"}) for name, ips, _rdma in PLACES]
    plan = plan_job("j", settings, hosts, PLACES, default_python="/p", default_cwd="/", deployed=Deployed())
    record = job_record(settings, plan, inventory={}, deployed={}, command=["mlxlaunch", "--env", "HF_TOKEN=hunter2"], versions={})
    assert "hunter" not in str(record)
    assert record["settings"]["env"] == ["HF_TOKEN"]
    assert {"HF_TOKEN", "OTHER", "MLX_RANK"} <= set(record["hosts"]["mac-1"]["env"])
    assert record["hostfile"] == [{"ssh": "mac-1", "ips": ["10.0.0.1"]}, {"ssh": "mac-2", "ips": ["10.0.0.2"]}]


def test_rdma_devices_are_in_the_hostfile_of_the_record() -> None:
    settings = check_settings({"script": "/opt/t.py", "backend": "jaccl"})
    hosts = [HostSettings(name, ips[0]) for name, ips, _rdma in PLACES]
    places = [Place("mac-1", ("10.0.0.1",), (None, "en2")), Place("mac-2", ("10.0.0.2",), ("en2", None))]
    plan = plan_job("j", settings, hosts, places, default_python="/p", default_cwd="/")
    rows = job_record(settings, plan, inventory={}, deployed={}, command=[], versions={})["hostfile"]
    assert [row["rdma"] for row in rows] == [[None, "en2"], ["en2", None]]


def test_a_command_line_keeps_all_but_values_of_variables() -> None:
    command = ["mlxlaunch", "run", "--env", "A=x=y", "--env=B=z", "-e", "mlx_env={C: w}", "train.py", "--lr=1"]
    assert masked(command) == ["mlxlaunch", "run", "--env", "A=***", "--env=B=***", "-e", "mlx_env=***", "train.py", "--lr=1"]


def test_the_same_hosts_make_no_difference() -> None:
    assert rank_differences(rank_rows(table()), table()) == []


def test_ranks_that_have_moved_are_named() -> None:
    moved = table(("mac-1", ("10.0.0.1",)), ("mac-3", ("10.0.0.3",)))
    assert rank_differences(rank_rows(table()), moved) == ["rank 1 is now on mac-3 (10.0.0.3:32324), it was on mac-2 (10.0.0.2:32324)"]


def test_fewer_ranks_are_counted() -> None:
    fewer = table(("mac-1", ("10.0.0.1",)))
    assert rank_differences(rank_rows(table()), fewer) == ["there are 1 ranks, there were 2"]
