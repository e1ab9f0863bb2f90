"""What a check makes of what it found: which cell is good, which is not, and what to do about it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._checktable import WIDTH, render
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._ranktable import build_rank_table
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._survey import Link, Survey, links_of
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._verdict import COLUMNS, Cell, Row, judge

GIB = 1024**3
DIGEST, OTHER = "3f2a91" + "0" * 58, "aaaaaa" + "1" * 58
PYTHON = {
    "path": "/opt/mlxlaunch/envs/k/bin/python",
    "problem": "",
    "import_error": "",
    "version": "3.12.4",
    "implementation": "cpython",
    "executable": "/opt/mlxlaunch/envs/k/bin/python",
    "machine": "arm64",
    "platform": "darwin",
    "mlx": "0.32.4",
}
FOUND: dict[str, Any] = {
    "system": {"name": "macOS", "version": "15.3", "chip": "Apple M3 Ultra", "machine": "arm64"},
    "python": PYTHON,
    "environment": {"path": "/opt/mlxlaunch/envs/k", "state": "complete", "digest": DIGEST, "problem": ""},
    "project": {"path": "/opt/mlxlaunch/projects/llm/77", "state": "present", "edited": []},
    "script": [],
    "addresses": {"own": [["en5", "10.0.0.1"]], "problems": []},
    "mpirun": {"path": "/opt/homebrew/bin/mpirun", "version": "5.0.8"},
    "disk": {"path": "/Users/Shared", "free": 800 * GIB, "total": 1000 * GIB},
    "memory": {"total": 512 * GIB, "available": 480 * GIB},
    "open_files": 65536,
    "leftovers": {"jobs": [], "folders": [], "processes": [], "staging": [], "environments": []},
}


def survey(host: str, change: dict[str, Any] | None = None, **fields: Any) -> Survey:
    """Return a good host's survey, with parts of what was found replaced."""
    found = copy.deepcopy(FOUND)
    for name, value in (change or {}).items():
        found[name] = {**found[name], **value} if isinstance(value, dict) and isinstance(found[name], dict) else value
    links = [Link("other", "10.0.0.2:32324", "10.0.0.1", tried=True)]
    return Survey(host, (0,), **{"found": found, "project": "77" * 32, "offset": 0.01, "uncertainty": 0.01, "links": links, **fields})


def cells(*surveys: Survey, backend: str = "ring") -> list[dict[str, Cell]]:
    """Return the cells of each."""
    return [row.cells for row in judge({one.host: one for one in surveys}, backend)]


def cell(column: str, change: dict[str, Any] | None = None, **fields: Any) -> Cell:
    """Return one cell of a host among two that are good."""
    return cells(survey("a"), survey("b"), survey("c", change, **fields))[2][column]


def states(column: str, *surveys: Survey, backend: str = "ring") -> list[str]:
    """Return the status of one column by host."""
    return [found[column].status for found in cells(*surveys, backend=backend)]


# -- good


def test_good_hosts_are_good_in_every_column() -> None:
    rows = judge({name: survey(name) for name in "abc"})
    assert [row.status for row in rows] == ["ok", "ok", "ok"]
    for row in rows:
        assert tuple(row.cells) == COLUMNS
        assert {found.status for found in row.cells.values()} == {"ok"}
        assert not any(found.notes for found in row.cells.values())


def test_values_say_what_is_there() -> None:
    values = {name: found.value for name, found in cells(survey("a"))[0].items()}
    assert values == {
        "reachable": "yes",
        "host key": "ok",
        "python": "3.12.4",
        "environment": "3f2a9",
        "project": "77777",
        "mlx": "0.32.4",
        "mlx.core": "ok",
        "system": "15.3 M3 Ultra",
        "addresses": "ok",
        "neighbours": "1/1",
        "mpirun": "5.0.8",
        "clock": "0.0s",
        "disk": "800G",
        "memory": "480G",
        "leftovers": "none",
    }


# -- the connection


