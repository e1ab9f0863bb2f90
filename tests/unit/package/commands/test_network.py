"""`mlxlaunch network`: its request, what it prints and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.plan.wishes import NAMES
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.recording.store import write_recording
from mlxlaunch_ansible import cli
from mlxlaunch_ansible._network.look import NetworkLook
from mlxlaunch_ansible.commands import network as command
from tests.unit.macs import Cluster, macs, mesh, ring
from tests.unit.package.sessions import requested, staged, start_none


def recorded(tmp_path: Path, cluster: Cluster) -> str:
    write_recording(str(tmp_path / "recording"), cluster.answers())
    return str(tmp_path / "recording")


def test_request_has_flags_as_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    start_none(monkeypatch)
    monkeypatch.chdir(tmp_path)
    words = ["--over", "thunderbolt", "--backend", "jaccl", "--require", "mesh", "--subnet", "10.99.0.0/22", "--output-vars", "vars"]
    found = requested(cli.main, ["network", "--hosts", "a,b", *words, "--ignore-unreachable", "--connect-timeout", "5"])
    assert found.request.playbook == "network.yml"
    assert found.settings == {"connect_timeout": "5"}
    assert found.request.setup["own"] == {
        "over": "thunderbolt",
        "backend": "jaccl",
        "require": "mesh",
        "subnet": "10.99.0.0/22",
        "output_vars": f"{tmp_path}/vars",
        "ignore_unreachable": True,
    }


def test_every_option_of_the_plan_has_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["network", "--help"])
    said = capsys.readouterr().out
    flags = {**{name: name.replace("_", "-") for name in NAMES}, "state": "undo"}
    assert all(f"--{flag}" in said for flag in flags.values())


def test_table_is_the_result_and_the_message_is_not(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["network", "--replay", recorded(tmp_path, ring(3)), "--svg", str(tmp_path / "x.svg")]
    assert cli.main([*argv, "--dry-run"]) == 0
    assert (f"mlxlaunch: would write {tmp_path}/x.svg" in capfd.readouterr().err, (tmp_path / "x.svg").exists()) == (True, False)
    assert cli.main(argv) == 0
    said = capfd.readouterr()
    assert said.out.startswith("host  interface")
    assert said.err == f"mlxlaunch: wrote {tmp_path}/x.svg\nmlxlaunch: 3 hosts, backend ring over 3 Thunderbolt cables: 3 to be set\n"


@pytest.mark.parametrize("flag", ["--json", "--dot"])
@pytest.mark.parametrize("cluster", [ring(3), macs(3).cable("a1", "b1", through=["Dock\x9b31m\u2028"])])
def test_nothing_but_the_result_is_on_standard_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], flag: str, cluster: Cluster
) -> None:
    cli.main(["network", "--replay", recorded(tmp_path, cluster), flag, "--over", "thunderbolt"])
    out = capfd.readouterr().out
    assert out.replace("\n", "").isprintable()
    if flag == "--json":
        assert json.loads(out)["format"] == 1
    else:
        assert (out.splitlines()[0], out.splitlines()[-1]) == ("graph G {", "}")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "network: which hosts?"),
        (["--hosts", "a", "-n", "2"], "network: --repeat-hosts is about ranks"),
        (["--hosts", "a", "--", "x"], "network: nothing can follow --"),
        (["--hosts", "a", "--replay", "x"], "network: --replay and --hosts: the hosts are those of the recording"),
        (["--replay", "/no/such"], "--replay /no/such: there is no such directory"),
        (["--hosts", "a,b", "--over", "wifi"], "--over 'wifi': want auto or thunderbolt or ethernet"),
        (["--hosts", "a,b", "--subnet", "10.0.0.0/31"], "--subnet 10.0.0.0/31: want a prefix"),
        (["--hosts", "a,,b"], "--hosts: a host name cannot be empty"),
        (["--hosts", "a", "--dot", "--json"], "not allowed with argument"),
        (["--hosts", "a", "--apply-all"], "unrecognized arguments: --apply-all"),
        (["--hosts", "a", "--apply", "--undo"], "--undo takes a setup back"),
        (["--hosts", "a", "--measure", "--undo"], "--undo takes a setup back"),
    ],
)
def test_mistake_is_one_line_and_status_2(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = cli.main(["network", *words])
    except SystemExit as exc:
        status = int(exc.code or 0)
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert (status, said.out, text in line) == (2, "", True)


@pytest.mark.parametrize(
    ("cluster", "words", "text"),
    [
        (macs(2), ["--over", "thunderbolt"], "no Thunderbolt cable connects two of these hosts"),
        (macs(1), [], "a network needs two hosts"),
        (ring(4), ["--require", "mesh"], "no mesh of all hosts; add a (Thunderbolt 3) -- c (Thunderbolt 3)"),
        (mesh(3, rdma=True), ["--subnet", "198.18.0.0/16"], "is in use: a has 198.18.0.1/24 on en0"),
    ],
)
def test_plan_that_cannot_be_is_one_line_and_status_3(
    tmp_path: Path, cluster: Cluster, words: list[str], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["network", "--replay", recorded(tmp_path, cluster), *words]) == 3
    (line,) = capfd.readouterr().err.splitlines()
    assert text in line


def test_result_of_the_hosts_is_shown_when_it_comes(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with staged() as stage:
        worker = stage.worker()
        worker.event("waiting", text="looking at the network of a, b")
        found = {
            "cause": "planned",
            "network": {},
            "text": "the table",
            "dot": "",
            "files": [],
            "changed": False,
            "diff": [],
            "message": "planned",
        }
        stage.finish(worker, "network_finished", **found)
        monkeypatch.setattr(command, "start_network", lambda *_arguments, **_how: NetworkLook(stage.session))
        assert cli.main(["network", "--hosts", "a,b"]) == 0
    said = capfd.readouterr()
    assert (said.out, said.err) == ("the table\n", "mlxlaunch: looking at the network of a, b\nmlxlaunch: planned\n")
