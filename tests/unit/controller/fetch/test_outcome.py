# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a fetch, as a result and as a diff."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.outcome import Cause
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.fetch import Fetched
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.outcome import fetch_diff, fetch_result
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.wanted import HostFile, Wanted

OLD, NEW, OTHER = (HostFile(Wanted("/job/out", "/job", ("**",), ("out",)), name, 1500, False, "0" * 64) for name in ("a", "b\n", "c"))
SOME = Fetched([OLD, NEW, OTHER], [NEW, OTHER], [OTHER])


def test_result_has_the_files_and_their_places() -> None:
    result = fetch_result(SOME, "node1", "/to", None, check=False)
    assert result["files"][0] == {"path": "/job/out/a", "dest": "/to/out/a", "size": 1500, "changed": False}
    assert [file["changed"] for file in result["files"]] == [False, True, True]
    assert (result["returncode"], result["cause"], result["bytes"]) == (0, "fetched", 3000)
    assert result["message"] == "2 of 3 files, 3.0 kB, fetched from node1 to /to"


def test_check_mode_says_what_would_be() -> None:
    assert "would be fetched from node1" in fetch_result(SOME, "node1", "/to", None, check=True)["message"]


def test_nothing_new_is_nothing_to_do() -> None:
    assert fetch_result(Fetched([OLD]), "node1", "/to", None, check=False)["message"] == "nothing to do: /to has all 1 files of node1"


def test_problem_names_the_host() -> None:
    result = fetch_result(Fetched(problem="/job/w is not there"), "node1", "/to", None, check=False)
    assert (result["returncode"], result["message"]) == (3, "mlx_fetch: node1: /job/w is not there")


def test_early_end_has_its_cause() -> None:
    result = fetch_result(Fetched(), "node1", "/to", Cause("interrupted", 130, "interrupted by SIGINT"), check=False)
    assert (result["returncode"], result["message"]) == (130, "interrupted by SIGINT")


def test_diff_names_new_and_changed_files() -> None:
    assert fetch_diff(SOME, "node1", "/to") == [{"prepared": "/to, from node1\n+ 'out/b\\n'\n~ out/c\n"}]
    assert fetch_diff(Fetched([OLD]), "node1", "/to") == []
