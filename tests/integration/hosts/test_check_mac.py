"""A check of Macs: their settings have a line each where they are not well, and none where they are.

The lab's Macs keep such settings and act by none of them; see tests/lab/mac/README.md.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.integration.cluster import ANSIBLE_PLAYBOOK, MLXLAUNCH, Cluster
from tests.integration.hosts.test_check import PLAYBOOK, cells, check, notes, table
from tests.integration.output.test_tty import at_terminal
from tests.lab import Host
from tests.lab.start import CHECKOUT

pytestmark = pytest.mark.mac

FOUR = ["node1", "node2", "node3", "node4"]
FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
STATE = (["/usr/libexec/mlxlab/python3", "/usr/libexec/mlxlab/macstate.py"], ["/var/db/mlxlab", "/run/mlxlab"])
#: Names in the document of properties that have no column.
BELOW = ("limits", "sleep", "restart", "wired", "firewall", "rdma", "variables", "logout", "owners")


def do(host: Host, *words: str) -> None:
    host.run(words, check=True)


@pytest.fixture
def macs(cluster: Cluster) -> Iterator[Cluster]:
    """Give four Macs with which all is well; afterwards they have the settings of new ones."""
    for host in cluster.hosts:
        do(host, "/usr/bin/pmset", "-a", "sleep", "0", "autorestart", "1")
        do(host, "/usr/sbin/sysctl", "iogpu.wired_limit_mb=480000")
    yield cluster
    for host in cluster.hosts:
        for folder in STATE[1]:
            shutil.rmtree(host.path(folder), ignore_errors=True)


def test_macs_that_are_well_have_no_line_below_the_table(macs: Cluster) -> None:
    done = check(macs, macs.inventory(FOUR))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [len(block.splitlines()) for block in done.stdout.split("\n\n")] == [5]
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr.endswith("mlxlaunch: all 4 hosts are ready\n")


def make_six_things_wrong(macs: Cluster) -> list[Path]:
    """Let six things be wrong, of which none keeps a launch from working; return files that have to go."""
    one, two, three, four = macs.hosts
    do(one, "/usr/bin/pmset", "-a", "sleep", "10")
    do(two, *STATE[0], "filevault", "on")
    do(three, FIREWALL, "--setglobalstate", "on")
    do(four, "/usr/sbin/sysctl", "iogpu.wired_limit_mb=523000")
    owner = two.path("/Library/LaunchDaemons/io.exo.networksetup.plist")
    owner.parent.mkdir(parents=True, exist_ok=True)
    owner.write_text("not loaded in this test")
    profile = one.path("/root/.ssh/environment")
    profile.write_text("JACCL_RING=1\nMLX_IBV_DEVICES=/old.json\n")
    return [owner, profile]


SIX = {
    ("warn", "node1", "sleep"),
    ("warn", "node1", "variables"),
    ("warn", "node2", "restart"),
    ("warn", "node2", "owners"),
    ("warn", "node3", "firewall"),
    ("warn", "node4", "wired"),
}
REMEDIES = {
    "sleep": "mlxlaunch prepare --apply ends that",
    "variables": "sets JACCL_RING, MLX_IBV_DEVICES, which a launch clears",
    "restart": "turn it off, or restart by sudo fdesetup authrestart",
    "owners": "remove its daemon",
    "firewall": "mlxlaunch prepare --apply allows it",
    "wired": "run mlxlaunch prepare --apply --wired-limit auto, for 480G",
}


def test_each_thing_that_is_not_well_has_a_line_with_what_to_do(macs: Cluster) -> None:
    """The same in the table, at a terminal of 80 columns, as a document, and by the playbook; and a launch works."""
    inventory = macs.inventory(FOUR)
    files = make_six_things_wrong(macs)
    try:
        done = check(macs, inventory)
        with at_terminal(macs, *MLXLAUNCH, "check", "-i", inventory) as terminal:
            terminal.expect(pexpect.EOF)
            shown, status = terminal.before, terminal.wait()
        told = check(macs, inventory, "--json")
        played = macs._run([ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK], cwd=CHECKOUT)
        launched = macs.mlxlaunch("-i", inventory, macs.script("print('ran')"))
    finally:
        for file in files:
            file.unlink()
    assert (done.returncode, status, told.returncode, played.returncode) == (0, 0, 0, 0), done.stdout + done.stderr
    assert notes(done.stdout) == SIX
    assert list(table(done.stdout)) == FOUR
    for _status, host, column in SIX:
        assert [line for line in done.stdout.splitlines() if line.startswith(f"warn  {host}") and REMEDIES[column] in line]
    assert "mlxlaunch: all 4 hosts are ready; with warnings: node1, node2, node3, node4" in done.stderr
    assert_fits(shown)
    assert {(host, name) for host, row in cells(told).items() for name in BELOW if row[name]["status"] == "warn"} == {
        (host, column) for _status, host, column in SIX
    }
    assert all("reports" not in host["facts"] for host in json.loads(told.stdout)["hosts"])
    assert notes(played.stderr) == SIX
    assert (launched.returncode, launched.stdout.count("ran")) == (0, 4), launched.stderr


def assert_fits(shown: str) -> None:
    """Assert that what a terminal showed has no line over 80 columns, and nothing of a note is missing."""
    lines = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown).splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert [remedy for remedy in REMEDIES.values() if remedy not in text] == []


def test_what_new_macs_and_different_ones_lack_is_told_once_for_all(cluster: Cluster) -> None:
    """New Macs have the settings that Apple ships, and one has a beta."""
    built = cluster.hosts[3].path("/usr/libexec/mlxlab/recordings/sw_vers.txt")
    before = built.read_text()
    built.write_text(before.replace("25C56", "25C5048a"))
    try:
        done = check(cluster, cluster.inventory(FOUR))
    finally:
        built.write_text(before)
    assert done.returncode == 0, done.stdout + done.stderr
    below = done.stdout.split("\n\n")[-1].splitlines()
    assert [re.split(" {2,}", line)[:3] for line in below] == [
        ["warn", "all", "sleep"],
        ["warn", "all", "restart"],
        ["warn", "all", "wired"],
        ["warn", "node4", "system"],
    ]
    assert "is macOS 26.2 (25C5048a), and macOS 26.2 (25C56) on most hosts" in below[-1]


#: RDMA is enabled on one side of the first cable only; the second is slow, and its ports are in bridges.
CABLES = {
    "cables": [{"ends": ["node1:1", "node2:1"]}, {"ends": ["node3:1", "node4:1"], "speed": "40 Gb/s"}],
    "rdma": ["node1", "node3", "node4"],
    "bridge": ["node3", "node4"],
}


def over_rdma(cluster: Cluster, *hosts: str) -> tuple[int, dict[str, list[str]]]:
    """Check two Macs for a job over jaccl; return the exit status, and the lines about RDMA by host."""
    matrix = [[None, "rdma_en2"], ["rdma_en2", None]]
    inventory = cluster.inventory({host: {"mlx_rdma": row} for host, row in zip(hosts, matrix, strict=True)})
    done = check(cluster, inventory, "--backend", "jaccl", "--json")
    return done.returncode, {host: row["rdma"]["notes"] for host, row in cells(done).items()}


@pytest.mark.mac(cables=CABLES)
def test_rdma_that_is_not_ready_has_its_reason(cluster: Cluster) -> None:
    returncode, told = over_rdma(cluster, "node1", "node2")
    assert returncode == 3
    assert told["node2"] == ["rdma_en2: RDMA is disabled; start it in Recovery and run rdma_ctl enable in its Terminal"]
    assert [note.partition(";")[0] for note in told["node1"]] == [
        "rdma_en2: its port has no IPv4 address, and jaccl needs one",
        "rdma_en2: its port is down, which it also says after a job that was ended",
    ]
    returncode, told = over_rdma(cluster, "node3", "node4")
    assert returncode == 0, told
    for notes_of in told.values():
        assert [note.partition(";")[0] for note in notes_of] == [
            "rdma_en2: bridge0 has its port, which keeps RDMA off it",
            "rdma_en2: its port has no IPv4 address, and jaccl needs one",
            "rdma_en2: its link has 40 Gb/s, and RDMA needs 80",
        ]
