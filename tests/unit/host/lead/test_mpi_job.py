"""A job whose ranks mpirun connects: its command line, the mpirun that is used, and its daemons."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.launch.mpi_side import AGENT
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.mpi_job import (
    CHANNEL,
    SSH,
    MpiJob,
    NotADaemon,
    NotAHost,
    split_commands,
)
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.mpi import labels, runnable
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from tests.unit.jobs import ranks_on

ENV, BREW, LOCAL, SYSTEM = "/e/bin/mpirun", "/opt/homebrew/bin/mpirun", "/usr/local/bin/mpirun", "/usr/bin/mpirun"

# What mpirun has given its agent as COMMAND, the words joined by spaces.
FIVE = (
    "PRTE_PREFIX=/e;export PRTE_PREFIX;PMIX_PREFIX=/e;export PMIX_PREFIX;LD_LIBRARY_PATH=/e/lib:/e/lib:$LD_LIBRARY_PATH;"
    "export LD_LIBRARY_PATH;DYLD_LIBRARY_PATH=/e/lib:/e/lib:$DYLD_LIBRARY_PATH;export DYLD_LIBRARY_PATH;/e/bin/prted --daemonize "
    '--allow-run-as-root --prtemca ess "env" --prtemca ess_base_nspace "prterun-vm-23201@0" --prtemca ess_base_vpid 1 '
    '--prtemca ess_base_num_procs "3" --prtemca prte_hnp_uri '
    '"prterun-vm-23201@0.0;tcp://198.18.0.1:48539:64,24;tcp6://[fd00::2]:60549:64,24" --prtemca plm_ssh_agent "/x/agent.sh" '
    '--prtemca plm_ssh_no_tree_spawn "1" --prtemca plm "ssh"'
)
FOUR = (
    "          PATH=/usr/bin:$PATH ; export PATH ; LD_LIBRARY_PATH=/usr/lib:${LD_LIBRARY_PATH:-} ; export LD_LIBRARY_PATH ; "
    "DYLD_LIBRARY_PATH=/usr/lib:${DYLD_LIBRARY_PATH:-} ; export DYLD_LIBRARY_PATH ;   /usr/bin/orted --daemonize -mca ess "
    '"env" -mca ess_base_jobid "911278080" -mca ess_base_vpid 2 -mca ess_base_num_procs "3" -mca orte_node_regex '
    '"vm,[2:10].99.0.2,[2:10].99.0.3@0(3)" -mca orte_hnp_uri "911278080.0;tcp://198.18.0.1:56175;tcp6://[fd00::2]:47107" '
    '--mca plm_rsh_agent "/x/agent.sh" --mca plm_rsh_no_tree_spawn "1" -mca plm "rsh" -mca pmix "^s1,s2,cray,isolated"'
)


MPIRUN_OF = {FIVE: ENV, FOUR: SYSTEM}


def job(*hosts: str, **changes: Any) -> MpiJob:
    """Return the job of one rank per name, for hosts a and b if not said."""
    table = ranks_on(*(hosts or ("a", "b")))
    names = labels(table, {host: host for host in table.hosts}, CHANNEL)
    shim = runnable(host_sources().mpi_shim)
    return replace(MpiJob("job-1", table, names, [ENV, BREW, LOCAL, SYSTEM, "/bin/mpirun"], python="/e/bin/python", shim=shim), **changes)


def facts(paths: Mapping[str, str | dict[str, str]], hostname: str = "", uid: int = 501) -> dict[str, Any]:
    """Return what a host says: the version, or all that is known, of each mpirun."""
    known = {
        path: {"version": what, "libmpi": f"{path.removesuffix('/bin/mpirun')}/lib/libmpi.so.40"} if isinstance(what, str) else what
        for path, what in paths.items()
    }
    return {"hostname": hostname, "uid": uid, "mpirun": known}


def option(words: list[str], name: str) -> str:
    """Return the word after an option that stands once."""
    (at,) = [at for at, word in enumerate(words) if word == name]
    return words[at + 1]


# -- the command line


def test_command_of_the_fifth_series() -> None:
    words = job().command(ENV, "5.0.8", root=False)
    program = words.index("/bin/sh")
    assert words[:program] == [
        *(ENV, "--prtemca", "plm", "ssh", "--prtemca", "plm_ssh_agent", AGENT, "--prtemca", "plm_ssh_no_tree_spawn", "1"),
        *("--map-by", "slot", "--bind-to", "none", "--host", "localhost:1,10.0.0.2:1", "-np", "2", "--wdir", "/"),
    ]


def test_command_of_the_fourth_series_as_root() -> None:
    words = job("a", "a", "b").command(SYSTEM, "4.1.4", root=True)
    program = words.index("/bin/sh")
    assert words[:program] == [
        *(SYSTEM, "--allow-run-as-root", "--mca", "plm", "rsh", "--mca", "plm_rsh_agent", AGENT, "--mca", "plm_rsh_no_tree_spawn", "1"),
        *("--map-by", "slot", "--bind-to", "none", "--host", "localhost:2,10.0.0.2:1", "-np", "3", "--wdir", "/"),
    ]


@pytest.mark.parametrize("version", ["4.1.4", "5.0.8"])
def test_with_ssh_mpirun_starts_its_daemons_as_it_likes(version: str) -> None:
    assert not [word for word in job(agent=SSH).command(ENV, version, root=False) if "plm" in word or word == AGENT]


def test_arguments_of_the_user_come_last_and_before_the_program() -> None:
    words = job(args=["-x", "A=two words", "--mca", "btl", "tcp,self"]).command(ENV, "5.0.8", root=False)
    at = words.index("--wdir")
    assert words[at + 2 : words.index("/bin/sh")] == ["-x", "A=two words", "--mca", "btl", "tcp,self"]


@pytest.mark.parametrize("given", ["--map-by", "-map-by", "--rank-by", "--rankfile", "-rf"])
def test_a_mapping_of_the_user_takes_the_place_of_ours(given: str) -> None:
    words = job(args=[given, "x"]).command(ENV, "5.0.8", root=False)
    assert option(words, given) == "x"
    assert "slot" not in words
    assert option(words, "--bind-to") == "none"


@pytest.mark.parametrize("given", ["--bind-to", "-bind-to"])
def test_a_binding_of_the_user_takes_the_place_of_ours(given: str) -> None:
    words = job(args=[given, "core"]).command(ENV, "5.0.8", root=False)
    assert option(words, given) == "core"
    assert "none" not in words
    assert option(words, "--map-by") == "slot"


def test_value_that_reads_like_an_option_s_name_is_none() -> None:
    words = job(args=["-x", "map-by"]).command(ENV, "5.0.8", root=False)
    assert option(words, "--map-by") == "slot"


def test_stand_in_is_run_by_the_rank_s_python_or_another() -> None:
    words = job(python="/it's here/python").command(ENV, "5.0.8", root=False)
    shell, flag, script, source, role, number = words[words.index("/bin/sh") :]
    assert (shell, flag, role, number) == ("/bin/sh", "-c", "rank", "job-1")
    assert source.endswith("\nmain()\n")
    compile(source, "stand-in", "exec")
    tried = shlex.split(script.partition(";")[0])
    assert tried[:5] == ["for", "python", "in", "/it's here/python", "/opt/homebrew/bin/python3"]


# -- which mpirun is used


def test_first_that_is_on_every_host_is_used() -> None:
    settled = job().decide(
        {"a": facts({ENV: "5.0.8", BREW: "5.0.7", SYSTEM: "4.1.4"}, "x", uid=0), "b": facts({SYSTEM: "4.1.4", BREW: "5.0.7"}, "y")}
    )
    assert settled.problems == {}
    assert settled.go["b"] == {"libmpi": "/opt/homebrew/lib/libmpi.so.40"}
    assert settled.go["a"] == {
        "libmpi": "/opt/homebrew/lib/libmpi.so.40",
        "mpirun": job().command(BREW, "5.0.7", root=True),
    }


def test_library_of_each_host_is_its_own() -> None:
    other = {"version": "4.1.4", "libmpi": "/usr/lib/aarch64-linux-gnu/libmpi.so.40"}
    settled = job().decide({"a": facts({SYSTEM: "4.1.4"}, "x"), "b": facts({SYSTEM: other}, "y")})
    assert {host: go["libmpi"] for host, go in settled.go.items()} == {"a": "/usr/lib/libmpi.so.40", "b": other["libmpi"]}


def problems_of(a: Mapping[str, Any], b: Mapping[str, Any], first: str = "x", second: str = "y") -> Mapping[str, list[str]]:
    """Return what keeps a job from being started, by host; nobody is told to go then."""
    settled = job().decide({"a": facts(a, first), "b": facts(b, second)})
    assert settled.problems
    assert settled.go == {}
    return settled.problems


def test_missing_on_one_host_names_it_and_where_was_looked() -> None:
    found = problems_of({SYSTEM: "4.1.4"}, {})
    assert list(found) == ["b"]
    (text,) = found["b"]
    assert all(path in text for path in (ENV, BREW, LOCAL, SYSTEM))
    assert "set mlx_mpirun" in text


def test_different_paths_are_told_for_every_host() -> None:
    found = problems_of({SYSTEM: "4.1.4"}, {BREW: "5.0.7", LOCAL: "4.1.4"})
    assert {host: text for host, (text,) in found.items()} == {
        "a": f"mpirun is at {SYSTEM} here; it has to be at one path on all hosts",
        "b": f"mpirun is at {BREW}, {LOCAL} here; it has to be at one path on all hosts",
    }


def test_different_versions_name_the_host_unlike_the_first() -> None:
    found = problems_of({SYSTEM: "4.1.4"}, {SYSTEM: "4.1.6"})
    assert found == {"b": [f"{SYSTEM} is Open MPI 4.1.6 here and 4.1.4 on a, where it would run; it has to be the same"]}


def test_version_that_nobody_has_tried_is_refused() -> None:
    assert problems_of({SYSTEM: "3.1.6"}, {SYSTEM: "3.1.6"}) == {"a": [f"{SYSTEM} is Open MPI 3.1.6; 4.1 and 5.0 are known to work"]}


def test_fault_of_an_mpirun_is_a_problem_of_its_host() -> None:
    error = f"{SYSTEM} is not Open MPI; it says: HYDRA build details"
    assert problems_of({SYSTEM: "4.1.4"}, {SYSTEM: {"error": error}}) == {"b": [error]}


def test_usable_mpirun_is_preferred_to_an_unusable_one_before() -> None:
    other = {"error": f"{LOCAL} is not Open MPI; it says: HYDRA build details"}
    settled = job().decide({"a": facts({LOCAL: other, SYSTEM: "4.1.4"}, "x"), "b": facts({LOCAL: other, SYSTEM: "4.1.4"}, "y")})
    assert settled.problems == {}
    assert settled.go["a"]["mpirun"][0] == SYSTEM


@pytest.mark.parametrize(("first", "second"), [("mac", "mac"), ("mac.local", "mac.lan")])
def test_hosts_with_one_name_are_told_apart_first(first: str, second: str) -> None:
    found = problems_of({SYSTEM: "4.1.4"}, {SYSTEM: "4.1.4"}, first, second)
    assert list(found) == ["a", "b"]
    assert "calls itself mac, as b does" in found["a"][0]
    assert "as a does" in found["b"][0]
    assert "scutil" in found["a"][0]


def test_addresses_for_host_names_are_names_as_a_whole() -> None:
    settled = job().decide({"a": facts({SYSTEM: "4.1.4"}, "10.0.0.1"), "b": facts({SYSTEM: "4.1.4"}, "10.0.0.2")})
    assert settled.problems == {}


# -- its daemons


def daemon(words: list[str], host: str = "10.0.0.2", mpirun: str = ENV, **known: Any) -> tuple[str, dict[str, Any]]:
    """Return what host b is told about a daemon of this mpirun."""
    one = {"version": "5.0.8", "libmpi": "/lib", **known}
    return job().daemon(host, words, {name: facts({mpirun: one}, name) for name in ("a", "b")})


@pytest.mark.parametrize(
    ("line", "argv0", "rest", "env"),
    [
        (
            FIVE,
            "/e/bin/prted",
            "--prtemca prte_hnp_uri prterun-vm-23201@0.0;tcp://198.18.0.1:48539:64,24;tcp6://[fd00::2]:60549:64,24",
            {"PRTE_PREFIX": "/e", "PMIX_PREFIX": "/e", "LD_LIBRARY_PATH": "/e/lib:/e/lib", "DYLD_LIBRARY_PATH": "/e/lib:/e/lib"},
        ),
        (
            FOUR,
            "/usr/bin/orted",
            "-mca orte_hnp_uri 911278080.0;tcp://198.18.0.1:56175;tcp6://[fd00::2]:47107",
            {"LD_LIBRARY_PATH": "/usr/lib", "DYLD_LIBRARY_PATH": "/usr/lib"},
        ),
    ],
    ids=["5.0", "4.1"],
)
def test_daemon_is_started_as_wanted_but_stays_with_its_parent(line: str, argv0: str, rest: str, env: dict[str, str]) -> None:
    host, wanted = daemon(line.split(), mpirun=MPIRUN_OF[line])
    assert host == "b"
    assert wanted["argv"][0] == argv0
    assert "--daemonize" not in wanted["argv"]
    assert rest in " ".join(wanted["argv"])
    assert not [word for word in wanted["argv"] if '"' in word or word.startswith(";") or "=" in word]
    assert len(wanted["argv"]) == len(shlex.split(line[line.index(argv0) :])) - 1
    assert wanted["env"] == env
    json.dumps(wanted)


@pytest.mark.parametrize("line", [FIVE, FOUR], ids=["5.0", "4.1"])
def test_daemon_is_the_same_however_mpirun_cuts_its_words(line: str) -> None:
    ways = [daemon(words, mpirun=MPIRUN_OF[line]) for words in ([line], line.split(), line.split(" "))]
    assert ways[0] == ways[1] == ways[2]


def test_profile_that_mpirun_has_a_plain_shell_read_is_left_out() -> None:
    """So the fourth series asks for it when the user's shell is /bin/sh or ksh."""
    line = f"( test ! -r ./.profile || . ./.profile; {FOUR.strip()} )"
    assert daemon(line.split(), mpirun=SYSTEM) == daemon(FOUR.split(), mpirun=SYSTEM)


