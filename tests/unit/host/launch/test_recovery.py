# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a lost connection did not carry is sent over the next one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.spool import Spool
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.jobs.status import Status
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.link import ControllerLink
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.recovery import Recovery
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.spec import RecoverySpec

JOB = "20260101-120000-0abcde"


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Give a pipe whose two ends are closed afterwards."""
    made = os.pipe()
    yield made
    for fd in made:
        os.close(fd)


def recover(ends: tuple[int, int], have: int = 0) -> list[wire.Frame]:
    """Return the frames of a recovery, of which the controller has some bytes."""
    spec = RecoverySpec(job=JOB, index=0, grace=1.0, lease=9.0, have={"0": {"stdout": have, "stderr": 0}}, patience=0.0)
    link = ControllerLink(-1, ends[1])
    Recovery(spec, link).run()
    link.flush()
    return wire.Decoder(marker=True).feed(os.read(ends[0], 65536))


def test_rest_of_output_and_ends_are_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: tuple[int, int]) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    status = Status.make(JOB, 0)
    spool = Spool(f"{status.folder}/rank0.stdout")
    spool.append(b"0123456789")
    status.exited(0, {"code": 7})
    status.save()
    os.close(status.lock)
    output, exited, done = recover(ends, have=4)
    assert (output.kind, output.offset, output.payload) == (wire.STDOUT, 4, b"456789")
    assert (exited.kind, exited.json()) == (wire.EXITED, {"code": 7})
    assert (done.kind, done.json()) == (wire.DONE, {"remaining": {}, "known": True})


def test_host_that_knows_nothing_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: tuple[int, int]) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    [done] = recover(ends)
    assert (done.kind, done.json()) == (wire.DONE, {"remaining": {}, "known": False})


def test_earlier_supervisor_that_does_not_end_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: tuple[int, int]) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    Status.make(JOB, 0)
    [refused] = recover(ends)
    assert refused.kind == wire.REFUSED
    assert refused.json()["problems"][0].startswith("the earlier supervisor is still at work: ")
