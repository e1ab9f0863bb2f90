"""`mlxlaunch config`: command lines of mlx.distributed_config."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.outcome import look_at, network_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import check_wishes
from mlxlaunch_ansible import cli
from mlxlaunch_ansible._network.look import NetworkResult
from mlxlaunch_ansible.commands import config
from tests.unit.macs import Cluster, macs, mesh, ring
from tests.unit.package.sessions import requested, start_none


def parsed(*words: str) -> argparse.Namespace:
    options = cli._make_parser(["config"])[0].parse_args(["config", *words])
    options.tail = None
    return options


def finished(cluster: Cluster, *words: str) -> int:
    """Return the exit status of a command line whose hosts are these Macs."""
    options = parsed(*words)
    wishes = check_wishes(config.options_of(options) | {"verbose": None})
    return config.finish(NetworkResult.of(network_result(look_at(cluster.answers(), wishes), wishes)), options)


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ([], {"over": "thunderbolt"}),
        (["--over", "ethernet", "--backend", "jaccl"], {"over": "ethernet"}),
        (["--backend", "jaccl-ring", "--ignore"], {"over": "thunderbolt", "backend": "jaccl-ring", "ignore_unreachable": True}),
        (["--auto-setup"], {"over": "thunderbolt", "apply": True}),
        (["--auto-setup", "--dot"], {"over": "thunderbolt"}),
        (["--auto-setup", "--over", "ethernet"], {"over": "ethernet"}),
        (["--no-auto-setup"], {"over": "thunderbolt"}),
        (["--backend=ring", "--verb"], {"over": "thunderbolt", "backend": "ring"}),
    ],
)
def test_command_line_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, words: list[str], own: dict[str, Any]) -> None:
    start_none(monkeypatch)
    found = requested(cli.main, ["config", "--hosts", "a,b", *words])
    assert found.request.setup["own"] == own
    assert [entry["ssh"] for entry in found.request.setup["hostfile"]] == ["a", "b"]


def test_hostfile_wins_over_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    start_none(monkeypatch)
    (tmp_path / "hosts.json").write_text('{"backend": "ring", "envs": [], "hosts": [{"ssh": "x", "ips": ["10.0.0.7"]}]}')
    found = requested(cli.main, ["config", "--hosts", "a,b", "--hostfile", str(tmp_path / "hosts.json")])
    assert [entry["ssh"] for entry in found.request.setup["hostfile"]] == ["x"]


def test_standard_output_is_a_hostfile_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    assert finished(mesh(3, rdma=True), "--env", "A=1") == 0
    said = capfd.readouterr()
    data = json.loads(said.out)
    assert said.out == json.dumps(data, indent=4) + "\n"
    assert (data["backend"], data["envs"]) == ("jaccl", ["A=1"])
    assert data["hosts"][0] == {"ssh": "a", "ips": ["198.18.0.1"], "rdma": [None, "rdma_en2", "rdma_en3"]}
    made = "  sudo networksetup -createnetworkservice 'mlxlaunch Thunderbolt 1' 'Thunderbolt 1'\n"
    assert f"mlxlaunch: on a, run:\n{made}" in said.err


@pytest.mark.parametrize("words", [["--output-hostfile"], ["--output"]])
def test_output_goes_to_the_file_and_nothing_to_standard_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert finished(ring(3), *words, str(tmp_path / "hosts.json")) == 0
    assert capfd.readouterr().out == ""
    assert [host["rdma"] for host in json.loads((tmp_path / "hosts.json").read_text())["hosts"]] == [[], [], []]


def test_ethernet_has_each_address_once_and_no_backend(capfd: pytest.CaptureFixture[str]) -> None:
    assert finished(macs(2), "--over", "ethernet") == 0
    data = json.loads(capfd.readouterr().out)
    assert data == {
        "backend": "",
        "envs": [],
        "hosts": [{"ssh": f"{n}", "ips": [f"198.18.0.{at}"], "rdma": []} for at, n in ((1, "a"), (2, "b"))],
    }


@pytest.mark.parametrize("cluster", [ring(3), macs(2)])
def test_graph_is_printed_with_or_without_a_plan(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    assert finished(cluster, "--dot", "--backend", "jaccl") == 0
    said = capfd.readouterr()
    assert (said.out.splitlines()[0], said.err) == ("graph G {", "")


def test_failure_prints_no_hostfile(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert finished(macs(2), "--output-hostfile", str(tmp_path / "x.json")) == 3
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "mlxlaunch: no Thunderbolt cable connects two of these hosts\n")
    assert not (tmp_path / "x.json").exists()


def test_new_order_of_hosts_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    finished(macs(4).cable("a1", "c1").cable("c2", "b1").cable("b2", "d1").cable("d2", "a2"), "--backend", "ring")
    assert "ranks go round the ring in another order than the list of hosts: a, c, b, d" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--hosts", "a,,b"], "--hosts: a host name cannot be empty"),
        (["--hostfile", "/no/such.json"], "/no/such.json: cannot read the hostfile"),
        (["--over", "wifi"], "argument --over: invalid choice"),
        (["--backend", "mpi"], "argument --backend: invalid choice"),
        (["--env", "=x"], "--env"),
        (["--output-hostfile", "/no/such/x.json"], "want a file in a directory that is there"),
        (["--", "x"], "config: nothing can follow --"),
        (["--o", "x"], "ambiguous option"),
    ],
)
def test_mistake_is_one_line_and_status_2(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = cli.main(["config", *words])
    except SystemExit as exc:
        status = int(exc.code or 0)
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert (status, said.out, text in line) == (2, "", True)


def test_look_that_was_interrupted_has_its_status(capfd: pytest.CaptureFixture[str]) -> None:
    assert config.finish(NetworkResult(130, "interrupted by SIGINT", None, "", "", ()), parsed()) == 130
    assert capfd.readouterr() == ("", "mlxlaunch: interrupted by SIGINT\n")