CSH = (
    "setenv PRTE_PREFIX /e;setenv PMIX_PREFIX /e;if ( $?LD_LIBRARY_PATH == 1 ) set PRTE_have_llp;if ( $?LD_LIBRARY_PATH == 0 ) "
    "setenv LD_LIBRARY_PATH /e/lib:/e/lib;if ( $?PRTE_have_llp == 1 ) setenv LD_LIBRARY_PATH /e/lib:/e/lib:$LD_LIBRARY_PATH;"
    '/e/bin/prted --daemonize --prtemca ess "env"'
)


def test_variables_are_found_in_the_words_for_csh() -> None:
    assert daemon(CSH.split()) == (
        "b",
        {
            "argv": ["/e/bin/prted", "--prtemca", "ess", "env"],
            "env": {"PRTE_PREFIX": "/e", "PMIX_PREFIX": "/e", "LD_LIBRARY_PATH": "/e/lib:/e/lib"},
        },
    )


@pytest.mark.parametrize(
    "line",
    [
        ")",
        "( /e/bin/prted",
        "/bin/sh -c 'echo $SHELL'",
        "echo",
        "prted --daemonize",
        "./prted",
        "/bin/rm -rf / ; ",
        "/e/bin/prted ; /bin/rm -rf /",
        "",
        ";",
        "A=/e/bin/prted",
        "/e/bin/prtedx",
        "/e/bin/prted/x",
        "/tmp/prted",
        "/e/prted",
        "/e/bin/x/prted",
        "/e/bin/../bin/prted",
        "/e/bin//prted",
        "//e/bin/prted",
        "/usr/bin/orted",
        "/e/bin/mpirun",
    ],
)
def test_nothing_but_its_daemon_is_run(line: str) -> None:
    with pytest.raises(NotADaemon, match="not its daemon"):
        daemon(line.split(" "))


