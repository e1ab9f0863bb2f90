"""The result of a deploy names the paths on the hosts."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.deployed import Deployed


def test_python_is_that_of_the_environment() -> None:
    assert Deployed(environment="/opt/mlx/envs/k").python == "/opt/mlx/envs/k/bin/python"
    assert Deployed(project="/opt/mlx/projects/p").python == ""


def test_environment_and_project_are_held() -> None:
    assert Deployed(root="/opt/mlx", environment="/e", project="/p").held == ["/e", "/p"]
    assert Deployed(root="/opt/mlx", project="/p").held == ["/p"]
