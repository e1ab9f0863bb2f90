# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fetch from a host: honest ones give what was asked for once, others are named and write nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.fetch.handlers import FUNCTIONS
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.calls import CallFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch import wanted as wanted_module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.destination import Destination
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.fetch import Fetch, Fetched, size_text
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.wanted import wanted
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.settings import JobSettings
from tests.unit.controller.fleets import Answer, Events, FakeFleet, lost
from tests.unit.local_agent import LocalHost


def answered(do: str) -> Answer:
    """Return the answer of a host's own functions, as it would arrive, errors too."""

    def answer(**given: Any) -> Any:
        try:
            return LocalHost(FUNCTIONS).call(do, **given)
        except CallFailed as exc:
            raise HostFailed(str(exc)) from None

    return answer


HONEST: Mapping[str, Answer] = {do: answered(do) for do in FUNCTIONS}


@pytest.fixture(name="job")
def make_job(tmp_path: Path) -> Path:
    job = tmp_path / "job"
    for name in ("w.npz", "out/a", "out/deep/b", "out/empty"):
        path = job / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "out/empty" else f"content of {name}")
    return job


def fetch(job: Path, *patterns: str, check: bool = False, **script: Answer) -> tuple[Fetched, FakeFleet]:
    fleet = FakeFleet({"a": {**HONEST, **script}})
    one = Fetch(JobSettings(), {}, [wanted(pattern, str(job)) for pattern in patterns], str(job.parent / "to"), check=check, fleet=fleet)
    one.run(Events())
    return one.fetched, fleet


def there(job: Path) -> dict[str, str]:
    base = job.parent / "to"
    return {str(path.relative_to(base)): path.read_text() for path in base.rglob("*") if path.is_file()}


def test_files_keep_their_place(job: Path) -> None:
    fetched, _fleet = fetch(job, "w.npz", "out/**", "out/a")
    assert fetched.problem == ""
    assert there(job) == {name: f"content of {name}" for name in ("w.npz", "out/a", "out/deep/b")} | {"out/empty": ""}
    assert len(fetched.files) == len(fetched.new) == 4


def test_equal_files_are_not_read_again(job: Path) -> None:
    fetch(job, "out/**")
    (job / "out" / "a").write_text("content of out/b")  # as long as before
    fetched, fleet = fetch(job, "out/**")
    assert [file.name for file in fetched.new] == [file.name for file in fetched.replaced] == ["a"]
    assert [row["pieces"] for row in fleet.agents["a"].named("fetch_read")] == [[["a", 0, 16]]]
    assert there(job)["out/a"] == "content of out/b"
    again, fleet = fetch(job, "out/**")
    assert (again.new, fleet.agents["a"].named("fetch_read")) == ([], [])


def test_check_mode_reads_and_writes_nothing(job: Path) -> None:
    fetched, fleet = fetch(job, "out/**", check=True)
    assert [file.name for file in fetched.new] == ["a", "deep/b", "empty"]
    assert fleet.agents["a"].named("fetch_read") == []
    assert not (job.parent / "to").exists()


def test_large_file_comes_in_pieces(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wanted_module, "PIECE", 5)
    _fetched, fleet = fetch(job, "w.npz", "out/*")
    assert max(sum(length for _n, _o, length in row["pieces"]) for row in fleet.agents["a"].named("fetch_read")) == 5
    assert there(job)["w.npz"] == "content of w.npz"


def test_all_missing_files_are_named_and_nothing_is_written(job: Path) -> None:
    fetched, _fleet = fetch(job, "w.npz", "none", "*.x")
    assert fetched.problem == f"{job}/none is not there; {job}/*.x matches no file"
    assert not (job.parent / "to").exists()


def test_two_files_that_would_be_one_are_refused(job: Path) -> None:
    outside = job.parent / "too" / "w"
    inside = job / str(outside)[1:]
    for path in (outside, inside):
        path.parent.mkdir(parents=True)
        path.touch()
    fetched, _fleet = fetch(job, str(outside), str(outside)[1:])
    assert "two files would be one" in fetched.problem
    assert there(job) == {}


def row(name: str, data: bytes = b"evil", size: int | None = None) -> list[Any]:
    return [name, len(data) if size is None else size, False, hashlib.sha256(data).hexdigest()]


LIES: dict[str, dict[str, Answer]] = {
    "a path outside": {"fetch_find": [row("../../outside/keys")]},
    "an absolute path": {"fetch_find": [row("/outside/keys")]},
    "a hidden name": {"fetch_find": [row(".ssh")]},
    "no list": {"fetch_find": {"files": []}},
    "a size that no disk has": {"fetch_find": [row("keys", size=2**62)]},
    "other content": {"fetch_find": [row("keys")], "fetch_read": [base64.b64encode(b"live").decode()]},
    "more content": {"fetch_find": [row("keys")], "fetch_read": [base64.b64encode(b"evil" * 9).decode()]},
    "more pieces": {"fetch_find": [row("keys")], "fetch_read": [base64.b64encode(b"evil").decode()] * 2},
    "no content": {"fetch_find": [row("keys")], "fetch_read": None},
    "a file and one below it": {
        "fetch_find": [row("keys"), row("keys/x")],
        "fetch_read": [base64.b64encode(b"evil").decode()] * 2,
    },
    "nothing at all": {"fetch_find": lost()},
}


@pytest.mark.parametrize("lie", LIES)
def test_lie_of_a_host_is_its_failure(job: Path, lie: str) -> None:
    fetched, _fleet = fetch(job, "out/**", **LIES[lie])
    assert fetched.problem
    written = {name for name in there(job) if name != "out/keys"}
    assert written == set()
    assert not [path for path in job.parent.rglob("*") if path.name.startswith(".mlxlaunch-")]
    assert not list(job.parent.glob("outside*"))


def test_files_that_do_not_fit_are_not_asked_for(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Destination, "free", property(lambda _self: 7))
    fetched, fleet = fetch(job, "w.npz")
    assert fetched.problem == f"1 files, 16 bytes, do not fit into {job.parent}/to: 7 bytes are free here"
    assert fleet.agents["a"].named("fetch_read") == []


@pytest.mark.parametrize(("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2e9, "2.0 GB"), (5e15, "5000.0 TB")])
def test_sizes_are_short(size: float, text: str) -> None:
    assert size_text(size) == text
