"""A host as a preparation asks it: programs once, variables by name, and the user who has connected."""

from __future__ import annotations

import os
import pwd

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare import this_host
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.prepare.this_host import Host
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from tests.unit.host.prepare.programs import Scripted, host


def test_program_is_asked_once_until_something_changes() -> None:
    agent = Scripted()
    one = Host(agent)
    one.ask("pmset", "-g")
    one.ask("pmset", "-g")
    assert agent.log == ["pmset -g"]
    one.change(["pmset", "-c"])
    one.ask("pmset", "-g")
    assert agent.log == ["pmset -g", "pmset -c", "pmset -g"]


def test_failure_has_its_program_and_last_line() -> None:
    one = host({"pmset -g": (1, "first\nlast\n"), "pmset -c": (3, "")})
    with pytest.raises(CallFailed, match="^pmset: last$"):
        one.output("pmset", "-g")
    assert one.change(["pmset", "-c"]) == "pmset: it ended with status 3"


def test_variable_that_is_missing_is_empty_and_hides_no_other() -> None:
    one = host({f"sysctl {' '.join(this_host._VARIABLES)}": (1, "hw.memsize: 16\nsysctl: unknown oid 'iogpu.wired_limit_mb'\n")})
    assert [one.variable("hw.memsize"), one.variable("iogpu.wired_limit_mb")] == ["16", ""]


def test_home_is_that_of_the_user_who_has_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    one = host()
    monkeypatch.setattr(one, "user", lambda: (1, "daemon"))
    assert one.expand("~/bin/python") == f"{pwd.getpwnam('daemon').pw_dir}/bin/python"
    assert one.expand("/usr/bin/python3") == "/usr/bin/python3"


@pytest.mark.parametrize(
    ("effective", "variables", "login", "expected"),
    [(65534, {"SUDO_UID": "1"}, "1", 65534), (0, {"SUDO_UID": "1"}, "", 1), (0, {}, "1", 1), (0, {}, "4294967295", 0), (0, {}, "", 0)],
)
def test_user_is_the_one_who_has_connected(
    monkeypatch: pytest.MonkeyPatch, effective: int, variables: dict[str, str], login: str, expected: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: effective)
    monkeypatch.setattr(this_host, "_read", lambda _path: login)
    monkeypatch.delenv("SUDO_UID", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert host().user()[0] == expected