def test_line_whose_quote_is_not_closed_is_refused() -> None:
    with pytest.raises(NotADaemon, match="not its daemon"):
        daemon(['/e/bin/prted "x'])


@pytest.mark.parametrize("host", ["c", "b", "10.0.0.1", "", "a"])
def test_no_daemon_is_started_on_a_host_that_is_not_of_the_job(host: str) -> None:
    with pytest.raises(NotAHost, match="no host of this job"):
        daemon(FIVE.split(), host)


def test_daemon_may_stand_where_the_host_s_own_links_lead() -> None:
    brew = {"folders": ["/opt/homebrew/bin", "/opt/homebrew/Cellar/open-mpi/5.0.8/bin"]}
    line = "LD_LIBRARY_PATH=/opt/homebrew/Cellar/open-mpi/5.0.8/lib;/opt/homebrew/Cellar/open-mpi/5.0.8/bin/prted"
    assert daemon([line], mpirun=BREW, **brew)[1] == {
        "argv": ["/opt/homebrew/Cellar/open-mpi/5.0.8/bin/prted"],
        "env": {"LD_LIBRARY_PATH": "/opt/homebrew/Cellar/open-mpi/5.0.8/lib"},
    }
    with pytest.raises(NotADaemon):
        daemon([line], mpirun=BREW)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("/e/lib:/tmp/evil", {"LD_LIBRARY_PATH": "/e/lib"}),
        ("/tmp/evil:/e/lib/openmpi", {"LD_LIBRARY_PATH": "/e/lib/openmpi"}),
        ("/e/lib/../../tmp/evil", {}),
        ("/elsewhere", {}),
        ("lib:.:", {}),
        ("$HOME/evil", {}),
    ],
)
def test_libraries_come_from_below_its_prefix_only(value: str, kept: dict[str, str]) -> None:
    assert daemon([f"LD_LIBRARY_PATH={value};/e/bin/prted"])[1]["env"] == kept


