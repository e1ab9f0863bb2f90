"""Hosts that only ssh knows how to reach, ssh configurations of all kinds, and what a refusal says."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import Cluster, Done
from tests.lab import Host
from tests.support.waiting import wait_until

PORT = 2222
HOSTFILE = ("sh", "-c", "cat $MLX_HOSTFILE; echo")
BOTH = "Host box1\n  HostName {one}\n  HostKeyAlias node1\nHost box2\n  HostName {two}\n  HostKeyAlias node2\n"
NODE1 = "  HostName {one}\n  HostKeyAlias node1\n"
MATCH = f"Match originalhost box1\n{NODE1}Match host box2\n  HostName {{two}}\n  HostKeyAlias node2\n"
BUSY_JUMP = f"Host box*\n  Port {PORT}\n  ProxyJump jump\nHost jump\n  Port {PORT}\n{NODE1}" + BOTH
FORWARDED = {"a": {"ansible_host": "127.0.0.1", "ansible_port": 2222}, "b": {"ansible_host": "127.0.0.1", "ansible_port": 2200}}
SECOND = BOTH.replace("{one}", "{one_b}").replace("{two}", "{two_b}")


@pytest.fixture
def sshd() -> Iterator[Callable[..., None]]:
    """Give a function that starts one more sshd on a host, at another port and with options of its own."""
    started: list[tuple[Host, Path]] = []

    def start(host: Host, *options: str) -> None:
        pid_file = "/run/sshd-more.pid"
        config = host.path("/etc/ssh/sshd_more")
        own = host.path("/etc/ssh/sshd_config").read_text()
        rest = [line for line in own.splitlines() if not line.startswith(("Port", "PidFile", "ListenAddress"))]
        config.write_text("\n".join([f"Port {PORT}", f"PidFile {pid_file}", *options, *rest]) + "\n")
        started.append((host, host.path(pid_file)))
        host.run([shutil.which("sshd") or "/usr/sbin/sshd", "-f", "/etc/ssh/sshd_more"], check=True)
        path = host.path(pid_file)
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"the other sshd of {host.name} listens")

    yield start
    for host, pid_file in started:
        host.kill(int(pid_file.read_text()), signal.SIGKILL)
        pid_file.unlink()


def config_of(cluster: Cluster, text: str, folder: Path | None = None) -> Path:
    """Write an ssh configuration that begins with `text` and ends with the lab's own options for every host."""
    one, two = cluster.hosts[:2]
    addresses = {"one": one.address, "two": two.address, "one_b": one.address2, "two_b": two.address2}
    options = cluster.lab.ssh_config.read_text().rpartition("Host ")[2].partition("\n")[2]
    path = (folder or cluster.here) / "ssh_config"
    for name, value in addresses.items():
        text = text.replace("{" + name + "}", value)
    (cluster.here / "more").write_text(BOTH.format(**addresses))
    text = text.replace("{config}", str(path)).replace("{here}", str(cluster.here))
    path.write_text(f"{text}Host *\n{options}")
    return path


def run(cluster: Cluster, text: str, hosts: Mapping[str, Mapping[str, Any]] | list[str], *words: str, env: Mapping[str, str] = {}) -> Done:
    """Run a launch on hosts that are known by name, over an ssh configuration."""
    variables = hosts if isinstance(hosts, Mapping) else {name: {} for name in hosts}
    inventory = cluster.inventory({name: {"ansible_host": name, **own} for name, own in variables.items()})
    own = {"ANSIBLE_SSH_COMMON_ARGS": f"-F {config_of(cluster, text)}", "ANSIBLE_SSH_ARGS": "-o ControlMaster=no", **env}
    return cluster.mlxlaunch("-i", inventory, "--no-sync", *words, "--", *HOSTFILE, env=own)


@dataclass(frozen=True)
class Reached:
    """A configuration by which hosts are reached.

    Attributes:
        id: of the row.
        text: the ssh configuration.
        second: whether data goes over the second network then.
        more: options of another sshd on every host, None for none.
    """

    id: str
    text: str
    second: bool = False
    more: tuple[str, ...] | None = None


REACHED = (
    Reached("alias", BOTH),
    Reached("include", "Include {here}/more\n"),
    Reached("match", MATCH),
    Reached("pattern", "Host box*\n  LogLevel DEBUG1\n" + BOTH),
    Reached("proxyjump", "Host box2\n  ProxyJump box1\n" + BOTH),
    Reached("proxycommand", "Host box2\n  ProxyCommand ssh -F {config} -W %h:%p box1\n" + BOTH),
    Reached("tty-yes", "Host *\n  RequestTTY yes\n" + BOTH),
    Reached("tty-force", "Host *\n  RequestTTY force\n" + BOTH),
    Reached("remote-command", "Host *\n  RemoteCommand tmux new -A -s main\n" + BOTH),
    Reached("second-network", SECOND, second=True),
    Reached("port", f"Host box*\n  Port {PORT}\n" + BOTH, more=()),
    Reached("banner", f"Host box*\n  Port {PORT}\n" + BOTH, more=("Banner /etc/passwd", "PrintMotd yes")),
    Reached("drops-most", BUSY_JUMP, more=("MaxStartups 1:100:1",)),
)


