"""What goes to the hosts: the script, or its directory without what nobody wants there; and rsync sends exactly that."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.project import Project, default_name, rsync_pattern, select
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.scan import scan_project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError
from tests.unit.controller.projects import files, write

pytestmark = pytest.mark.usefixtures("own_cache")

RSYNC = shutil.which("rsync")
OLD = 1_700_000_000


def selected(top: Path, *exclude: str) -> list[str]:
    return files(select(str(top / "train.py"), str(top), exclude))


def test_script_alone_is_all_there_is(top: Path) -> None:
    os.mkfifo(top / "pipe")  # what is beside it is not looked at
    project = select(str(top / "train.py"))
    assert project == Project("train", str(top), ("train.py",), (), "train.py", alone=True)


def test_script_that_is_a_link_is_taken_for_its_target(top: Path, tmp_path: Path) -> None:
    (tmp_path / "latest.py").symlink_to(top / "train.py")
    project = select(str(tmp_path / "latest.py"))
    assert (project.name, project.source, project.script) == ("latest", str(top), "train.py")


def test_script_may_be_a_directory(top: Path) -> None:
    write(top, "__main__.py")
    project = select(str(top))
    assert (project.name, project.source, project.script, project.alone) == ("demo", str(top), ".", False)
    assert "src/net.py" in project.paths


def test_relative_paths_are_those_of_the_working_directory(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top)
    assert select("src/net.py", ".").script == "src/net.py"
    assert select("./train.py").source == str(top)


def test_directory_may_be_deployed_without_a_script(top: Path) -> None:
    project = select("", str(top))
    assert (project.script, len(files(project))) == ("", 5)


@pytest.mark.parametrize(
    ("script", "project_dir", "message"),
    [
        ("", "", "nothing to deploy"),
        ("gone.py", "", "script .*/gone.py is not there"),
        ("src", "", "script .*/src is a directory without a __main__.py"),
        ("train.py", "gone", "project directory .*/gone is not there"),
        ("train.py", "src/net.py", "project directory .*/net.py is not there, or is no directory"),
        ("train.py", "src", "script .*/train.py is not in the project directory .*/src"),
        ("src/debug.log", ".", r"script .*/debug.log is left out of the project .* '!/src/debug.log' in mlx_exclude"),
        ("/dev/null", "", "script /dev/null is no file"),
    ],
)
def test_impossible_project_is_refused(top: Path, monkeypatch: pytest.MonkeyPatch, script: str, project_dir: str, message: str) -> None:
    monkeypatch.chdir(top)
    (top / ".gitignore").write_text("*.log\n")
    with pytest.raises(UsageError, match=message):
        select(script, project_dir)


def test_advice_for_a_script_that_is_ignored_helps(top: Path) -> None:
    (top / ".gitignore").write_text("*.log\n")
    assert select(str(top / "src/debug.log"), str(top), ["!/src/debug.log"]).script == "src/debug.log"


def test_gitignore_files_are_respected_the_nearest_most(top: Path) -> None:
    (top / ".gitignore").write_text("*.log\n/data/*\n!/data/small.csv\n")
    (top / "src" / ".gitignore").write_text("!debug.log\nnet.*\n")
    write(top, "other/net.py", "other/debug.log", "other/data/x")
    assert selected(top) == [".gitignore", "data/small.csv", "other/data/x", "other/net.py", "src/.gitignore", "src/debug.log", "train.py"]


def test_own_patterns_weigh_more_than_gitignore(top: Path) -> None:
    (top / ".gitignore").write_text("*.log\n")
    assert selected(top, "data/", "!*.log", ".gitignore") == ["src/debug.log", "src/net.py", "train.py"]


def test_gitignore_above_the_project_counts_in_its_repository(top: Path) -> None:
    write(top, ".gitignore", text="*.log\n/src/data\n")
    write(top, "src/train.py", "src/data/x", "src/more/data/x")
    assert "debug.log" in files(select("", str(top / "src")))
    (top / ".git").mkdir()
    assert files(select("", str(top / "src"))) == ["more/data/x", "net.py", "train.py"]


def test_gitignore_above_that_ignores_the_project_is_not_used(top: Path) -> None:
    (top / ".git").mkdir()
    write(top, ".gitignore", text="*\n")
    assert files(select("", str(top / "src"))) == ["debug.log", "net.py"]
    write(top, ".gitignore", text="*\n!/src\n!*.py\n")
    assert files(select("", str(top / "src"))) == ["net.py"]


def test_gitignore_that_is_a_link_does_not_count(top: Path) -> None:
    (top / "rules").write_text("*.py\n")
    (top / ".gitignore").symlink_to("rules")
    assert "train.py" in selected(top)


NEVER = [".git", ".hg", ".svn", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints"]


@pytest.mark.parametrize("name", NEVER)
def test_caches_and_histories_never_belong_to_it(top: Path, name: str) -> None:
    write(top, f"{name}/x", f"src/{name}/x", ".DS_Store", "src/.DS_Store")
    (top / name / "out").symlink_to("/")
    project = select(str(top / "train.py"), str(top), [f"!{name}"])
    assert project.excluded == tuple(sorted([name, f"src/{name}", ".DS_Store", "src/.DS_Store"]))
    assert "src/net.py" in project.paths


def test_virtual_environments_never_belong_to_it(top: Path) -> None:
    write(top, "env/pyvenv.cfg", "env/lib/x", "src/.venv/pyvenv.cfg", "not/lib/x")
    (top / "env" / "python").symlink_to("/usr/bin/python3")
    project = select("", str(top))
    assert project.excluded == ("env", "src/.venv")
    assert "not/lib/x" in project.paths
    assert "env" not in project.paths


def test_empty_directories_belong_to_it(top: Path) -> None:
    (top / "empty" / "more").mkdir(parents=True)
    write(top, "logs/a.log")
    assert {"empty", "empty/more", "logs"} < set(select("", str(top), ["*.log"]).paths)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("a", "train.py"),
        ("src/a", "../data/small.csv"),
        ("src/deep/a", "../.."),
        ("a", "src/../data"),
        ("a", "not/there"),
        ("b/c/a", "../../src/./net.py"),
    ],
)
def test_links_inside_are_kept(top: Path, link: str, target: str) -> None:
    (top / link).parent.mkdir(parents=True, exist_ok=True)
    (top / link).symlink_to(target)
    assert link in select("", str(top)).paths


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        ({"a": "/etc/passwd"}, "to an absolute path, out of the project directory"),
        ({"a": "../x"}, "out of the project directory"),
        ({"src/a": "../../demo/train.py"}, "out of the project directory"),
        ({"a": "src/../../demo/train.py"}, "out of the project directory"),
        ({"top": ".", "src/a": "../top/../x"}, "out of the project directory"),
        ({"a": "data/big.bin"}, "to data/big.bin, which does not belong to the project"),
        ({"a": "cache/deep/x"}, "to cache, which does not belong to the project"),
        ({"x": "cache", "a": "x/y"}, "to cache, which does not belong to the project"),
        ({"a": "a"}, "to itself"),
    ],
)
def test_links_that_lead_nowhere_on_a_host_are_refused(top: Path, links: dict[str, str], reason: str) -> None:
    write(top, "cache/deep/x")
    for link, target in links.items():
        (top / link).symlink_to(target)
    with pytest.raises(UsageError, match=rf"^{top}/.*, a symbolic link to .*, leads {reason}; leave it out with mlx_exclude"):
        select("", str(top), ["*.bin", "/cache"])
    assert select("", str(top), ["*.bin", "/cache", *links]).paths


def test_link_to_an_absolute_path_in_the_project_is_refused(top: Path) -> None:
    (top / "a").symlink_to(top / "train.py")
    with pytest.raises(UsageError, match="absolute path"):
        select("", str(top))


def test_sockets_pipes_and_devices_are_refused(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(top / "src" / "pipe")
    with pytest.raises(UsageError, match=rf"^{top}/src/pipe is a named pipe, not a file; leave it out with mlx_exclude"):
        select("", str(top))
    assert "src/pipe" not in selected(top, "pipe")
    (top / "src" / "pipe").unlink()
    monkeypatch.chdir(top)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(UsageError, match="/socket is a socket, not a file"):
            select("", str(top))


def test_directory_that_cannot_be_read_is_named(top: Path) -> None:
    real = os.scandir

    def refuse(path: bytes) -> Iterator[os.DirEntry[bytes]]:
        if path.rstrip(b"/").endswith(b"/src"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    with (
        mock.patch.object(os, "scandir", refuse),
        pytest.raises(UsageError, match=rf"^{top}/src/ cannot be read: Permission denied; leave it"),
    ):
        select("", str(top))
    with mock.patch.object(os, "scandir", refuse):
        assert "src" not in select("", str(top), ["src"]).paths


@pytest.mark.parametrize("name", ["demo", "a.b-c_d", "1"])
def test_good_names_stay(name: str) -> None:
    assert default_name(name) == name


@pytest.mark.parametrize("name", ["-rf", "..", ".hidden", "", "a b", "a\nb", "проект", "\udcff", "x" * 300])
def test_other_names_are_mapped_to_safe_ones_that_differ(name: str) -> None:
    mapped = default_name(name)
    assert default_name(mapped) == mapped
    assert mapped != default_name(name + "x")
    assert len(mapped) <= 100


def test_script_named_like_an_option(top: Path) -> None:
    write(top, "-rf")
    project = select(str(top / "-rf"))
    assert (project.script, project.name[:3]) == ("-rf", "rf-")
    assert "-rf" in select(str(top / "-rf"), str(top)).paths


# --- rsync ------------------------------------------------------------------------------------------------------------


def transfer(project: Project, target: Path) -> list[str]:
    """Return the paths that rsync brings to an empty directory."""
    target.mkdir()
    with tempfile.NamedTemporaryFile() as file:
        file.write(project.exclude_file())
        file.flush()
        subprocess.run([str(RSYNC), "-rlpt", f"--exclude-from={file.name}", f"{project.source}/", f"{target}/"], check=True)
    return [entry.path for entry in manifest.scan(str(target)).entries]


characters = st.sampled_from("aab*?[]\\\n\r -+#;_!/.é\udcff")
relative = (
    st.text(characters, min_size=1, max_size=8).map(lambda text: "/".join(part for part in text.split("/") if part.strip("."))).filter(bool)
)


@pytest.mark.skipif(not RSYNC, reason="no rsync here")
@settings(max_examples=150)
@given(st.dictionaries(relative, st.sampled_from(["file", "dir", "left out", "left out", "link"]), max_size=10))
def test_rsync_sends_exactly_what_was_selected(tree: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        left_out = []
        for path, kind in tree.items():
            if not make(source / path, kind):
                continue
            if kind == "left out":
                left_out.append(path)
        excluded = tuple(path for path in left_out if not any(path.startswith(f"{other}/") for other in left_out))
        everything = [entry.path for entry in manifest.scan(str(source)).entries]
        paths = tuple(path for path in everything if not any(f"{path}/".startswith(f"{other}/") for other in excluded))
        found = transfer(Project("p", str(source), paths, excluded), Path(folder) / "target")
        assert set(paths) <= set(found)
        # What is left out and has a line break comes along with what is selected and differs in nothing else.
        same = {rsync_pattern(path) for path in paths if _has_break(path)} & {rsync_pattern(path) for path in excluded if _has_break(path)}
        assert [path for path in found if path not in paths and not any(rsync_pattern(each) in same for each in above(path))] == []


def _has_break(path: str) -> bool:
    return "\n" in path or "\r" in path


def above(path: str) -> list[str]:
    """Return a path and all above it."""
    parts = path.split("/")
    return ["/".join(parts[: at + 1]) for at in range(len(parts))]


def make(path: Path, kind: str) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() or path.is_symlink():
            return False
        if kind == "link":
            path.symlink_to("anywhere")
        elif kind == "dir":
            path.mkdir()
        else:
            path.write_text("x")
    except (FileExistsError, NotADirectoryError):
        return False
    return True


@pytest.mark.skipif(not RSYNC, reason="no rsync here")
def test_rsync_sends_the_script_alone(top: Path, tmp_path: Path) -> None:
    write(top, "-rf", "tr*.py", "train.py.bak", "sub/train.py")
    assert transfer(select(str(top / "train.py")), tmp_path / "1") == ["train.py"]
    assert transfer(select(str(top / "tr*.py")), tmp_path / "2") == ["tr*.py"]
    assert transfer(select(str(top / "-rf")), tmp_path / "3") == ["-rf"]


@pytest.mark.skipif(not RSYNC, reason="no rsync here")
def test_rsync_sends_a_real_project_with_all_its_attributes(top: Path, tmp_path: Path) -> None:
    write(top, ".gitignore", text="*.log\nout/\n")
    write(top, "out/1/model", ".venv/pyvenv.cfg", "src/__pycache__/net.pyc", "a b/[x]*", "über")
    (top / "empty").mkdir(mode=0o750)
    (top / "train.py").chmod(0o755)
    (top / "data" / "link").symlink_to("../train.py")
    project = select(str(top / "train.py"), str(top))
    transfer(project, tmp_path / "there")
    assert manifest.digest(manifest.scan(str(tmp_path / "there")).entries) == manifest.digest(scan_project(project).entries)
    assert project.exclude_patterns() == ["- /.venv", "- /out", "- /src/__pycache__", "- /src/debug.log"]


def test_pattern_escapes_just_where_both_rsyncs_unescape() -> None:
    assert rsync_pattern("a\\b") == "/a\\b"
    assert rsync_pattern("a\\b/c*[d]?") == "/a\\\\b/c\\*\\[d]\\?"
    assert rsync_pattern("a\nb\\") == "/a?b\\\\"


def test_files_of_a_vague_pattern_are_named_before_it() -> None:
    project = Project("p", "/s", ("axb", "a*b", "ab", "aéb"), ("a\nb", "ayb"))
    assert project.exclude_patterns() == ["- /ayb", "+ /axb", "+ /a\\*b", "- /a?b"]


SPECIAL = [
    (0o4755, "setuid"),
    (0o2755, "setgid"),
    (0o1644, "sticky"),
    (0o6711, "setuid and setgid"),
    (0o7777, "setuid and setgid and sticky"),
]


@pytest.mark.parametrize(("mode", "said"), SPECIAL)
def test_files_with_special_bits_are_refused(top: Path, mode: int, said: str) -> None:
    tool = top / "data" / "tool"
    tool.touch()
    tool.chmod(mode)
    text = f"^{tool} is {said}, which hosts do not get; run chmod u-s,g-s,-t on it, or leave it out with mlx_exclude"
    with pytest.raises(UsageError, match=text):
        select("", str(top))
    with pytest.raises(UsageError, match=text):
        select(str(tool))
    assert "data/tool" not in select("", str(top), ["tool"]).paths
    subprocess.run(["chmod", "u-s,g-s,-t", tool], check=True)
    assert "data/tool" in select("", str(top)).paths


def test_directory_of_a_shared_group_is_taken_without_its_bit(top: Path) -> None:
    (top / "data").chmod(0o2775)
    [entry] = [entry for entry in scan_project(select("", str(top))).entries if entry.path == "data"]
    assert entry.mode == 0o775


@pytest.fixture
def modules(top: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A script that imports a module and a package from beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (top / "train.py").write_text("import helper\nfrom llm import model")
    (top / ".gitignore").write_text("_version.py\n*.tmp\n")
    write(top, "helper.py", text="from space import io")
    write(top, "unused.py", ".env", "space/io.py", "space/other.py", "llm/__init__.py", text="")
    write(top, "llm/model.py", text="from . import _version")
    write(
        top, *(f"llm/{name}" for name in ("_version.py", "deep/tokens.json", "scratch.tmp", ".env", "w.safetensors", "__pycache__/x.pyc"))
    )
    return top


BESIDE = ["helper.py", "llm/__init__.py", "llm/_version.py", "llm/deep/tokens.json", "llm/model.py", "space/io.py", "train.py"]


def test_modules_that_a_script_imports_go_with_it(modules: Path) -> None:
    project = select(str(modules / "train.py"))
    assert (files(project), project.alone) == (BESIDE, True)
    assert project.neighbours == ["helper.py", "llm/", "space/"]


@pytest.mark.parametrize(
    ("exclude", "gone"),
    [("helper.py", {"helper.py"}), ("llm", {path for path in BESIDE if "llm" in path}), ("*.json", {"llm/deep/tokens.json"})],
)
def test_modules_beside_a_script_can_be_left_out(modules: Path, exclude: str, gone: set[str]) -> None:
    assert set(files(select(str(modules / "train.py"), exclude=[exclude]))) == set(BESIDE) - gone


@pytest.mark.parametrize(
    ("name", "first", "neighbours"), [("run", "#!/usr/bin/env python3\n", ["helper.py"]), ("run.sh", "#!/bin/sh\n", [])]
)
def test_only_python_has_imports(top: Path, name: str, first: str, neighbours: list[str]) -> None:
    (top / name).write_text(f"{first}import helper\n")
    write(top, "helper.py")
    assert select(str(top / name)).neighbours == neighbours


def test_modules_larger_than_a_script_may_bring_are_refused(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.project.MOST", 3_000_000)
    with (modules / "llm" / "table.bin").open("wb") as file:
        file.truncate(4_000_000)
    with pytest.raises(
        UsageError, match=r"train.py imports 4 MB from beside it \(most of it llm/table.bin, 4 MB\); .*--exclude.*--project-dir"
    ):
        select(str(modules / "train.py"))
    assert "llm/model.py" in files(select(str(modules / "train.py"), exclude=["table.bin"]))


@pytest.mark.skipif(not RSYNC, reason="needs rsync")
def test_rsync_sends_a_script_with_its_modules_and_nothing_else(modules: Path, tmp_path: Path) -> None:
    project = select(str(modules / "train.py"))
    (tmp_path / "patterns").write_bytes(project.exclude_file())
    subprocess.run([str(RSYNC), "-r", f"--exclude-from={tmp_path}/patterns", f"{modules}/", f"{tmp_path}/sent/"], check=True)
    assert sorted(str(path.relative_to(tmp_path / "sent")) for path in (tmp_path / "sent").rglob("*") if path.is_file()) == BESIDE


# Links beside a script (path: target), by what the script says; with them the modules, and what is followed.
LINKED: dict[str, tuple[dict[str, str], list[str], list[str]]] = {
    "import util": ({"util.py": "../shared/util.py"}, ["train.py", "util.py"], ["util.py"]),
    "import util # by an absolute path": ({"util.py": "{}/shared/util.py"}, ["train.py", "util.py"], ["util.py"]),
    "import util # beside, and not imported": ({"util.py": "helper.py"}, ["train.py", "util.py"], ["util.py"]),
    "import util, helper": ({"util.py": "helper.py"}, ["helper.py", "train.py", "util.py"], []),
    "import util # by way of another": ({"util.py": "b", "b": "../shared/util.py"}, ["train.py", "util.py"], ["util.py"]),
    "import pk": ({"pk": "../shared/pk"}, ["pk/__init__.py", "pk/again", "pk/data.json", "train.py"], ["pk"]),
    "import space.io": ({"space": "../shared/space"}, ["space/io.py", "train.py"], ["space"]),
    "import own.util": ({"own/util.py": "../../shared/util.py"}, ["own/__init__.py", "own/util.py", "train.py"], ["own/util.py"]),
    "import own.pk": (
        {"own/pk": "../../shared/pk"},
        ["own/__init__.py", "own/pk/__init__.py", "own/pk/again", "own/pk/data.json", "train.py"],
        ["own/pk"],
    ),
    "import own, alias": ({"alias": "own"}, ["alias", "own/__init__.py", "train.py"], []),
    "import alias": ({"alias": "own"}, ["alias/__init__.py", "train.py"], ["alias"]),
}


def link_modules(top: Path, text: str, links: dict[str, str]) -> None:
    write(top, "helper.py", "own/__init__.py")
    write(top.parent, "shared/util.py", "shared/pk/__init__.py", "shared/pk/data.json", "shared/space/io.py", "shared/space/other.py")
    (top.parent / "shared/pk/again").symlink_to("data.json")
    (top / "train.py").write_text(text)
    for path, target in links.items():
        (top / path).symlink_to(target.format(top.parent))


@pytest.mark.parametrize("text", LINKED)
def test_module_that_is_a_link_goes_so_that_it_is_there_on_a_host(top: Path, text: str) -> None:
    links, paths, followed = LINKED[text]
    link_modules(top, text, links)
    project = select(str(top / "train.py"))
    assert dict(project.followed) == {path: str((top / path).resolve()) for path in followed}
    kinds = {entry.path: entry.kind for entry in scan_project(project).entries}
    assert kinds.keys() == set(project.paths)
    assert sorted(path for path, kind in kinds.items() if kind != "dir") == paths
    assert [path for path, kind in kinds.items() if kind == "link" and not path.endswith("again")] == sorted(
        links.keys() - {*followed, "b"}
    )


def test_link_of_a_linked_package_may_not_leave_it(top: Path) -> None:
    link_modules(top, "import pk, helper", {"pk": "../shared/pk"})
    (top.parent / "shared/pk/out").symlink_to("../helper.py")  # which is beside the script, but not there
    with pytest.raises(UsageError, match=r"/pk/out, a symbolic link to ../helper.py, leads out of the project directory"):
        select(str(top / "train.py"))
    assert "pk/out" not in select(str(top / "train.py"), exclude=["out"]).paths


def test_link_to_a_generated_module_that_goes_along_stays_a_link(modules: Path) -> None:
    (modules / "version.py").symlink_to("llm/_version.py")
    (modules / "train.py").write_text("import llm.model, version")
    project = select(str(modules / "train.py"))
    assert ("version.py" in project.paths, project.followed) == (True, {})


def test_size_of_a_linked_module_counts(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.deploy.project.MOST", 3_000_000)
    link_modules(top, "import util", {"util.py": "../shared/util.py"})
    os.truncate(top.parent / "shared/util.py", 4_000_000)
    with pytest.raises(UsageError, match="imports 4 MB"):
        select(str(top / "train.py"))