def test_root_directory_is_no_prefix() -> None:
    assert daemon(["OPAL_PREFIX=/tmp/evil;/bin/orted"], mpirun="/bin/mpirun")[1]["env"] == {}


@pytest.mark.parametrize(
    "assignment",
    ["LD_PRELOAD=/x.so", "PYTHONPATH=/x", "BASH_ENV=/x", "MLXLAUNCH_JOB=x", "XLD_LIBRARY_PATH=/x", "PATH=/x", "LD_LIBRARY_PATH="],
)
def test_no_other_variable_comes_with_it(assignment: str) -> None:
    assert daemon([f"{assignment};/e/bin/prted"]) == ("b", {"argv": ["/e/bin/prted"], "env": {}})


# -- a line for a shell


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("a b", [["a", "b"]]),
        ("a;b", [["a"], ["b"]]),
        ("a ; b;c d", [["a"], ["b"], ["c", "d"]]),
        ("a \"x;y\" 'p;q r'", [["a", "x;y", "p;q r"]]),
        ("a;", [["a"], []]),
        ("a;;b", [["a"], ["b"]]),
        ("a # b", [["a", "#", "b"]]),
        ('A="x y"z', [["A=x yz"]]),
        ("$HOME `id` $(id)", [["$HOME", "`id`", "$(id)"]]),
        ("", [[]]),
    ],
)
def test_commands_of_a_line(line: str, commands: list[list[str]]) -> None:
    assert split_commands(line) == commands


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda word: set(word) != {";"})


@given(st.lists(st.lists(WORDS, min_size=1), min_size=1))
def test_any_quoted_words_are_found_again(commands: list[list[str]]) -> None:
    assert split_commands(" ; ".join(shlex.join(words) for words in commands)) == commands