@pytest.mark.parametrize(
    ("failure", "reachable", "host_key"),
    [
        ("did not answer for 30 s", ("no", "fail"), ("-", "unknown")),
        ("ssh: connect to host a port 22: Connection refused: no sshd answers there", ("no", "fail"), ("-", "unknown")),
        ("Permission denied (publickey): ssh was refused; is the right user", ("denied", "fail"), ("ok", "ok")),
        ("Host key verification failed.: its host key is unknown; check it", ("yes", "ok"), ("unknown", "fail")),
        ("WARNING: REMOTE HOST: its host key has changed; check why", ("yes", "ok"), ("changed", "fail")),
    ],
)
def test_failures_of_the_connection_are_told_apart(failure: str, reachable: tuple[str, str], host_key: tuple[str, str]) -> None:
    found = cells(Survey("a", failure=failure))[0]
    assert (found["reachable"].value, found["reachable"].status) == reachable
    assert (found["host key"].value, found["host key"].status) == host_key
    failing = [one for one in found.values() if one.status == "fail"]
    assert len(failing) == 1
    assert failing[0].notes[0].startswith(failure)


def test_host_that_could_not_be_asked_is_unknown_in_all_else_and_no_majority() -> None:
    found = cells(Survey("a", failure="off"), survey("b"), survey("c"))
    assert {found[0][name].status for name in COLUMNS[2:]} == {"unknown"}
    assert {one.status for one in found[1].values()} == {"ok"}


def test_local_host_has_no_host_key() -> None:
    assert cell("reachable", local=True).value == "local"
    assert cell("host key", local=True).status == "unknown"


# -- Python, environment, project, MLX


def test_python_that_is_not_there_fails_and_hides_what_follows_from_it() -> None:
    found = cells(survey("a", {"python": {"problem": "/x is not there, or cannot be run"}, "environment": None}))[0]
    assert (found["python"].value, found["python"].status) == ("none", "fail")
    assert "set mlx_python" in found["python"].notes[0]
    assert [found[name].status for name in ("mlx", "mlx.core")] == ["unknown", "unknown"]


def test_python_of_an_environment_that_is_not_made_is_told_once() -> None:
    change = {"python": {"problem": "/e/bin/python is not there"}, "environment": {"state": "absent", "digest": ""}}
    found = cells(survey("a", change))[0]
    assert [name for name, one in found.items() if one.status == "fail"] == ["environment"]
    assert "mlxlaunch sync" in found["environment"].notes[0]


@pytest.mark.parametrize(("version", "status"), [("3.12.4", "ok"), ("3.12.7", "warn"), ("3.11.4", "fail")])
def test_python_version_is_held_against_the_majority(version: str, status: str) -> None:
    assert cell("python", {"python": {"version": version}}).status == status


def test_majority_is_what_most_have_and_with_as_many_the_first() -> None:
    old, new = {"python": {"mlx": "0.31.0"}}, {"python": {"mlx": "0.32.4"}}
    assert states("mlx", survey("a", old), survey("b", new), survey("c", new)) == ["fail", "ok", "ok"]
    assert states("mlx", survey("a", old), survey("b", new)) == ["ok", "fail"]


def test_python_at_another_path_is_worth_a_look() -> None:
    found = cell("python", {"python": {"path": "/other/python"}})
    assert found.status == "warn"
    assert "/other/python" in found.notes[0]


def test_python_for_the_wrong_chip_fails() -> None:
    found = cell("python", {"python": {"machine": "x86_64"}})
    assert found.status == "fail"
    assert "arm64" in found.notes[-1]


def test_a_warning_after_a_failure_leaves_it_a_failure() -> None:
    found = cell("python", {"python": {"version": "3.11.4", "path": "/other/python"}})
    assert (found.status, len(found.notes)) == ("fail", 2)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"state": "absent", "digest": ""}, "none"),
        ({"state": "incomplete", "digest": ""}, "part"),
        ({"problem": "packages in /e are not those it was made with"}, "edited"),
        ({"digest": OTHER}, "aaaaa"),
    ],
)
def test_environment_that_is_not_the_one_fails_with_the_command_that_helps(change: dict[str, Any], value: str) -> None:
    found = cell("environment", {"environment": change})
    assert (found.value, found.status) == (value, "fail")
    assert "mlxlaunch sync" in found.notes[0]


