"""The outcome of writing a hostfile in one line, and as Ansible's diff."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.hostfile_outcome import hostfile_diff, hostfile_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.hostfile_writer import Placed

OLD = {"same": False, "before": "old", "mode": 0o644}
OPEN = {"same": False, "before": "text", "mode": 0o666}
SAME = {"same": True, "before": "text", "mode": 0o644}


@pytest.mark.parametrize(
    ("placed", "check", "message"),
    [
        (Placed(found={"a": SAME}), False, "hostfile: nothing to do on the hosts"),
        (Placed(found={"a": OLD, "b": SAME}), False, "hostfile on 1 hosts changed"),
        (Placed(found={"a": OLD}), True, "hostfile on 1 hosts would change"),
        (Placed(found={"a": OLD}, path="/h.json", found_here=OLD), False, "hostfile on 1 hosts changed; /h.json changed"),
        (Placed(found={"a": OLD}, problems={"b": "off"}), False, "1 hosts could not be given the hostfile: b"),
    ],
)
def test_message_counts_the_hosts(placed: Placed, check: bool, message: str) -> None:
    result = hostfile_result(placed, None, check=check)
    assert result["message"] == message
    assert result["returncode"] == (3 if placed.problems else 0)


def test_early_end_does_not_hide_the_changes_before_it() -> None:
    result = hostfile_result(Placed(found={"a": OLD}), Cause("interrupted", 130, "interrupted by SIGINT"), check=False)
    assert (result["returncode"], result["hosts_changed"]) == (130, {"a": ["hostfile"]})


def test_diff_shows_no_control_characters_of_a_host() -> None:
    found = {"same": False, "before": "[]\x1b]52;c;x\x07\n", "mode": 0o644}
    [diff] = hostfile_diff(Placed("/root", {"a": found}), "[]\n")
    assert diff["before"] == "[]\\x1b]52;c;x\\x07\n"


def test_diff_has_hosts_with_the_same_differences_together() -> None:
    placed = Placed("/r", {"a": OLD, "b": SAME, "c": OLD, "d": OPEN}, path="/h.json", found_here=OLD)
    here, hosts, mode = hostfile_diff(placed, "text")
    assert here == {"before_header": "/h.json", "after_header": "/h.json", "before": "old", "after": "text"}
    assert hosts["before_header"] == "/r/hostfile.json on a, c"
    assert mode == {"prepared": "/r/hostfile.json on d\nmode 0666, to be 0644\n"}
