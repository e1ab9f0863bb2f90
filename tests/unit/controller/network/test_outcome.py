"""The result of a look and the files it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.outcome import look_at, network_result, stopped_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import check_wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.recording.store import read_recording
from tests.unit.macs import Cluster, macs, mesh, ring


def result(cluster: Cluster, *, check: bool = False, **given: Any) -> dict[str, Any]:
    wishes = check_wishes({name: str(value) if isinstance(value, Path) else value for name, value in given.items()})
    return network_result(look_at(cluster.answers(), wishes, {"a": "me@a"}, ["a.example"]), wishes, check=check)


def everything(folder: Path) -> dict[str, Path]:
    return {
        "output_hostfile": folder / "hosts.json",
        "output_vars": folder / "vars",
        "svg": folder / "cables.svg",
        "record": folder / "recording",
    }


def test_all_files_are_written_and_named(tmp_path: Path) -> None:
    found = result(ring(3), **everything(tmp_path))
    assert (found["returncode"], found["cause"]) == (0, "planned")
    assert json.loads((tmp_path / "hosts.json").read_text())["hosts"][0] == {"ssh": "me@a", "ips": ["10.213.64.5"]}
    assert (tmp_path / "vars/b/mlx_network.yml").exists()
    assert (tmp_path / "cables.svg").read_text().startswith("<svg")
    assert list(read_recording(str(tmp_path / "recording"))) == ["host1", "host2", "host3"]
    assert len(found["files"]) == 6


def test_second_run_changes_no_file(tmp_path: Path) -> None:
    paths = {name: path for name, path in everything(tmp_path).items() if name != "record"}
    result(ring(3), **paths)
    assert result(ring(3), **paths)["files"] == []


def test_check_names_the_files_and_writes_none(tmp_path: Path) -> None:
    assert len(result(ring(3), check=True, **everything(tmp_path))["files"]) == 6
    assert list(tmp_path.iterdir()) == []


def test_plan_that_fails_gives_picture_and_recording_only(tmp_path: Path) -> None:
    found = result(macs(3).cable("a1", "b1"), over="thunderbolt", **everything(tmp_path))
    assert (found["returncode"], found["cause"]) == (3, "not_ready")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cables.svg", "recording"]


@pytest.mark.parametrize("schema", ["list", "object"])
def test_hostfile_has_either_schema(tmp_path: Path, schema: str) -> None:
    result(mesh(3, rdma=True), output_hostfile=tmp_path / "hosts.json", schema=schema)
    data = json.loads((tmp_path / "hosts.json").read_text())
    hosts = data if schema == "list" else data["hosts"]
    assert hosts[1] == {"ssh": "b", "ips": ["198.18.0.2"], "rdma": ["rdma_en2", None, "rdma_en3"]}


def occupy(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("mlx_ips: [10.0.0.1]\n")


def link(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("obstacle", [occupy, link])
def test_variables_of_somebody_else_stay_and_nothing_is_written(tmp_path: Path, obstacle: Any) -> None:
    theirs = tmp_path / "vars/c/mlx_network.yml"
    obstacle(theirs)
    with pytest.raises(UsageError, match="is not ours; move it, or name another directory"):
        result(ring(3), **everything(tmp_path))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["c", "mlx_network.yml", "vars"]


@pytest.mark.parametrize("name", ["svg", "output_hostfile"])
def test_directory_in_the_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        result(ring(3), **{name: tmp_path})


def test_taken_recording_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording/mine").touch()
    with pytest.raises(UsageError, match="it is there already"):
        result(ring(3), **everything(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["recording"]


def test_look_that_was_ended_early_has_no_network() -> None:
    assert stopped_result(130, "interrupted", "interrupted by SIGINT")["network"] is None