@pytest.mark.sweep
@pytest.mark.parametrize("row", REACHED, ids=lambda row: row.id)
def test_hosts_are_reached_and_tell_their_addresses(cluster: Cluster, sshd: Callable[..., None], row: Reached) -> None:
    if row.more is not None:
        for host in cluster.hosts[:2]:
            sshd(host, *row.more)
    done = run(cluster, row.text, ["box1", "box2"])
    assert done.returncode == 0, done.stderr
    address = "address2" if row.second else "address"
    [first, other] = [getattr(host, address) for host in cluster.hosts[:2]]
    assert set(done.stdout.splitlines()) == {f'[["{first}:32323"], ["{other}:32324"]]'}


def test_data_address_is_shown_where_there_were_others(cluster: Cluster) -> None:
    done = run(cluster, SECOND, ["box1", "box2"])
    one, two = cluster.hosts[:2]
    assert re.search(rf"box1 {one.address2} \(and not \w+ {one.address}\); box2 {two.address2} \(and not .*set mlx_ips", done.stderr)


def test_dry_run_says_what_is_asked_at_the_launch(cluster: Cluster) -> None:
    done = run(cluster, BOTH, {"box1": {}, "box2": {"mlx_ips": "10.0.0.2"}}, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "<box1>:32323" in done.stdout
    assert "10.0.0.2:32324" in done.stdout
    assert re.search(r"<box1> +the address by which box1 is reached, which it tells at the launch; set mlx_ips for another", done.stdout)
    assert "<box2>" not in done.stdout


@pytest.mark.parametrize(
    ("text", "more", "problem"),
    [
        pytest.param(BOTH, ("Banner /etc/passwd", "ForceCommand echo only for backups; exit 1"), "only for backups", id="force-command"),
        pytest.param(BOTH, ("Banner /etc/passwd", "AllowUsers nobody"), "root@{one}: Permission denied", id="user"),
        pytest.param("Host box1\n  LogLevel DEBUG3\n" + BOTH, ("ForceCommand echo no; exit 1",), "no", id="debug-lines"),
    ],
)
def test_reason_is_no_banner_line(cluster: Cluster, sshd: Callable[..., None], text: str, more: tuple[str, ...], problem: str) -> None:
    sshd(cluster.hosts[0], *more)
    done = run(cluster, f"Host box1\n  Port {PORT}\n" + text, ["box1"])
    assert done.returncode == 3
    [row] = re.findall(r"^  box1  (.*)$", done.stderr, re.MULTILINE)
    assert row.startswith(problem.replace("{one}", cluster.hosts[0].address))


@pytest.mark.parametrize(
    ("text", "hosts", "status", "problem"),
    [
        pytest.param(BOTH.replace("{two}", "{one}").replace("node2", "node1"), ["box1", "box2"], 3, "as box2 was; each", id="two-names"),
        pytest.param("", FORWARDED, 2, "a and b both claim 127.0.0.1", id="loopback"),
        pytest.param(BOTH, {"box1": {}, "box2": {"mlx_ips": "198.18.0.99"}}, 3, "does not own 198.18.0.99", id="not-its-own"),
    ],
)
def test_address_that_cannot_be_is_refused(cluster: Cluster, text: str, hosts: Any, status: int, problem: str) -> None:
    done = run(cluster, text, hosts)
    assert done.returncode == status, done.stderr
    assert problem in done.stderr
    assert "mlx_ips" in done.stderr or status == 3


def test_relative_files_of_ssh_are_the_same_for_rsync(cluster: Cluster) -> None:
    config = config_of(cluster, BOTH)
    key = re.search(r'IdentityFile "(.*)"', config.read_text())
    assert key
    (cluster.here / "keys").mkdir()
    shutil.copy(key[1], cluster.here / "keys/id")
    config.write_text(re.sub(r"  IdentityFile .*\n", "", config.read_text()))
    (cluster.here / "ansible.cfg").write_text("[ssh_connection]\nssh_args = -F ./ssh_config -i keys/id\n")
    (cluster.here / "big").mkdir()
    (cluster.here / "big/data").write_bytes(b"0123456789abcdef" * 65536)
    (cluster.here / "big/x.py").write_text("import os; print(os.path.getsize('data'))")
    inventory = cluster.inventory({"box1": {"ansible_host": "box1"}, "box2": {"ansible_host": "box2"}}, mlx_root="/root/field")
    env = {name: value for name, value in cluster.env.items() if name != "ANSIBLE_SSH_COMMON_ARGS"}
    cluster.env = env
    done = cluster.mlxlaunch("-i", inventory, "--project-dir", "big", "big/x.py", env={"ANSIBLE_CONFIG": "ansible.cfg"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1048576", "1048576"]


def test_transfers_to_a_busy_sshd_take_their_turns(cluster: Cluster, sshd: Callable[..., None]) -> None:
    for host in cluster.hosts[:2]:
        sshd(host, "MaxStartups 1:100:1")
    (cluster.here / "llm").mkdir()
    (cluster.here / "llm/data").write_bytes(bytes(2**20))
    (cluster.here / "llm/x.py").write_text("import os; print(os.path.getsize('data'))")
    inventory = cluster.inventory({name: {"ansible_host": name} for name in ("box1", "box2")}, mlx_root="/root/field")
    ssh = {"ANSIBLE_SSH_COMMON_ARGS": f"-F {config_of(cluster, BUSY_JUMP)}", "ANSIBLE_SSH_ARGS": "-o ControlMaster=no"}
    done = cluster.mlxlaunch("-i", inventory, "--project-dir", "llm", "llm/x.py", env=ssh)
    assert (done.returncode, done.stdout) == (0, "1048576\n" * 2), done.stderr