def test_environment_that_hosts_cannot_have_fails() -> None:
    found = cell("environment", {"environment": None}, environment_failure="no Python 3.12 here")
    assert (found.status, found.notes) == ("fail", ["no Python 3.12 here"])


@pytest.mark.parametrize(
    ("change", "value"), [({"state": "absent"}, "none"), ({"state": "edited", "edited": ["train.py", "a", "b", "c", "d"]}, "edited")]
)
def test_project_that_is_not_the_one_fails_with_the_command_that_helps(change: dict[str, Any], value: str) -> None:
    found = cell("project", {"project": change})
    assert (found.value, found.status) == (value, "fail")
    assert "mlxlaunch sync" in found.notes[0]


def test_script_that_is_not_on_a_host_fails() -> None:
    found = cell("project", {"project": None, "script": ["script /x/train.py is not there"]})
    assert found.status == "fail"
    assert "/x/train.py" in found.notes[0]


def test_nothing_deployed_and_nothing_asked_for_is_no_fault() -> None:
    bare: dict[str, Any] = {"environment": None, "project": None}
    found = cells(survey("a", bare, project=""), survey("b", bare, project=""))[0]
    assert (found["environment"].status, found["project"].status) == ("unknown", "unknown")


def test_missing_mlx_and_broken_mlx_fail_each_in_its_column() -> None:
    missing = cells(survey("a"), survey("b", {"python": {"mlx": "", "import_error": "No module named mlx"}}))[1]
    assert (missing["mlx"].status, missing["mlx.core"].status) == ("fail", "unknown")
    broken = cells(survey("a", {"python": {"import_error": "RuntimeError: no Metal device"}}))[0]
    assert (broken["mlx"].status, broken["mlx.core"].status) == ("ok", "fail")
    assert "no Metal device" in broken["mlx.core"].notes[0]


# -- the machine


def test_other_system_and_few_open_files_are_worth_a_look() -> None:
    assert cell("system", {"system": {"version": "14.7"}}).notes == ["is macOS 14.7, and macOS 15.3 on most hosts"]
    found = cell("system", {"open_files": 256})
    assert found.status == "warn"
    assert "launchctl limit maxfiles" in found.notes[0]
    assert cell("system", {"open_files": None}).status == "ok"


@pytest.mark.parametrize(
    ("offset", "uncertainty", "value", "status"),
    [
        (0.9, 0.0, "+0.9s", "ok"),
        (-1.5, 0.0, "-1.5s", "warn"),
        (1.5, 0.8, "+1.5s", "ok"),
        (90.0, 0.0, "+90.0s", "warn"),
        (600.0, 0.0, "+10min", "warn"),
        (-86400.0, 0.0, "-24h", "warn"),
    ],
)
def test_clock_more_than_a_second_off_is_worth_a_look(offset: float, uncertainty: float, value: str, status: str) -> None:
    found = cell("clock", offset=offset, uncertainty=uncertainty)
    assert (found.value, found.status) == (value, status)


def test_clock_note_says_which_way_and_how_to_set_it() -> None:
    assert cell("clock", offset=-5.0).notes == ["5.0s behind this machine's; set it (sudo sntp -sS time.apple.com)"]
    linux = cell("clock", {"system": {"name": "Debian"}}, offset=5.0)
    assert linux.notes == ["5.0s ahead of this machine's; set it (sudo timedatectl set-ntp true)"]


@pytest.mark.parametrize(("free", "status"), [(50 * 1024**2, "fail"), (300 * 1024**2, "warn"), (GIB, "ok")])
def test_full_disk_is_told(free: int, status: str) -> None:
    assert cell("disk", {"disk": {"free": free}}).status == status


def test_little_memory_is_worth_a_look_and_unknown_memory_is_not() -> None:
    assert cell("memory", {"memory": {"available": 10 * GIB}}).status == "warn"
    assert cell("memory", {"memory": {"available": None}}).value == "512G"
    assert cell("memory", {"memory": {"total": None, "available": None}}).status == "unknown"


# -- the network


