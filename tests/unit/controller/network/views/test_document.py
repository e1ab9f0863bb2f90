"""The document for programs, and the hostfile."""

from __future__ import annotations

import json

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.views.document import document_of, hostfile_of, message_of
from tests.unit.macs import macs, mesh, ring


def test_document_has_everything_as_plain_data() -> None:
    cluster = ring(3, rdma=True).cable("a3", "b3", speed="40 Gb/s", seen_from="a", through=("Dock",))
    found = json.loads(json.dumps(document_of(cluster.plan(), {"a": "me@a.example"})))
    assert (found["format"], found["returncode"], [host["rank"] for host in found["hosts"]]) == (1, 0, [0, 1, 2])
    assert found["cables"][1] == {
        "ends": [
            {"host": "a", "interface": "en4", "receptacle": "3", "address": ""},
            {"host": "b", "interface": "en4", "receptacle": "3", "address": ""},
        ],
        "speed": 40.0,
        "through": ["Dock"],
        "seen_from": ["a"],
        "rdma": False,
        "blocked": "",
        "used": False,
        "set": False,
    }
    assert found["topology"]["matrix"] == [[0, 2, 1], [2, 0, 1], [1, 1, 0]]
    assert found["topology"]["ring"] == {"hosts": ["a", "b", "c"], "width": 1}
    assert found["plan"]["ranks"][0] == {
        "rank": 0,
        "host": "a",
        "ssh": "me@a.example",
        "ips": ["198.18.0.1"],
        "rdma": [None, "rdma_en2", "rdma_en3"],
    }
    assert set(found["plan"]["setup"]) == {"a", "b", "c"}
    assert found["findings"]


def test_document_without_a_plan_has_the_reason() -> None:
    found = document_of(macs(1).plan(), {})
    assert (found["returncode"], found["plan"], found["message"]) == (
        3,
        None,
        "a network needs two hosts, and here is one that could be asked",
    )


def test_message_says_how_much_is_to_be_done() -> None:
    cluster = macs(2).cable("a1", "b1")
    assert message_of(cluster.plan()) == "2 hosts, backend ring over 1 Thunderbolt cable: 1 to be set"
    cluster["a"].addresses["en2"], cluster["b"].addresses["en2"] = "10.213.64.1/30", "10.213.64.2/30"
    assert message_of(cluster.plan()) == "2 hosts, backend ring over 1 Thunderbolt cable: all are set"
    assert message_of(macs(2).plan()) == "2 hosts reach each other over Ethernet: backend ring"


def test_hostfile_is_in_rank_order_with_the_names_for_ssh() -> None:
    plan = macs(4).cable("a1", "c1").cable("c2", "b1").cable("b2", "d1").cable("d2", "a2").plan()
    found = hostfile_of(plan, {"c": "me@c"})
    assert [entry.ssh for entry in found.entries] == ["a", "me@c", "b", "d"]
    assert (found.backend, found.envs) == ("ring", ())
    assert hostfile_of(mesh(3, rdma=True).plan(), {}).entries[1].rdma == ("rdma_en2", None, "rdma_en3")
