"""The hint for a module or a file that is missing on a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.launch.missing_module import file_hint, import_hint

TAIL = ["Traceback (most recent call last):", '  File "train.py", line 1, in <module>', "ModuleNotFoundError: No module named '{}'"]


@pytest.mark.parametrize(
    ("name", "alone", "hint"),
    [
        ("pytest.mark", True, "pytest is installed here, and not where the rank ran; bring it with --environment (mlx_environment)"),
        ("helper", True, "if it is yours, name its directory with --project-dir (mlx_project_dir)"),
        ("helper", False, "helper is neither in the project as it was sent, nor installed where the rank ran"),
    ],
)
def test_hint_names_the_way_to_bring_a_module(name: str, alone: bool, hint: str) -> None:
    tail = [line.format(name) for line in TAIL]
    assert hint in import_hint(tail, brought=True, alone=alone)
    assert import_hint(tail, brought=False, alone=alone) == ""


def test_other_failures_get_no_hint() -> None:
    assert import_hint(["ValueError: No module named 'x'"], brought=True, alone=True) == ""
    assert import_hint([], brought=True, alone=True) == ""


NO_FILE = "FileNotFoundError: [Errno 2] No such file or directory: '{}'"


@pytest.mark.parametrize(
    ("name", "brought", "alone", "hinted"),
    [
        ("data.txt", True, True, True),
        ("conf/a b.yml", True, True, True),
        ("nowhere.txt", True, True, False),
        ("../data.txt", True, True, False),
        ("/etc/passwd", True, True, False),
        ("data.txt", False, True, False),
        ("data.txt", True, False, False),
    ],
)
def test_file_that_is_here_has_a_hint(name: str, brought: bool, alone: bool, hinted: bool, tmp_path: Path) -> None:
    (tmp_path / "here/conf").mkdir(parents=True)
    for path in ("here/data.txt", "here/conf/a b.yml", "data.txt"):
        (tmp_path / path).touch()
    here = str(tmp_path / "here")
    hint = f"{name} is in {here} here, and did not go with the script; bring that directory with --project-dir . (mlx_project_dir)"
    assert file_hint([*TAIL[:2], NO_FILE.format(name)], brought=brought, alone=alone, here=here) == (hint if hinted else "")
