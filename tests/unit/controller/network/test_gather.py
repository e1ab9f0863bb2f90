"""The round over all hosts."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.subprocesses import Cancelled
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.gather import Probe
from tests.unit.controller.fleets import Events, FakeFleet, lost

GOOD = {"format": 1, "system": "Darwin", "answers": {"ifconfig.txt": "en0"}, "failed": {}}


def test_answers_come_in_the_order_of_hosts_with_reasons_for_those_that_gave_none() -> None:
    fleet = FakeFleet({"a": {"network": GOOD}, "b": {"network": lost()}, "c": {"network": {"format": 9}}, "d": {"network": "nonsense"}})
    found = Probe(JobSettings(lease=7.0), {}, fleet).run(Events())
    assert list(found) == ["a", "b", "c", "d"]
    assert (found["a"].system, found["a"].failure) == ("Darwin", "")
    assert found["b"].failure == "silent for 30 s: network, host or sleep"
    assert "its answer does not fit: c: format 9" in found["c"].failure
    assert "want an object" in found["d"].failure
    assert fleet.agents["a"].named("network") == [{"lease": 7.0}]


def test_look_can_be_ended() -> None:
    fleet = FakeFleet({"a": {"network": GOOD}})
    probe = Probe(JobSettings(), {}, fleet)
    fleet.subprocesses.close()
    with pytest.raises(Cancelled):
        probe.run(Events())
    probe.stop()
