"""Fixtures of the integration tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, controlled_from, job_files
from tests.integration.deploying import Site, wipe
from tests.lab import Lab
from tests.support.controller import controller
from tests.support.waiting import wait_until

__all__ = ["cluster", "controller", "site"]


@pytest.fixture
def cluster(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Give the lab's hosts with this machine as their controller; fail a test whose jobs leave files on a host."""
    for host in lab.hosts:
        for path in job_files(host):
            shutil.rmtree(path)
    cluster = controlled_from(lab, tmp_path, monkeypatch)
    yield cluster
    if not cluster.may_leave_files:
        # Where the launcher was killed, or Ansible did not wait for its worker, hosts come to their end by themselves.
        wait_until(lambda: not cluster.left_files() or not lab.leftovers(), "hosts are at rest")
        if left := cluster.left_files():
            pytest.fail(f"left on hosts: {', '.join(left)}")


@pytest.fixture
def site(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Give hosts to which nothing was deployed; fail a test after which a private directory is left on the controller."""
    wipe(cluster.hosts)
    folder = Path(os.environ["ANSIBLE_HOME"]).parent / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    cluster.env["TMPDIR"] = str(folder)
    yield Site(cluster)
    # What ends by itself, when its launcher was killed, may take a moment.
    wait_until(lambda: not list(folder.glob("mlxlaunch*")), f"nothing is left on the controller in {folder}", 30)
