"""What goes to the hosts: the script, or its directory without what nobody wants there; and rsync sends exactly that."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils import _manifest as manifest
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils import _hashes
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._errors import UsageError
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._hashes import cache_file, project_now, scan_project
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._project import Project, default_name, rsync_pattern, select
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils._settings import check_settings

RSYNC = shutil.which("rsync")
OLD = 1_700_000_000


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    write(folder, "train.py", "data/small.csv", "data/big.bin", "src/net.py", "src/debug.log")
    return folder


def write(folder: Path, *paths: str, text: str = "x") -> None:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def files(project: Project) -> list[str]:
    """Return the selected paths that are no directories."""
    return [path for path in project.paths if not (Path(project.source) / path).is_dir() or (Path(project.source) / path).is_symlink()]


def selected(top: Path, *exclude: str) -> list[str]:
    return files(select(str(top / "train.py"), str(top), exclude))


def test_script_alone_is_all_there_is(top: Path) -> None:
    os.mkfifo(top / "pipe")  # what is beside it is not looked at
    project = select(str(top / "train.py"))
    assert project == Project("train", str(top), ("train.py",), (), "train.py", alone=True)


def test_script_that_is_a_link_is_taken_for_what_it_leads_to(top: Path, tmp_path: Path) -> None:
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
def test_what_cannot_be_meant_is_refused(top: Path, monkeypatch: pytest.MonkeyPatch, script: str, project_dir: str, message: str) -> None:
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


def test_gitignore_above_the_project_counts_within_its_repository(top: Path) -> None:
    write(top, ".gitignore", text="*.log\n/src/data\n")
    write(top, "src/train.py", "src/data/x", "src/more/data/x")
    assert "debug.log" in files(select("", str(top / "src")))
    (top / ".git").mkdir()
    assert files(select("", str(top / "src"))) == ["more/data/x", "net.py", "train.py"]


def test_gitignore_above_that_ignores_the_project_itself_does_not_count(top: Path) -> None:
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


def test_empty_directories_belong_to_it_also_those_that_became_empty(top: Path) -> None:
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


def test_sockets_pipes_and_devices_are_refused_unless_left_out(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_name_that_was_given_is_taken_or_refused(top: Path) -> None:
    assert select(str(top / "train.py"), name="mine").name == "mine"
    assert select("", str(top), name="mine").name == "mine"
    for name in ("-rf", "a/b", "..", ".x", "a\n"):
        with pytest.raises(UsageError, match="mlx_project_name"):
            select("", str(top), name=name)


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
def test_rsync_brings_a_real_project_over_with_everything_about_it(top: Path, tmp_path: Path) -> None:
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


def test_what_a_vague_pattern_would_leave_out_is_named_before_it() -> None:
    project = Project("p", "/s", ("axb", "a*b", "ab", "aéb"), ("a\nb", "ayb"))
    assert project.exclude_patterns() == ["- /ayb", "+ /axb", "+ /a\\*b", "- /a?b"]


# --- hashes -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def settled(top: Path) -> Iterator[Project]:
    """A project whose files have not been touched for a while, as far as the cache can tell."""
    with mock.patch.object(_hashes, "RACY", -1):
        yield select(str(top / "train.py"), str(top))


def reads(project: Project) -> list[str]:
    """Scan a project; return the files that were read."""
    with mock.patch.object(manifest, "hash_file", wraps=manifest.hash_file) as read:
        scan_project(project)
    return sorted(call.args[1] for call in read.call_args_list)


def test_hashes_are_remembered_from_launch_to_launch(settled: Project) -> None:
    assert reads(settled) == files(settled)
    assert reads(settled) == []
    (Path(settled.source) / "src" / "net.py").write_text("other")
    assert reads(settled) == ["src/net.py"]
    assert manifest.compare(scan_project(settled).entries, manifest.scan(settled.source).entries) == ([], [], [])


def test_cache_is_for_its_user_only_and_says_nothing_of_paths_in_its_name(settled: Project, tmp_path: Path) -> None:
    scan_project(settled)
    [path] = (tmp_path / "cache" / "mlxlaunch" / "hashes").iterdir()
    assert path == cache_file(settled.source)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "demo" not in path.name


def test_cache_is_where_a_mac_has_it(tmp_path: Path) -> None:
    with mock.patch.object(_hashes.sys, "platform", "darwin"):
        assert cache_file("/x").parent == tmp_path / "Library" / "Caches" / "mlxlaunch" / "hashes"


def test_unchanged_cache_is_not_written_again(settled: Project) -> None:
    scan_project(settled)
    before = cache_file(settled.source).stat().st_ino
    scan_project(settled)
    assert cache_file(settled.source).stat().st_ino == before


def test_files_that_were_just_written_are_not_remembered(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = select("", str(top))
    (top / "train.py").write_text("new")
    os.utime(top / "train.py", (OLD, OLD))  # its change time tells
    monkeypatch.setattr(_hashes, "RACY", 3600 * 10**9)
    assert reads(project) == reads(project) == files(project)
    monkeypatch.setattr(_hashes, "RACY", -1)
    assert reads(project) == files(project)
    assert reads(project) == []


@pytest.mark.parametrize("text", ["", "[]", "null", '{"train.py": [1]}', '{"train.py": 7}', "\xff\xfe", "[" * 100_000])
def test_broken_cache_is_ignored_and_replaced(settled: Project, text: str) -> None:
    scan_project(settled)
    cache_file(settled.source).write_text(text, encoding="latin-1")
    assert reads(settled) == files(settled)
    assert reads(settled) == []


def test_cache_that_cannot_be_written_is_no_error(settled: Project, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert len(scan_project(settled).entries) == len(settled.paths)


def test_script_alone_is_not_remembered(top: Path) -> None:
    tree = scan_project(select(str(top / "train.py")))
    assert [entry.path for entry in tree.entries] == ["train.py"]
    assert not cache_file(str(top)).exists()


def test_file_that_changes_once_is_read_again_and_one_that_always_does_is_named(top: Path) -> None:
    project = select("", str(top))
    with mock.patch.object(manifest, "hash_file", side_effect=[manifest.Changed("train.py"), *(["0" * 64] * 9)]):
        assert len(scan_project(project).entries) == len(project.paths)
    changes = rf"^{top}/train.py changes while it is read; try again, or leave it out"
    with (
        mock.patch.object(manifest, "hash_file", side_effect=manifest.Changed("train.py")) as read,
        pytest.raises(UsageError, match=changes),
    ):
        scan_project(project)
    assert read.call_count == 2


def test_file_that_cannot_be_read_or_is_gone_is_named(top: Path) -> None:
    project = select("", str(top))
    refused = PermissionError(13, "Permission denied", os.fsencode(top / "train.py"))  # as root, nothing is unreadable
    message = rf"^{top}/train.py cannot be read: Permission denied; leave it out"
    with mock.patch.object(os, "open", side_effect=refused), pytest.raises(UsageError, match=message):
        scan_project(project)
    (top / "train.py").unlink()
    with pytest.raises(UsageError, match=rf"^{top}/train.py was removed while the project was read; try again"):
        scan_project(project)


def test_two_thousand_files_are_selected_and_scanned_quickly(top: Path) -> None:
    for at in range(2000):
        write(top, f"package{at % 40}/module{at}.py")
    write(top, ".gitignore", text="\n".join(["*.log", "/out", "!keep.log", "**/tmp", "[abc]*.bin"] * 10))
    project = select(str(top / "train.py"), str(top))
    began = time.monotonic()
    project = select(str(top / "train.py"), str(top))
    tree = scan_project(project)
    assert time.monotonic() - began < 5
    assert len(tree.entries) > 2040


def test_a_project_that_cannot_be_sent_has_no_digest_instead_of_ending_a_launch_that_sends_nothing(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print()")
    assert len(project_now(check_settings({"script": str(script)}))) == 64
    assert project_now(check_settings({"script": str(script), "project_dir": str(tmp_path / "gone")})) == ""
    assert project_now(check_settings({"script": "/only/there.py"})) == ""
