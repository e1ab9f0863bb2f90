"""The calls of a check, as the agent serves them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.check.handlers import FUNCTIONS
from tests.unit.local_agent import LocalHost
from tests.unit.loopback import free_address


@pytest.fixture
def host() -> Iterator[LocalHost]:
    """Give a host; nothing of it listens afterwards."""
    made = LocalHost(FUNCTIONS)
    yield made
    made.call("hush")


@pytest.fixture
def address() -> str:
    """An address on this machine where nothing listens."""
    return free_address()


def test_clock_is_that_of_this_machine(host: LocalHost) -> None:
    before = time.time()
    assert before <= host.call("clock") <= time.time()


def test_neighbour_listens_until_it_is_stopped(host: LocalHost, address: str) -> None:
    to_it = {"python": "", "targets": [[address, ""]], "token": "secret", "patience": 5.0}
    assert host.call("listen", python="", addresses=[address], token="secret") == {address: None}
    assert host.call("dial", **to_it) == [None]
    assert host.call("hush") is None
    [answer] = host.call("dial", **to_it)
    assert answer[1] == "Connection refused"
    assert host.at_end == {}


def test_survey_has_the_facts_about_this_host(host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JACCL_RING", "1")
    monkeypatch.setenv("MLX_HOSTFILE", "of the job")
    found = host.call(
        "survey",
        spec={
            "root": str(tmp_path),
            "keep": 2,
            "python": sys.executable,
            "env": {},
            "environment": "0123456789abcdef",
            "project": None,
            "script": str(tmp_path / "none.py"),
            "cwd": "",
            "default_cwd": str(tmp_path),
            "addresses": ["192.0.2.1"],
            "listen": [],
            "port_flag": "--starting-port",
            "devices": [],
            "mpirun": [],
            "own": ["MLX_HOSTFILE"],
            "rdma": False,
        },
    )
    assert found["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["environment"]["state"] == "absent"
    assert found["project"] is None
    assert found["kept"] == ""
    assert str(tmp_path / "none.py") in found["script"][0]
    assert "192.0.2.1" in found["addresses"]["problems"][0]
    assert found["stray"] == ["JACCL_RING"]
    assert found["reports"] is None
    assert found["python"]["program"] == os.path.realpath(sys.executable)