def test_address_of_another_and_port_in_use_fail() -> None:
    wrong = cell("addresses", {"addresses": {"problems": ["does not own 10.0.0.9; it has en5 10.0.0.1"]}})
    assert (wrong.value, wrong.status) == ("wrong", "fail")
    assert wrong.notes[0].endswith("; set mlx_ips to its own")
    text = "port 10.0.0.1:32323 cannot be used: Address already in use; try another --starting-port"
    taken = cell("addresses", {"addresses": {"problems": [text]}, "leftovers": {"jobs": ["20260101-000000-abcdef"]}})
    assert (taken.value, taken.notes) == ("taken", [f"{text} (job 20260101-000000-abcdef runs there)"])


def link(errno: int, problem: str) -> Link:
    return Link("b", "10.0.0.2:32324", "10.0.0.1", tried=True, problem=problem, errno=errno)


def test_no_route_on_a_mac_hints_at_local_network_and_elsewhere_does_not() -> None:
    mac = cell("neighbours", links=[link(65, "No route to host")])
    assert (mac.value, mac.status) == ("0/1", "fail")
    assert mac.notes[0].startswith("cannot reach b at 10.0.0.2:32324 from 10.0.0.1: No route to host; on macOS 15")
    assert "Local Network" in mac.notes[0]
    linux = cell("neighbours", {"system": {"name": "Debian"}}, links=[link(113, "No route to host")])
    assert "Local Network" not in linux.notes[0]
    assert "cable" in linux.notes[0]


def test_refused_and_silent_neighbours_are_told_apart() -> None:
    assert "firewalls" in cell("neighbours", links=[link(61, "Connection refused")]).notes[0]
    assert "cable" in cell("neighbours", links=[link(60, "no answer")]).notes[0]
    assert "what answers there" in cell("neighbours", links=[link(0, "connected, but to something else")]).notes[0]


def test_neighbours_that_could_not_be_tried_are_nobody_s_fault() -> None:
    untried = Link("b", "10.0.0.2:32324")
    assert cell("neighbours", links=[untried]).status == "unknown"
    found = cell("neighbours", links=[untried, link(0, "")])
    assert (found.value, found.status) == ("1/2", "ok")


def test_many_broken_links_are_counted() -> None:
    found = cell("neighbours", links=[link(60, "no answer") for _ in range(9)])
    assert len(found.notes) == 5
    assert found.notes[-1] == "and 5 more connections"


def test_mpirun_matters_only_to_mpi() -> None:
    none = {"mpirun": {"path": "", "version": ""}}
    other = {"mpirun": {"path": "/usr/bin/mpirun", "version": "4.1.4"}}
    hosts = [survey("a"), survey("b"), survey("c", none), survey("d", other)]
    assert states("mpirun", *hosts) == ["ok", "ok", "unknown", "warn"]
    assert states("mpirun", *hosts, backend="mpi") == ["ok", "ok", "fail", "fail"]


# -- leftovers


def test_processes_of_jobs_that_are_over_fail_and_files_are_worth_a_look() -> None:
    found = cell("leftovers", {"leftovers": {"processes": [[17, "python", "j.0"]], "folders": ["/tmp/mlxlaunch-j-0"]}})
    assert (found.value, found.status) == ("2", "fail")
    assert found.notes[0] == "processes of jobs that are over: python (17); end them: kill 17"
    for name in ("folders", "staging", "environments"):
        assert cell("leftovers", {"leftovers": {name: ["/x"]}}).status == "warn"
    assert cell("leftovers", {"leftovers": {"jobs": ["j"]}}).value == "job"


# -- the table


def rows(*surveys: Survey) -> list[Row]:
    return judge({one.host: one for one in surveys})


def test_table_is_aligned_and_fits() -> None:
    text = render(rows(survey("studio-1"), survey("studio-2")))
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert [line.split()[0] for line in lines] == ["host", "studio-1", "studio-2"]
    text += "\n\n" + render(rows(survey("studio-1"), survey("studio-2")), 60)
    # Too wide for one: the rest stands below, with the hosts' names again.
    assert [line.split()[0] for line in text.splitlines() if line] == ["host", "studio-1", "studio-2"] * 4
    assert max(map(len, text.splitlines()[4:])) <= 60
    for block in text.split("\n\n"):
        head, *body = block.splitlines()
        starts = [at for at, char in enumerate(head) if char != " " and (at == 0 or head[at - 1] == " ")]
        for line in body:
            assert all(line[at] != " " and (at == 0 or line[at - 1] == " ") for at in starts)
    assert len(render(rows(survey("studio-1")), 200).splitlines()) == 2


