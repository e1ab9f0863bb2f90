"""RDMA devices and the states of their ports."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.answers import HostAnswers
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.facts.rdma import parse_rdma

HEADS = "    device          \t   node GUID\n    ------          \t----------------\n"
DEVICES = HEADS + "    rdma_en1        \t0200000000000001\n    rdma_en6        \t0200000000000002\n    rdma_en2        \t0200000000000003\n"
DEVINFO = """hca_id:	rdma_en1
	transport:			Thunderbolt (3)
		port:	1
			state:			PORT_ACTIVE (4)
hca_id:	rdma_en6
		port:	1
			state:			PORT_DOWN (1)
hca_id:	rdma_en2
"""


def test_devices_keep_their_order_and_have_states() -> None:
    found = parse_rdma(HostAnswers("Darwin", {"ibv_devices.txt": DEVICES, "ibv_devinfo.txt": DEVINFO}))
    assert found.devices == ("rdma_en1", "rdma_en6", "rdma_en2")
    assert [found.state(name) for name in ("en1", "en6", "en2")] == ["PORT_ACTIVE", "PORT_DOWN", ""]
    assert (found.device("en6"), found.device("en7"), found.device("")) == ("rdma_en6", "", "")


def test_list_with_heads_alone_has_no_devices() -> None:
    assert parse_rdma(HostAnswers("Darwin", {"ibv_devices.txt": HEADS})).devices == ()


@pytest.mark.parametrize(
    ("text", "enabled"),
    [("enabled\n", True), ("RDMA is disabled\n", False), ("not enabled\n", False), ("", None), ("usage: rdma_ctl\n", None)],
)
def test_switch_is_known_when_it_is_told(text: str, enabled: bool | None) -> None:
    assert parse_rdma(HostAnswers("Darwin", {"rdma_ctl.txt": text})).enabled is enabled
