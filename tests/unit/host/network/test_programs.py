"""Programs that run side by side, and the bounds of each."""

from __future__ import annotations

import sys
import time

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.network import programs


def run(*argv: str, seconds: float = 20.0, gone: bool = False) -> tuple[dict[str, str], dict[str, str]]:
    return programs.run_all({"answer": (list(argv), seconds)}, lambda: gone)


def python(code: str, **how: float | bool) -> tuple[dict[str, str], dict[str, str]]:
    return run(sys.executable, "-c", code, **how)  # type: ignore[arg-type]


def test_answer_is_the_output_as_it_is() -> None:
    assert python("import sys; print('one\\ntwo'); print('noise', file=sys.stderr)") == ({"answer": "one\ntwo\n"}, {})


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('no such thing', file=sys.stderr); sys.exit(4)", "exit status 4: no such thing"),
        ("import sys; print('said on stdout'); sys.exit(1)", "exit status 1: said on stdout"),
        ("import os; os.abort()", "exit status -6"),
    ],
)
def test_failure_has_its_reason(code: str, reason: str) -> None:
    assert python(code) == ({}, {"answer": reason})


def test_missing_program_is_a_reason() -> None:
    assert run("/no/such/program") == ({}, {"answer": "/no/such/program: No such file or directory"})


def test_program_without_end_is_killed_with_its_children() -> None:
    started = time.monotonic()
    assert python("import subprocess; subprocess.run(['sleep', '60'])", seconds=0.3) == ({}, {"answer": "no answer within 0.3 s"})
    assert time.monotonic() - started < 50  # its child would take 60


def test_program_that_closes_its_output_and_goes_on_is_killed() -> None:
    # A shell has started, and closed them, before its time is over.
    program = ("/bin/sh", "-c", "exec >&- 2>&-; sleep 60")
    assert run(*program, seconds=2.0) == ({}, {"answer": "no end within 2 s"})


def test_nothing_is_waited_for_when_nobody_wants_it() -> None:
    assert run("sleep", "60", gone=True) == ({}, {"answer": "nobody waits for it"})


def test_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MOST", 1024 * 1024)
    assert run("yes") == ({}, {"answer": "its answer is longer than 1 MiB"})


def test_programs_run_at_the_same_time() -> None:
    # Each waits for a file that the other makes.
    code = "import pathlib, sys, time; a, b = map(pathlib.Path, sys.argv[1:]); a.touch()\nwhile not b.exists(): time.sleep(0.01)"
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/one", f"{folder}/two"]
        commands = {f"{at}.txt": ([sys.executable, "-c", code, *(files[::step])], 100.0) for at, step in ((1, 1), (2, -1))}
        assert programs.run_all(commands, lambda: False) == ({"1.txt": "", "2.txt": ""}, {})


def test_answers_are_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert python("import os; print(os.environ['LC_ALL'])") == ({"answer": "C\n"}, {})
