"""Which mpirun a host has, and the library that goes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.host.mpirun import describe, find, folders, libmpi

FIVE = "echo 'mpirun (Open MPI) 5.0.11'; echo; echo 'Report bugs to https://www.open-mpi.org/community/help/'"
FOUR = "echo 'mpirun (Open MPI) 4.1.4'"


def make(prefix: Path, script: str = FIVE, library: str | None = "lib/libmpi.so.40") -> str:
    """Install a program that tells its version, and a library; return the program's path."""
    program = prefix / "bin/mpirun"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    if library:
        add(prefix, library)
    return str(program)


def add(prefix: Path, *libraries: str) -> None:
    for library in libraries:
        (prefix / library).parent.mkdir(parents=True, exist_ok=True)
        (prefix / library).touch()


def test_only_what_is_there_is_found(tmp_path: Path) -> None:
    five, four = make(tmp_path / "five"), make(tmp_path / "four", FOUR)
    (tmp_path / "plain/bin").mkdir(parents=True)
    (tmp_path / "plain/bin/mpirun").touch(mode=0o644)
    (tmp_path / "directory/bin/mpirun").mkdir(parents=True)
    others = [str(tmp_path / name / "bin/mpirun") for name in ("plain", "directory", "missing")]
    assert find([*others, four, five], lambda _path: "") == {
        four: {"version": "4.1.4", "libmpi": str(tmp_path / "four/lib/libmpi.so.40"), "folders": [str(tmp_path / "four/bin")]},
        five: {"version": "5.0.11", "libmpi": str(tmp_path / "five/lib/libmpi.so.40"), "folders": [str(tmp_path / "five/bin")]},
    }


def test_folders_are_those_of_links_and_of_where_they_lead(tmp_path: Path) -> None:
    """The daemon may come from a package of its own."""
    brew, mpi, prrte = (tmp_path / name for name in ("brew/bin", "Cellar/open-mpi/bin", "Cellar/prrte/bin"))
    for folder, program in ((mpi, "mpirun"), (prrte, "prted")):
        folder.mkdir(parents=True)
        (folder / program).touch()
    brew.mkdir(parents=True)
    (brew / "mpirun").symlink_to(mpi / "mpirun")
    (brew / "prted").symlink_to(prrte / "prted")
    assert folders(str(brew / "mpirun")) == sorted(map(str, (brew, mpi, prrte)))


def test_program_behind_a_link_has_the_library_of_where_it_leads(tmp_path: Path) -> None:
    """As Homebrew and Debian's alternatives have it."""
    cellar = make(tmp_path / "Cellar/open-mpi/5.0.8", library="lib/libmpi.40.dylib")
    link = tmp_path / "brew/bin/mpirun"
    link.parent.mkdir(parents=True)
    link.symlink_to(cellar)
    assert describe(str(link))["libmpi"] == str(tmp_path / "Cellar/open-mpi/5.0.8/lib/libmpi.40.dylib")
    # What stands beside the link is preferred: it stays when the version changes.
    add(tmp_path / "brew", "lib/libmpi.40.dylib")
    assert describe(str(link))["libmpi"] == str(tmp_path / "brew/lib/libmpi.40.dylib")


@pytest.mark.parametrize(
    ("libraries", "wanted"),
    [
        (["lib/libmpi.so.40.30.4", "lib/libmpi.so.40"], "lib/libmpi.so.40"),
        (["lib64/libmpi.so.40"], "lib64/libmpi.so.40"),
        (["lib/x86_64-linux-gnu/libmpi.so.40", "lib/x86_64-linux-gnu/libmpi.so.40.30.4"], "lib/x86_64-linux-gnu/libmpi.so.40"),
        (["lib/aarch64-linux-gnu/libmpi.so.40"], "lib/aarch64-linux-gnu/libmpi.so.40"),
        (["lib/libmpi.dylib", "lib/libmpi.40.dylib"], "lib/libmpi.40.dylib"),
        (["lib/libmpi.dylib"], "lib/libmpi.dylib"),
        (["lib/libmpi_cxx.so.40", "lib/libmpi_mpifh.so.40", "lib/libmpi.so.40"], "lib/libmpi.so.40"),
    ],
)
def test_library_is_the_one_that_programs_load(tmp_path: Path, libraries: list[str], wanted: str) -> None:
    program = make(tmp_path / "[p]re*fix?", library=None)
    add(tmp_path / "[p]re*fix?", *libraries)
    assert libmpi(program) == str(tmp_path / "[p]re*fix?" / wanted)


@pytest.mark.parametrize("libraries", [[], ["lib/libmpi_cxx.so.40", "lib/libmpich.so.12", "lib/libmpi.so"]])
def test_program_without_a_library_is_none_to_use(tmp_path: Path, libraries: list[str]) -> None:
    program = make(tmp_path, library=None)
    add(tmp_path, *libraries)
    assert describe(program) == {"error": f"no libmpi was found beside {program} (looked for lib/libmpi.*)"}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'HYDRA build details:'; echo '    Version: 4.1'", "HYDRA build details:"),
        ("echo 'Intel(R) MPI Library for Linux* OS, Version 2021.11' >&2", "Intel(R) MPI Library for Linux* OS, Version 2021.11"),
        ("exit 7", "status 7"),
        ("printf '\\377\\n'", "\ufffd"),
        (f"echo {'x' * 500}", "x" * 120),
    ],
)
def test_another_mpi_is_told_by_what_it_says(tmp_path: Path, script: str, said: str) -> None:
    program = make(tmp_path, script)
    assert describe(program) == {"error": f"{program} is not Open MPI; it says: {said}"}


def test_version_of_a_candidate_for_release_is_a_version(tmp_path: Path) -> None:
    assert describe(make(tmp_path, "echo 'mpirun (Open MPI) 5.1.0rc2'"))["version"] == "5.1.0"


def test_program_that_cannot_be_executed_says_why(tmp_path: Path) -> None:
    program = Path(make(tmp_path))
    program.write_text("#!/nowhere/sh\n")
    assert describe(str(program)) == {"error": f"{program} --version: No such file or directory"}


def test_program_does_not_wait_for_input(tmp_path: Path) -> None:
    assert describe(make(tmp_path, f"read line && exit 1\n{FOUR}"))["version"] == "4.1.4"


def test_mpirun_that_must_not_be_run_is_not(tmp_path: Path) -> None:
    program = make(tmp_path, f"touch '{tmp_path}/ran'\n{FOUR}")
    assert find([program], lambda path: f"{path} belongs to eve") == {program: {"error": f"{program} belongs to eve"}}
    assert not (tmp_path / "ran").exists()
