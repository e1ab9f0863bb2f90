"""The rows of a check as a table that fits."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.check_row import FAIL, OK, WARN, Cell, Row
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.check_table import render


def row(host: str, **cells: Cell) -> Row:
    return Row(host, (0,), cells)


def test_columns_are_aligned_under_short_heads() -> None:
    rows = [row("mac-1", reachable=Cell("yes", OK), memory=Cell("64 GB", OK)), row("m2", reachable=Cell("local", OK), memory=Cell())]
    assert render(rows) == "host   ssh    mem\nmac-1  yes    64 GB\nm2     local  -"


def test_column_without_values_is_left_out() -> None:
    assert render([row("a", reachable=Cell("yes", OK), project=Cell())]) == "host  ssh\na     yes"


def test_doubts_and_failures_are_marked_and_explained() -> None:
    rows = [row("a", clock=Cell("+9s", WARN, ["set it"])), row("b", clock=Cell("none", FAIL, ["ask it", "again"]))]
    assert render(rows) == ("host  clock\na     +9s?\nb     none!\n\nfail  b  clock  ask it\nfail  b  clock  again\nwarn  a  clock  set it")


def test_narrow_table_has_one_space_between_columns() -> None:
    rows = [row("a", mlx=Cell("x", OK), environment=Cell("y", OK))]
    assert render(rows, 14) == "host  mlx  env\na     x    y"
    assert render(rows, 12) == "host mlx env\na    x   y"


def test_columns_that_do_not_fit_come_below() -> None:
    rows = [row("a", mlx=Cell("x", OK), environment=Cell("y", OK))]
    assert render(rows, 9) == "host  mlx\na     x\n\nhost  env\na     y"


def test_colour_is_for_faults_only() -> None:
    rows = [row("a", mlx=Cell("x", OK), environment=Cell("y", FAIL, ["no"]))]
    assert render(rows, colour=True) == "host  mlx  env\na     x    \033[1;31my! \033[0m\n\n\033[1;31mfail\033[0m  a  environment  no"
