"""The rules together: good hosts, the order of columns, and the table of it."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.facts import HostFacts
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.check.rules.assess import COLUMNS, assess
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import Row
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.check_table import render
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.columns import WIDTH
from tests.unit.controller.check.good import cells, facts


def test_good_hosts_are_good_in_every_column() -> None:
    rows = assess({name: facts(name) for name in "abc"})
    assert [row.status for row in rows] == ["ok", "ok", "ok"]
    for row in rows:
        assert tuple(row.cells) == COLUMNS
        assert {name: found.status for name, found in row.cells.items() if found.status != "ok"} == {"mpirun": "unknown", "rdma": "unknown"}
        assert not any(found.notes for found in row.cells.values())


def test_values_say_what_is_there() -> None:
    values = {name: found.value for name, found in cells(facts("a"))[0].items()}
    assert values == {
        "root": "/opt/mlxlaunch",
        "reachable": "yes",
        "host key": "ok",
        "python": "3.12.4",
        "environment": "3f2a9",
        "project": "77777",
        "mlx": "0.32.4",
        "mlx.core": "ok",
        "system": "26.2 M3 Ultra",
        "addresses": "ok",
        "neighbours": "1/1",
        "mpirun": "5.0.8",
        "clock": "0.0s",
        "disk": "800G",
        "memory": "480G",
        "leftovers": "none",
        "limits": "65536/4096",
        "sleep": "never",
        "restart": "ok",
        "wired": "470G",
        "firewall": "off",
        "rdma": "-",
        "variables": "ok",
        "logout": "ok",
        "owners": "none",
    }


def rows(*hosts: HostFacts) -> list[Row]:
    return assess({one.host: one for one in hosts})


def test_table_is_aligned_and_fits() -> None:
    bare: dict[str, Any] = {"root": None, "environment": None, "project": None, "mpirun": {"path": "", "version": ""}}
    text = render(rows(facts("mac1", bare, project=""), facts("mac2", bare, project="")))
    assert max(map(len, text.splitlines())) <= WIDTH == 80
    assert [line.split()[0] for line in text.splitlines()] == ["host", "mac1", "mac2"]
    text = render(rows(facts("studio-1", {"root": None}), facts("studio-2", {"root": None})))
    text += "\n\n" + render(rows(facts("studio-1", {"root": None}), facts("studio-2", {"root": None})), 60)
    # Too wide for one: the rest stands below, with the hosts' names again.
    assert [line.split()[0] for line in text.splitlines() if line] == ["host", "studio-1", "studio-2"] * 4
    assert max(map(len, text.splitlines())) <= WIDTH
    assert max(map(len, text.splitlines()[8:])) <= 60
    for block in text.split("\n\n"):
        head, *body = block.splitlines()
        starts = [at for at, char in enumerate(head) if char != " " and (at == 0 or head[at - 1] == " ")]
        for line in body:
            assert all(line[at] != " " and (at == 0 or line[at - 1] == " ") for at in starts)
    assert len(render(rows(facts("studio-1")), 200).splitlines()) == 2


def test_columns_that_say_nothing_of_any_host_are_left_out() -> None:
    bare: dict[str, Any] = {"root": None, "environment": None, "project": None, "mpirun": {"path": "", "version": ""}}
    head = render(rows(facts("a", bare, project=""), facts("b", bare, project="")), 200).splitlines()[0].split()
    assert head == ["host", "ssh", "key", "python", "mlx", "core", "system", "addr", "ring", "clock", "disk", "mem", "left"]


def test_properties_without_a_column_are_told_where_they_are_not_well() -> None:
    bad = {"processes": 99, "ends_with_login": True, "stray": ["JACCL_RING"], "open_files": 256}
    text = render(rows(*(facts(name, bad) for name in "abc"), facts("d", {**bad, "processes": 4096})), 400)
    assert "limits" not in text.splitlines()[0]
    assert [tuple(re.split(" {2,}", line)[:3]) for line in text.split("\n\n")[-1].splitlines()] == [
        ("warn", "all", "limits"),
        ("warn", "a, b, c", "limits"),
        ("warn", "all", "variables"),
        ("warn", "all", "logout"),
    ]


def test_failing_cells_are_marked_and_explained_below() -> None:
    text = render(rows(facts("a", offset=9.0), facts("b", {"python": {"mlx": ""}}), HostFacts("c", failure="off")), 200)
    table, below = text.split("\n\n")
    assert "+9.0s?" in table.splitlines()[1]
    assert "none!" in table.splitlines()[2]
    assert "no!" in table.splitlines()[3]
    assert [line.split()[:3] for line in below.splitlines()] == [["fail", "b", "mlx"], ["fail", "c", "reachable"], ["warn", "a", "clock"]]


def test_colour_changes_nothing_but_colour() -> None:
    found = rows(facts("a", offset=9.0), HostFacts("b", failure="off"))
    coloured = render(found, colour=True)
    assert "\033[1;31m" in coloured
    for code in ("\033[1;31m", "\033[33m", "\033[0m"):
        coloured = coloured.replace(code, "")
    assert [line.rstrip() for line in coloured.splitlines()] == render(found).splitlines()


def test_rows_survive_json() -> None:
    found = rows(facts("a", offset=9.0), HostFacts("b", failure="off"))
    again = [Row.from_json(json.loads(json.dumps(row.to_json()))) for row in found]
    assert again == found
    assert found[1].to_json()["status"] == "fail"
