"""A plan as text: what is the same for all ranks stands there once, whatever their number."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.host_settings import HostSettings, places
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import check_settings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.dry_run import expected_deploy, plan_data
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.plan_text import _spans, render_plan
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.plan.plan import plan_job


def plan(*hosts: HostSettings, **settings: Any) -> dict[str, Any]:
    """Return the plan of a job with nothing to deploy."""
    checked = check_settings({"backend": "ring", "command": ["echo", "a b"], **settings})
    deployed = expected_deploy(checked, None, environment=False, local=False)
    found = places(hosts, lambda _name: [])
    made = plan_job("j", checked, hosts, found, sources=host_sources(), default_python="/p", default_cwd="/here", deployed=deployed)
    return plan_data(checked, hosts, made, deployed, None, {host.name: f"root@{host.name}" for host in hosts})


def host(number: int, **more: Any) -> HostSettings:
    return HostSettings(f"mac-{number}", f"10.0.0.{number}", **more)


def test_many_ranks_take_few_lines_each() -> None:
    made = plan(*(host(at, slots=16) for at in range(1, 33)))
    lines = render_plan(made).splitlines()
    assert lines[0] == "512 ranks on 32 hosts, backend ring"
    # The table, the hostfile, the ring's file and what is a rank's own: a line for each rank; all else stands there once.
    assert 4 * 512 < len(lines) < 4 * 512 + 40
    assert sum("echo" in line for line in lines) == 1


def test_values_of_the_user_are_hidden_unless_verbose() -> None:
    env = {"TOKEN": "hunter2", "WORLD_SIZE": "hunter2"}
    hidden = plan(host(1, env=env))
    assert "hunter2" not in json.dumps(hidden)
    assert hidden["ranks"][0]["env"]["TOKEN"] == "***"
    assert hidden["ranks"][0]["env"]["WORLD_SIZE"] == "1"  # what counts is not theirs
    shown = plan(host(1, env=env), verbose=True)
    assert shown["ranks"][0]["env"]["TOKEN"] == "hunter2"
    assert "  TOKEN=hunter2" in render_plan(shown).splitlines()


@pytest.mark.parametrize(
    ("value", "text"), [("a b", "'a b'"), ("", "''"), ("a\nb", r"'a\nb'"), ("\x1b[31m", r"'\x1b[31m'"), ("$HOME", "'$HOME'"), ("é", "é")]
)
def test_a_value_is_one_line_that_no_terminal_obeys(value: str, text: str) -> None:
    lines = render_plan(plan(host(1, env={"K": value}), verbose=True)).splitlines()
    assert [line for line in lines if line.startswith("  K=")] in ([f"  K={text}"], [f"  K='{text}'"])


def test_different_commands_stand_with_their_ranks() -> None:
    made = plan(host(1, python="/a"), host(2, python="/b"), host(3, python="/a"), command=[], script="t.py", cwd="/data")
    text = render_plan(made)
    assert "command of ranks 0, 2\n  /a t.py\n  in /data\n\ncommand of rank 1\n  /b t.py\n  in /data" in text


def test_files_have_a_line_for_each_rank() -> None:
    rdma = [(None, ["en2", "en3"]), (["en2", "en3"], None)]
    made = plan(*(host(at + 1, rdma=row) for at, row in enumerate(rdma)), backend="jaccl")
    text = render_plan(made)
    assert 'file, on every host: MLX_IBV_DEVICES\n  [[null, ["en2", "en3"]],\n   [["en2", "en3"], null]]\n' in text
    assert json.loads(made["files"]["MLX_IBV_DEVICES"]) == [list(row) for row in rdma]
    assert [entry["rdma"] for entry in made["hostfile"]["hosts"]] == [list(row) for row in rdma]
    assert [row["listen"] for row in made["ranks"]] == [["10.0.0.1:32323"], []]


def test_mpirun_stands_as_it_would_be_called() -> None:
    made = plan(host(1, slots=2), host(2), backend="mpi", mpirun="/opt/mpi/bin/mpirun", mpi_args=["--mca btl '^openib x'"])
    assert made["mpirun"]["candidates"] == ["/opt/mpi/bin/mpirun"]
    five, four = (made["mpirun"]["commands"][series] for series in "54")
    assert (five[0], five[-1], four[-1]) == ("<mpirun>", "<stand-in>", "<stand-in>")
    assert five[five.index("plm_ssh_agent") + 1] == four[four.index("plm_rsh_agent") + 1] == "<agent>"
    assert five[five.index("-np") + 1] == "3"
    assert {row["env"]["MLX_MPI_LIBNAME"] for row in made["ranks"]} == {"<libmpi>"}
    assert {"<mpirun>", "<agent>", "<stand-in>", "<libmpi>"} <= set(made["unknown"])
    lines = render_plan(made).splitlines()
    assert "mpirun, on the host of rank 0: /opt/mpi/bin/mpirun" in lines
    assert any(line.startswith("  Open MPI 5: <mpirun> ") and line.endswith(" --mca btl '^openib x' <stand-in>") for line in lines)


def test_ranks_in_a_row_are_one_span() -> None:
    assert [_spans(numbers) for numbers in ([0], [0, 1, 2], [0, 2, 3, 7])] == ["0", "0-2", "0, 2-3, 7"]
