"""The variables of a plan, as files of an inventory."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.host import host_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.planning import plan_network
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import check_wishes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.variables import is_ours, variable_files
from tests.unit.macs import macs, mesh, ring


def test_each_host_has_a_file_that_yaml_reads() -> None:
    files = variable_files(mesh(3, rdma=True).plan())
    assert list(files) == ["a/mlx_network.yml", "b/mlx_network.yml", "c/mlx_network.yml"]
    assert yaml.safe_load(files["a/mlx_network.yml"]) == {"mlx_ips": ["198.18.0.1"], "mlx_rdma": [None, "rdma_en2", "rdma_en3"]}
    assert all(map(is_ours, files.values()))


def test_no_name_of_a_host_is_a_template_in_an_inventory() -> None:
    """Ansible would evaluate it here, in the next play of whoever keeps these files beside an inventory."""
    cluster = mesh(2, rdma=True)
    answers = cluster.answers()
    texts = {name: text.replace("en2", "{{lookup('pipe','id')}}") for name, text in answers["b"].texts.items()}
    hosts = [host_network("a", answers["a"]), host_network("b", HostAnswers("Darwin", texts))]
    for backend in ("jaccl", "auto"):
        plan = plan_network(hosts, check_wishes({"backend": backend}))
        texts = [plan.problem, str(plan.rdma), *([] if plan.problem else variable_files(plan).values())]
        assert not any("{" in text for text in texts)


def test_ring_has_addresses_and_no_devices() -> None:
    text = variable_files(ring(3).plan())["b/mlx_network.yml"]
    assert yaml.safe_load(text) == {"mlx_ips": ["10.213.64.2"], "mlx_rdma": []}


def test_ring_in_another_order_than_the_inventory_is_refused() -> None:
    plan = macs(4).cable("a1", "c1").cable("c2", "b1").cable("b2", "d1").cable("d2", "a2").plan()
    with pytest.raises(UsageError, match="the ring goes a, c, b, d, and ranks follow the order of the inventory"):
        variable_files(plan)


@pytest.mark.parametrize("name", ["..", "a/b", "."])
def test_host_that_is_no_name_of_a_directory_is_refused(name: str) -> None:
    cluster = ring(3)
    cluster["b"].name = name
    with pytest.raises(UsageError, match="cannot be the name of a directory"):
        variable_files(cluster.plan())


def test_other_files_are_not_ours() -> None:
    assert not is_ours("mlx_ips: []\n")
