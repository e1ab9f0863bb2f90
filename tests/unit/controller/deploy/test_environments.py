"""The environment of a deploy: its key, which all hosts share, and what hosts are sent to make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.environments import (
    Copied,
    EnvironmentMismatch,
    Locked,
    environment_from,
    most_frequent,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.own_environment import OwnEnvironment
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.wheelhouse import Wheels
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings

LINUX = {"system": "Linux", "machine": "x86_64"}
OWN = OwnEnvironment("/venv", "/usr/bin/python3.12", {"python": "3.12.4", "implementation": "cpython", "platform": LINUX}, "d", {}, False)


def host(version: str = "3.12.4", path: str = "/usr/bin/python3.12", **facts: str) -> dict[str, Any]:
    python = {"path": path, "version": version, "implementation": "cpython", "platform": LINUX, "wanted": "3.12"}
    return {**LINUX, **facts, "python": python}


@pytest.fixture
def locked(tmp_path: Path) -> Locked:
    (tmp_path / "lock.txt").write_text(f"--index-url https://wheels.example\nmlx==0.32.4 --hash=sha256:{'0' * 64}\n")
    found = environment_from(JobSettings(environment=str(tmp_path / "lock.txt"), index_url="https://other.example"))
    assert isinstance(found, Locked)
    return found


def test_copy_has_no_extras() -> None:
    with pytest.raises(UsageError, match="lock_extra and lock_group choose from a lock"):
        environment_from(JobSettings(environment="copy", lock_group=("train",)))


def test_key_is_the_same_wherever_python_is(locked: Locked) -> None:
    assert locked.resolve_key({"a": host()}) == locked.resolve_key({"b": host(path="/opt/python3")})
    assert locked.resolve_key({"a": host()}) != locked.resolve_key({"a": host("3.12.5")})


def test_hosts_that_differ_from_most_are_named(locked: Locked) -> None:
    with pytest.raises(EnvironmentMismatch) as mismatch:
        locked.resolve_key({"a": host("3.11.9", "/usr/bin/python3.11"), "b": host(), "c": host()})
    assert mismatch.value.problems == {
        "a": "has Python 3.11.9 on Linux x86_64 (/usr/bin/python3.11), b has Python 3.12.4 on Linux x86_64: "
        "they cannot have the same environment; name a Python that all hosts have (mlx_python)"
    }


def test_first_of_equally_frequent_values_is_the_usual_one() -> None:
    assert most_frequent(["b", "a", "a", "b", "c"]) == "b"


def test_host_is_asked_for_the_python_set_for_it(locked: Locked) -> None:
    assert locked.request("3.12") == {"wanted": "3.12", "lock": locked.digest}


@pytest.mark.parametrize("wheels", [None, Wheels(Path("/house"), {})])
def test_hosts_with_wheels_ask_no_index(locked: Locked, wheels: Wheels | None) -> None:
    details = locked.details(host(), wheels)
    assert bool(details["index_url"]) == bool(details["index_options"]) == (wheels is None)
    assert (details["python"], details["wanted"], details["lock_sha256"]) == ("/usr/bin/python3.12", "3.12", locked.digest)


def test_no_wheels_are_fetched_without_a_wheelhouse(locked: Locked) -> None:
    assert locked.prepare({"a": host()}, lambda _argv, _line: pytest.fail("runs a program"), print) is None


def test_host_whose_wheels_are_not_to_be_had_is_named(locked: Locked, tmp_path: Path) -> None:
    """A host says itself which release it has; what it says ends nobody else's deploy."""
    house = replace(locked, wheelhouse=str(tmp_path / "house"))
    liar = host()
    liar["python"]["platform"] = {"system": "Linux", "machine": "x86_64", "release": "1.0", "libc": "glibc"}
    good = host()
    good["python"]["platform"] = {"system": "Linux", "machine": "x86_64", "release": "2.36", "libc": "glibc"}
    (tmp_path / "house").mkdir()
    with pytest.raises(EnvironmentMismatch) as mismatch:
        house.prepare({"a": good, "b": liar}, lambda _argv, _line, **_options: (1, "No matching distribution found for mlx"), print)
    assert "cannot be filled for Linux x86_64 glibc 1.0" in mismatch.value.problems["b"]
    with pytest.raises(UsageError, match=r"cannot be filled for Linux x86_64 glibc 1\.0"):
        house.prepare({"b": liar}, lambda _argv, _line, **_options: (0, ""), print)


def test_copy_wants_the_controller_s_python_on_hosts() -> None:
    copied = Copied(OWN)
    assert copied.request("3.9") == {"wanted": "/usr/bin/python3.12", "lock": "d"}
    assert copied.source == Path("/venv")
    assert copied.resolve_key({"a": host(), "b": host()})


def test_copy_is_refused_when_one_host_could_not_run_it() -> None:
    facts: Mapping[str, Mapping[str, Any]] = {"a": host(), "b": host("3.11.9")}
    with pytest.raises(EnvironmentMismatch) as mismatch:
        Copied(OWN).resolve_key(facts)
    assert mismatch.value.problems == {"b": "environment: copy: /usr/bin/python3.12 is Python 3.11.9, on the controller 3.12.4"}
