"""The modules beside a script: those that Python would take from there, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.imports.neighbours import Neighbours, find_neighbours
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.imports.statements import Import, imports_of

# What stands beside train.py (path: content), and what is found (files, packages), by what train.py says.
CASES: dict[str, tuple[dict[str, str], list[str], list[str]]] = {
    "import helper": ({"helper.py": "", "unused.py": ""}, ["helper.py"], []),
    "import helper # by way of another": ({"helper.py": "import other", "other.py": "import helper, train"}, ["helper.py", "other.py"], []),
    "import json, numpy, gone": ({"helper.py": ""}, [], []),
    "import sys, time": ({"sys.py": "", "time.py": ""}, [], []),  # built in, whatever stands here
    "import random": ({"random.py": ""}, ["random.py"], []),  # stands before the library's
    "import llm": ({"llm/__init__.py": "", "llm/data.json": ""}, ["llm/__init__.py"], ["llm"]),
    "import llm.deep.model": (
        {"llm/__init__.py": "", "llm/deep/__init__.py": "", "llm/deep/model.py": "from ..util import x\nfrom . import act",
         "llm/util.py": "import helper", "llm/deep/act.py": "", "helper.py": ""},
        ["helper.py", "llm/__init__.py", "llm/deep/__init__.py", "llm/deep/act.py", "llm/deep/model.py", "llm/util.py"],
        ["llm"],
    ),
    "from llm import model, VERSION": ({"llm/__init__.py": "", "llm/model.py": ""}, ["llm/__init__.py", "llm/model.py"], ["llm"]),
    "from llm import model # llm is a module": ({"llm.py": "", "llm/model.py": ""}, ["llm.py"], []),
    "import llm # package and module": ({"llm/__init__.py": "", "llm.py": "import other", "other.py": ""}, ["llm/__init__.py"], ["llm"]),
    "import space.io": ({"space/io.py": "", "space/other.py": ""}, ["space/io.py"], []),
    "from space import io": ({"space/io.py": "from . import net", "space/net.py": ""}, ["space/io.py", "space/net.py"], []),
    "import a.llm.net": ({"a/llm/__init__.py": "", "a/llm/net.py": ""}, ["a/llm/__init__.py", "a/llm/net.py"], ["a/llm"]),
    "import space": ({"space/data.txt": ""}, [], []),  # a directory is no module for its name alone
    "import fast": ({"fast.cpython-312-darwin.so": "", "fastest.so": ""}, ["fast.cpython-312-darwin.so"], []),
    "from . import helper": ({"helper.py": ""}, [], []),  # a script is in no package
    "import llm # with ..... ": ({"llm/__init__.py": "from ..... import helper", "helper.py": ""}, ["llm/__init__.py"], ["llm"]),
    "import train": ({}, [], []),
    "import modül": ({"modül.py": ""}, ["modül.py"], []),
    "from llm import *": ({"llm/__init__.py": "", "llm/model.py": ""}, ["llm/__init__.py"], ["llm"]),
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_modules_beside_a_script_are_found(tmp_path: Path, text: str) -> None:
    beside, files, packages = CASES[text]
    for path, content in {**beside, "train.py": text}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content, encoding="utf-8")
    assert find(tmp_path) == Neighbours(files, packages)


def find(folder: Path, read: list[str] | None = None) -> Neighbours:
    def of(path: str) -> Sequence[Import]:
        if read is not None:
            read.append(path)
        return imports_of((folder / path).read_bytes())

    return find_neighbours(str(folder), "train.py", of)


def test_module_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_text("")
    (tmp_path / "helper.py").symlink_to("real.py")
    (tmp_path / "gone.py").symlink_to("nowhere")
    (tmp_path / "train.py").write_text("import helper, gone")
    assert find(tmp_path).files == ["helper.py"]


def test_one_bad_link_hides_no_module(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "bad.py").symlink_to("loop")
    (tmp_path / "long.py").symlink_to("n" * 300)
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "train.py").write_text("import helper, loop, bad, long")
    assert find(tmp_path).files == ["helper.py"]


def test_only_files_that_are_reached_are_read_and_each_once(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import a, b")
    (tmp_path / "a.py").write_text("import b")
    (tmp_path / "b.py").write_text("import a")
    (tmp_path / "c.py").write_text("import d")
    read: list[str] = []
    find(tmp_path, read)
    assert sorted(read) == ["a.py", "b.py", "train.py"]
