"""Preparations of four lab Macs and a Linux machine: look, apply, restart, undo, and what stands in the way.

Programs are the lab's, and act on its Macs' state; see tests/lab/mac/README.md.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import ANSIBLE_PLAYBOOK, LEASE, MLXLAUNCH, PATIENCE, SOON, Cluster, Done
from tests.lab import Host, Lab
from tests.lab.pytest_plugin import start_or_skip
from tests.lab.start import CHECKOUT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.mac

MACS = ["node1", "node2", "node3", "node4"]
LINUX = "node5"
ALL_ITEMS: dict[str, Any] = {"mlx_prepare_wired_limit": "auto", "mlx_prepare_open_files": 65536, "mlx_prepare_processes": 12000}
PLAYBOOK = str(CHECKOUT / "playbooks/prepare.yml")
RECORD = "/Library/Application Support/mlxlaunch/prepare.json"
FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
SWITCH = ["/usr/libexec/mlxlab/python3", "/usr/libexec/mlxlab/macstate.py"]
#: Of a Mac with 512 GB; a sixteenth is the system's.
MOST_WIRED = 491520


@pytest.fixture(scope="module")
def started() -> Iterator[Lab]:
    """Give four Macs and a Linux machine."""
    lab = start_or_skip(5, personality=dict.fromkeys(MACS, "mac"))
    yield lab
    lab.stop()


@pytest.fixture
def lab(started: Lab) -> Lab:
    """Give them without any fault, and as they were delivered."""
    started.restore()
    for host in started.hosts:
        host.reinstall()
    return started


@pytest.fixture
def few_files(lab: Lab) -> Iterator[int]:
    """Give a limit of files that sessions on the Linux machine have not and may have."""
    host = lab.hosts[4]
    pid = int(host.path("/run/sshd.pid").read_text())
    _soft, hard = (
        int(text)
        for text in host.run(
            ["prlimit", f"--pid={pid}", "--nofile", "--raw", "--noheadings", "--output=SOFT,HARD"], check=True
        ).stdout.split()
    )
    host.run(["prlimit", f"--pid={pid}", f"--nofile={hard // 4}:{hard}"], check=True)
    yield hard // 2
    host.run(["prlimit", f"--pid={pid}", f"--nofile={hard}:{hard}"], check=True)


def prepare(cluster: Cluster, *words: str | os.PathLike[str], inventory: Path | None = None) -> Done:
    return cluster._run([*MLXLAUNCH, "prepare", "-i", inventory or cluster.inventory(MACS, **ALL_ITEMS), *words])


def items(done: Done, host: str) -> dict[str, Any]:
    """Return the rows of a host by item, from the document of a run."""
    found = next(each for each in json.loads(done.stdout)["hosts"] if each["host"] == host)
    return {row["name"]: row for row in found["items"]}


def states(done: Done, host: str) -> dict[str, str]:
    return {name: row["state"] for name, row in items(done, host).items()}


def shown(host: Host) -> str:
    """Return what the programs of a Mac show about its settings, and the files that set some."""
    names = ("iogpu.wired_limit_mb", "kern.maxfiles", "kern.maxfilesperproc", "kern.maxproc", "kern.maxprocperuid")
    commands = (["pmset", "-g", "custom"], ["launchctl", "limit"], ["sysctl", *names], [FIREWALL, "--listapps"], ["launchctl", "list"])
    # Services come in the order in which they were loaded.
    text = "".join("".join(sorted(host.run(command, check=True).stdout.splitlines(keepends=True))) for command in commands)
    return text + str(sorted(path.name for path in host.path("/Library/LaunchDaemons").glob("*")))


def restart(host: Host) -> None:
    host.power_off()
    host.power_on()


@contextmanager
def held(host: Host) -> Iterator[Path]:
    """Let a Mac wait for ever when it is to load a daemon; give the file that it makes when it has come there."""
    program = host.path("/usr/bin/launchctl")
    real = program.with_name("launchctl.real")
    program.rename(real)
    program.write_text('#!/bin/sh\n[ "$1" = bootstrap ] && { touch /tmp/held; sleep 1000; }\nexec /usr/bin/launchctl.real "$@"\n')
    program.chmod(0o755)
    try:
        yield host.path("/tmp/held")
    finally:
        if not host.is_on:
            host.power_on()
        host.path("/usr/bin/launchctl.real").rename(host.path("/usr/bin/launchctl"))


def test_macs_from_delivery_over_a_restart_and_back(cluster: Cluster) -> None:
    first, second = cluster.hosts[:2]
    first.run([FIREWALL, "--setglobalstate", "on"], check=True)
    second.run([*SWITCH, "sip_limits", "on"], check=True)
    before = [shown(host) for host in cluster.hosts[:4]]
    looked = prepare(cluster, "--json")
    assert looked.returncode == 0, looked.stderr
    assert set(states(looked, "node1").values()) == {"would change"}
    assert states(looked, "node3")["firewall"] == "right"
    assert [shown(host) for host in cluster.hosts[:4]] == before

    done = prepare(cluster, "--apply", "--json")
    assert done.returncode == 0, done.stderr
    assert set(states(done, "node1").values()) == {"changed"}
    assert items(done, "node1")["wired_limit"]["after"] == f"{MOST_WIRED} MB, at each start too"
    assert "after the next restart" in items(done, "node2")["open_files"]["text"]
    assert "after the next restart" not in items(done, "node1")["open_files"]["text"]
    set_up = shown(first)
    assert "(Allow incoming connections)" in set_up
    # Never less than a Mac has already, for anybody.
    assert {"kern.maxfiles: 491520", "kern.maxfilesperproc: 245760"} <= set(set_up.splitlines())
    again = prepare(cluster, "--apply", "--json")
    assert json.loads(again.stdout)["changed"] is False
    assert set(states(again, "node2").values()) == {"right"}

    for host in (first, second):
        restart(host)
    assert shown(first) == set_up
    limits = second.run(["launchctl", "limit", "maxfiles"], check=True).stdout.split()
    assert limits == ["maxfiles", "245760", "491520"]
    assert "nothing to change" in prepare(cluster).stderr

    second.run(["pmset", "-c", "sleep", "30"], check=True)  # somebody else
    undone = prepare(cluster, "--undo", "--json")
    assert undone.returncode == 0, undone.stderr
    assert "sleep was changed by somebody else since" in items(undone, "node2")["sleep"]["text"]
    second.run(["pmset", "-c", "sleep", "1"], check=True)
    restart(second)
    assert [shown(host) for host in cluster.hosts[:4]] == before
    assert not any(host.path(RECORD).exists() for host in cluster.hosts[:4])
    assert "nothing to take back" in prepare(cluster, "--undo").stderr


@pytest.mark.long
def test_playbook_tells_prepares_and_leaves_out_what_is_for_another_system(cluster: Cluster, few_files: int) -> None:
    inventory = cluster.inventory(["node1", LINUX], **ALL_ITEMS | {"mlx_prepare_open_files": few_files})
    words: list[str | os.PathLike[str]] = [ANSIBLE_PLAYBOOK, "-i", inventory, PLAYBOOK]
    before = shown(cluster.hosts[0])
    checked = cluster._run([*words, "-e", "mlx_prepare_apply=true", "--check", "--diff"])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"+wired limit: {MOST_WIRED} MB" in checked.stdout
    assert "for Macs; this is Linux" in " ".join(checked.stdout.split())
    assert shown(cluster.hosts[0]) == before
    assert "changed=1" in cluster._run([*words, "-e", "mlx_prepare_apply=true"]).stdout
    limits = cluster.hosts[4].path("/etc/security/limits.d/90-mlxlaunch-nofile.conf")
    assert limits.read_text() == f"* soft nofile {few_files}\nroot soft nofile {few_files}\n"
    assert "changed=0" in cluster._run([*words, "-e", "mlx_prepare_apply=true"]).stdout
    undone = cluster._run([*words, "-e", "mlx_prepare_state=absent"])
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert shown(cluster.hosts[0]) == before
    assert not limits.exists()


def test_limit_above_memory_changes_nothing_anywhere(cluster: Cluster) -> None:
    inventory = cluster.inventory({"node1": {}, "node2": {"mlx_prepare_wired_limit": 520000}, "node3": {"mlx_prepare_processes": 20000}})
    before = [shown(host) for host in cluster.hosts[:3]]
    done = prepare(cluster, "--apply", inventory=inventory)
    assert done.returncode == 3
    text = " ".join(done.stdout.split())
    assert f"520000 MB leave the system too little of 524288 MB; want at most {MOST_WIRED}, or auto" in text
    assert "asks for 20000, and the kernel of this Mac has room for 16000" in text
    assert "nothing was changed" in done.stderr
    assert [shown(host) for host in cluster.hosts[:3]] == before


@pytest.mark.long
def test_host_without_sudo_gets_commands_that_are_all_it_lacks(cluster: Cluster, few_files: int) -> None:
    inventory = cluster.inventory(["node1", "node2", LINUX], ansible_user="mlx", **ALL_ITEMS | {"mlx_prepare_open_files": few_files})
    for host in (cluster.hosts[1], cluster.hosts[4]):
        host.path("/etc/sudoers.d/mlx").unlink()
    done = prepare(cluster, "--apply", inventory=inventory)
    assert done.returncode == 3, done.stderr
    assert "by hand  node2: " in done.stdout
    assert shown(cluster.hosts[0]) != shown(cluster.hosts[1])
    by_host: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("on ") and line.endswith(", run:"):
            commands = by_host.setdefault(line.split()[1].rstrip(","), [])
        elif line.startswith("  sudo "):
            commands.append(line.strip())
    for name, host in (("node2", cluster.hosts[1]), (LINUX, cluster.hosts[4])):
        for command in by_host[name]:
            host.run(["sh", "-c", command], check=True)
    assert shown(cluster.hosts[0]) == shown(cluster.hosts[1])
    assert "nothing to change" in prepare(cluster, "--apply", inventory=inventory).stderr
    assert prepare(cluster, "--undo", inventory=inventory).returncode == 0


@pytest.mark.long
def test_mac_that_vanishes_meanwhile_is_told_and_can_be_taken_back(cluster: Cluster) -> None:
    lost = cluster.hosts[2]
    before = [shown(host) for host in cluster.hosts[:4]]
    argv: list[str | os.PathLike[str]] = [*MLXLAUNCH, "prepare", "-i", cluster.inventory(MACS, **ALL_ITEMS), "--apply", "--lease", LEASE]
    with held(lost) as sign, cluster.started(argv) as process:
        wait_until(sign.exists, "node3 is being prepared")
        lost.power_off()
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 3, err
        assert b"node3: " in out
        assert prepare(cluster, "--connect-timeout", SOON).returncode == 3
    undone = prepare(cluster, "--undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert [shown(host) for host in cluster.hosts[:4]] == before


def test_interrupted_apply_says_how_to_take_it_back(cluster: Cluster) -> None:
    stopped = cluster.hosts[0]
    before = shown(stopped)
    argv: list[str | os.PathLike[str]] = [*MLXLAUNCH, "prepare", "-i", cluster.inventory(MACS, **ALL_ITEMS), "--apply"]
    with held(stopped) as sign, cluster.started(argv) as process:
        wait_until(sign.exists, "node1 is being prepared")
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert b"mlxlaunch prepare --undo takes that back" in err
    wait_until(lambda: not stopped.leftovers(), "nothing runs on node1")
    assert prepare(cluster, "--undo").returncode == 0
    assert shown(stopped) == before