def test_columns_that_say_nothing_of_any_host_are_left_out() -> None:
    bare: dict[str, Any] = {"environment": None, "project": None, "mpirun": {"path": "", "version": ""}}
    head = render(rows(survey("a", bare, project=""), survey("b", bare, project="")), 200).splitlines()[0].split()
    assert head == ["host", "ssh", "key", "python", "mlx", "core", "system", "addr", "ring", "clock", "disk", "mem", "left"]


def test_failing_cells_are_marked_and_explained_below_failures_first() -> None:
    text = render(rows(survey("a", offset=9.0), survey("b", {"python": {"mlx": ""}}), Survey("c", failure="off")), 200)
    table, below = text.split("\n\n")
    assert "+9.0s?" in table.splitlines()[1]
    assert "none!" in table.splitlines()[2]
    assert "no!" in table.splitlines()[3]
    assert [line.split()[:3] for line in below.splitlines()] == [["fail", "b", "mlx"], ["fail", "c", "reachable"], ["warn", "a", "clock"]]


def test_colour_changes_nothing_but_colour() -> None:
    found = rows(survey("a", offset=9.0), Survey("b", failure="off"))
    coloured = render(found, colour=True)
    assert "\033[1;31m" in coloured
    for code in ("\033[1;31m", "\033[33m", "\033[0m"):
        coloured = coloured.replace(code, "")
    assert [line.rstrip() for line in coloured.splitlines()] == render(found).splitlines()


def test_rows_survive_json() -> None:
    found = rows(survey("a", offset=9.0), Survey("b", failure="off"))
    again = [Row.from_json(json.loads(json.dumps(row.to_json()))) for row in found]
    assert again == found
    assert found[1].to_json()["status"] == "fail"


# -- who connects to whom


def test_each_host_tries_both_neighbours_from_the_address_on_the_same_network() -> None:
    places = [(name, (f"10.0.0.{at}", f"10.0.1.{at}")) for at, name in enumerate("abc", 1)]
    table = build_rank_table(places, 100)
    found = {(one.to, one.address, one.source) for one in links_of("b", table)}
    assert found == {
        ("a", "10.0.0.1:100", "10.0.0.2"),
        ("a", "10.0.1.1:101", "10.0.1.2"),
        ("c", "10.0.0.3:104", "10.0.0.2"),
        ("c", "10.0.1.3:105", "10.0.1.2"),
    }


def test_with_several_connections_per_address_each_port_is_tried() -> None:
    table = build_rank_table([("a", ("10.0.0.1", "10.0.1.1")), ("b", ("10.0.0.2", "10.0.1.2"))], 100, 2)
    assert [(one.address, one.source) for one in links_of("a", table)] == [
        ("10.0.0.2:104", "10.0.0.1"),
        ("10.0.0.2:105", "10.0.0.1"),
        ("10.0.1.2:106", "10.0.1.1"),
        ("10.0.1.2:107", "10.0.1.1"),
    ]


def test_ranks_on_one_host_are_no_neighbours_to_try_and_a_lone_host_has_none() -> None:
    table = build_rank_table([("a", ("10.0.0.1",)), ("a", ("10.0.0.1",)), ("b", ("10.0.0.2",))], 100)
    assert {one.address for one in links_of("a", table)} == {"10.0.0.2:102"}
    assert {one.address for one in links_of("b", table)} == {"10.0.0.1:100", "10.0.0.1:101"}
    assert links_of("a", build_rank_table([("a", ("127.0.0.1",))])) == []


def test_hosts_with_different_numbers_of_addresses_leave_the_source_to_the_system() -> None:
    table = build_rank_table([("a", ("10.0.0.1",)), ("b", ("10.0.0.2", "10.0.1.2"))], 100)
    assert {one.source for one in links_of("a", table)} == {""}
