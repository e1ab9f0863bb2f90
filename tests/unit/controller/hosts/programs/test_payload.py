"""The bytes of a program run on any Python, made for it or not, and are made once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_command
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.programs import closure, payload

OTHER_PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
SOURCES = {
    "a.main": f'''"""A part."""

# A comment.
from __future__ import annotations

import sys


def main():
    """Print how this part was loaded, and the line on which another one fails."""
    from {closure.PACKAGE}.a.late import fail  # Late: for this test.

    try:
        fail()
    except ValueError as exc:
        trace = exc.__traceback__.tb_next
        print(main.__doc__, fail.__doc__, trace.tb_frame.f_code.co_filename, trace.tb_lineno, ready, *sys.version_info[:2])
        sys.stdout.flush()


ready = sys.meta_path[0].exec_module.__globals__["ready"]
''',
    "a.late": '''"""Another part."""


def fail():
    """Fail.

    On a line that has to be told.
    """
    # A comment.
    raise ValueError
''',
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def run(data: bytes, python: str = sys.executable) -> list[str]:
    """Return the words that a program prints on a Python."""
    done = subprocess.run(["/bin/sh", "-c", host_command([python], data)], input=data, capture_output=True, check=True, timeout=60)
    return done.stdout.decode().split()


def test_code_made_for_this_python_is_run_as_it_is() -> None:
    assert run(payload.build(SOURCES, "a.main")) == ["None", "None", "late.py", "10", "True", *map(str, sys.version_info[:2])]


def test_code_that_a_function_imports_is_unpacked_then() -> None:
    main = f"""import sys


def main():
    late = sys.meta_path[0].find_spec.__globals__["late"]
    before = len(late)
    from {closure.PACKAGE}.a.other import x

    print(before, len(late), x)
    sys.stdout.flush()
"""
    assert run(payload.build({"a.main": main, "a.other": "x = 'x'\n"}, "a.main")) == ["1", "0", "x"]


def test_code_takes_future_annotations_and_no_module_for_them() -> None:
    main = "from __future__ import annotations\nimport sys\n\ndef main(of: nobody = None):\n"
    main += "    print(main.__annotations__['of'], '__future__' in sys.modules)\n    sys.stdout.flush()\n"
    assert run(payload.build({"a.main": main}, "a.main")) == ["nobody", "False"]


@pytest.mark.parametrize("what", ["bytecode", "implementation"])
def test_sources_are_compiled_where_the_code_is_for_another_python(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "bytecode":
        monkeypatch.setattr(payload, "MAGIC_NUMBER", b"none")
    else:
        monkeypatch.setattr(sys.implementation, "name", "another")
    data = payload.build(SOURCES, "a.main")
    monkeypatch.undo()
    assert run(data) == ["None", "None", "late.py", "10", "False", *map(str, sys.version_info[:2])]


@pytest.mark.parametrize("python", OTHER_PYTHONS, ids=[path.parts[-3] for path in OTHER_PYTHONS])
def test_program_runs_on_other_pythons(python: Path) -> None:
    version = [int(word) for word in python.parts[-3].split(".")[:2]]
    if version < [3, 9]:
        pytest.skip("no Python for a host")
    same = version == list(sys.version_info[:2])
    assert run(payload.build(SOURCES, "a.main"), str(python))[3:] == ["10", str(same), *map(str, version)]


def test_stripped_source_has_the_same_code_on_the_same_lines() -> None:
    for part, text in {**closure.closure("launch.supervisor"), **closure.closure("agent.main")}.items():
        compiled = (compile(each, part, "exec", dont_inherit=True, optimize=2) for each in (text, payload.stripped(text)))
        first, second = (
            [(code.co_name, code.co_code, [line for *_, line in code.co_lines()]) for code in codes(each)] for each in compiled
        )
        assert first == second, part
        assert len(payload.stripped(text).splitlines()) == len(text.splitlines())


def codes(top: object) -> list[object]:
    """Return a code object and all that it holds."""
    return [top, *(below for each in top.co_consts if hasattr(each, "co_code") for below in codes(each))]  # type: ignore[attr-defined]


def test_text_that_looks_like_a_comment_stays() -> None:
    text = 'X = """\n# no comment\n"""\n# a comment\n'
    assert payload.stripped(text) == 'X = """\n# no comment\n"""\n\n'
    assert payload.stripped("# one\n'text'\n") == '\n""\n'


def test_program_is_made_once_until_a_file_changes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(payload, "build", lambda _sources, main: made.append(main) or b"program")
    assert payload.program("agent.main") == payload.program("agent.main") == b"program"
    assert made == ["agent.main"]
    monkeypatch.setattr(payload, "_state", lambda: b"another")
    assert payload.program("agent.main") == b"program"
    assert made == ["agent.main"] * 2
    [kept] = (cache / "mlxlaunch" / "programs").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["damaged", "cut", "writable by others"])
def test_program_in_the_cache_that_is_not_as_it_was_left_is_made_again(what: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "build", lambda _sources, _main: b"program")
    payload.program("agent.main")
    [kept] = (cache / "mlxlaunch" / "programs").iterdir()
    if what == "writable by others":
        kept.chmod(0o622)
    else:
        kept.write_bytes(kept.read_bytes()[:-1] + (b"M" if what == "damaged" else b""))
    monkeypatch.setattr(payload, "build", lambda _sources, _main: b"again")
    assert payload.program("agent.main") == b"again"


def test_state_tells_a_changed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "FOLDER", tmp_path)
    part = tmp_path / "part.py"
    part.write_text("1")
    before = payload._state()
    os.utime(part, ns=(1, 1))
    assert payload._state() != before
