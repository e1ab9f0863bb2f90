"""What a project's tree holds: the same entries and digest on every side, whatever the names; no file is read twice for nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.manifest import Entry

NAMES = ["-rf", "über", "a\nb", " ", "*", "\udcff", "'\"$(x)", "日本"]

paths = st.lists(st.sampled_from([*NAMES, "a", "b"]), min_size=1, max_size=3).map("/".join)
contents = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)
entry_lists = st.lists(
    st.one_of(
        st.builds(Entry, paths, st.just("file"), st.integers(0, 0o777), st.integers(0, 2**40), st.integers(0, 2**62), contents),
        st.builds(Entry, paths, st.just("dir"), st.integers(0, 0o777), st.just(0), st.just(0), st.just("")),
        st.builds(Entry, paths, st.just("link"), st.just(0), st.just(0), st.just(0), paths),
    ),
    unique_by=lambda entry: entry.path,
    max_size=8,
)


def make_tree(root: Path) -> None:
    """Make a tree with every kind of entry, in directories with every kind of name."""
    for name in NAMES:
        folder = root / name
        folder.mkdir(parents=True)
        (folder / name).write_text(name.encode("utf-8", "surrogateescape").hex())
        (folder / "run").write_bytes(b"#!/bin/sh\n")
        (folder / "run").chmod(0o755)
        (folder / "empty").mkdir(mode=0o750)
        (folder / "link").symlink_to(name)


def by_path(tree: manifest.Tree) -> dict[str, Entry]:
    return {entry.path: entry for entry in tree.entries}


def test_scan_finds_every_kind_of_entry_under_every_name(tmp_path: Path) -> None:
    make_tree(tmp_path)
    found = by_path(manifest.scan(str(tmp_path)))
    assert len(found) == 5 * len(NAMES)
    for name in NAMES:
        text = name.encode("utf-8", "surrogateescape").hex()
        path = found[f"{name}/{name}"]
        assert (path.kind, path.size, path.content) == ("file", len(text), hashlib.sha256(text.encode()).hexdigest())
        assert path.mtime_ns == os.lstat(tmp_path / name / name).st_mtime_ns
        assert (found[f"{name}/run"].mode, found[f"{name}/empty"].mode, found[f"{name}/empty"].kind) == (0o755, 0o750, "dir")
        assert found[f"{name}/link"] == Entry(f"{name}/link", "link", 0, 0, 0, name)


def test_scan_looks_at_selected_paths_only(tmp_path: Path) -> None:
    make_tree(tmp_path)
    assert [entry.path for entry in manifest.scan(str(tmp_path), ["über/run", "-rf"]).entries] == ["-rf", "über/run"]


def test_same_tree_has_the_same_digest_under_any_locale(tmp_path: Path) -> None:
    make_tree(tmp_path)
    program = f"""if True:
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
        print(manifest.digest(manifest.scan({str(tmp_path)!r}).entries))"""
    here = manifest.digest(manifest.scan(str(tmp_path)).entries)
    for variables in ({"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == here


@given(entry_lists, st.randoms())
def test_digest_depends_neither_on_order_nor_on_times(entries: list[Entry], random: object) -> None:
    other = [entry._replace(mtime_ns=0) for entry in entries]
    random.shuffle(other)  # type: ignore[attr-defined]
    assert manifest.digest(other) == manifest.digest(entries)


@given(entry_lists, entry_lists)
def test_digests_are_equal_just_when_nothing_differs(one: list[Entry], other: list[Entry]) -> None:
    same = not any(manifest.compare(one, other))
    assert (manifest.digest(one) == manifest.digest(other)) == same


def test_digest_tells_apart_trees_whose_text_runs_together() -> None:
    digests = {
        manifest.digest([Entry("ab", "link", 0, 0, 0, "c")]),
        manifest.digest([Entry("a", "link", 0, 0, 0, "bc")]),
        manifest.digest([Entry("a", "link", 0, 0, 0, "b"), Entry("c", "link", 0, 0, 0, "")]),
        manifest.digest([Entry("a", "dir", 0, 0, 0, "")]),
        manifest.digest([]),
    }
    assert len(digests) == 5


def test_digest_stays_the_same_from_version_to_version() -> None:
    # Were it to change, every host would get every project again: that wants a new FORMAT.
    entries = [Entry("ü", "file", 0o644, 1, 2, "0" * 64), Entry("l", "link", 0, 0, 0, "ü"), Entry("d", "dir", 0o755, 0, 0, "")]
    text = "\0".join(["mlxlaunch tree 1", "d", "dir", "755", "", "l", "link", "0", "ü", "ü", "file", "644", "0" * 64])
    assert manifest.digest(entries) == hashlib.sha256(text.encode()).hexdigest()


@given(entry_lists)
def test_packed_entries_come_back(entries: list[Entry]) -> None:
    assert manifest.unpack(manifest.pack(entries)) == entries
    assert manifest.pack(entries).isascii()


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    make_tree(tmp_path)
    first = manifest.scan(str(tmp_path))
    known = {path: (mark, by_path(first)[path].content) for path, mark in first.signatures.items()}
    (tmp_path / "-rf" / "run").write_bytes(b"#!/bin/sh -x\n")
    with mock.patch.object(manifest, "hash_file", wraps=manifest.hash_file) as read:
        second = manifest.scan(str(tmp_path), known=known)
    assert [call.args[1] for call in read.call_args_list] == ["-rf/run"]
    assert manifest.compare(first.entries, second.entries).changed == [("-rf/run", "content")]


def test_change_time_tells_what_size_and_time_do_not(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    before = os.lstat(file)
    tree = manifest.scan(str(tmp_path))
    deadline = time.monotonic() + 60
    while os.lstat(file).st_ctime_ns == before.st_ctime_ns:
        # A clock of the file system that has not ticked yet.
        assert time.monotonic() < deadline
        file.write_text("two")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    known = {"f": (tree.signatures["f"], tree.entries[0].content)}
    [entry] = manifest.scan(str(tmp_path), known=known).entries
    assert entry.content == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("longer than it was"),
        lambda path: path.write_text(""),
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: (path.unlink(), path.write_text("text")),
    ],
    ids=["grown", "cut", "touched", "replaced"],
)
def test_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path, change: object) -> None:
    file = tmp_path / "train.py"
    file.write_text("text")
    real = os.read

    def read(fd: int, size: int) -> bytes:
        data = real(fd, size)
        change(file)  # type: ignore[operator]
        return data

    with mock.patch.object(os, "read", read), pytest.raises(manifest.FileChanged, match="^train.py changed while it was read"):
        manifest.scan(str(tmp_path))


def test_file_that_cannot_be_read_is_named_as_text(tmp_path: Path) -> None:
    (tmp_path / "über").write_text("")

    def refuse(path: bytes, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    # As root, nothing is unreadable.
    with mock.patch.object(os, "open", refuse), pytest.raises(PermissionError) as caught:
        manifest.scan(str(tmp_path))
    assert caught.value.filename == str(tmp_path / "über")


def test_compare_names_what_is_missing_changed_and_extra() -> None:
    wanted = [
        Entry("content", "file", 0o644, 1, 0, "aa"),
        Entry("kind", "file", 0o644, 1, 0, "aa"),
        Entry("missing", "dir", 0o755, 0, 0, ""),
        Entry("mode", "dir", 0o755, 0, 0, ""),
        Entry("same", "file", 0o644, 1, 5, "aa"),
        Entry("target", "link", 0, 0, 0, "a"),
    ]
    found = [
        Entry("content", "file", 0o644, 1, 0, "bb"),
        Entry("extra\n", "dir", 0o755, 0, 0, ""),
        Entry("kind", "dir", 0o755, 0, 0, ""),
        Entry("mode", "dir", 0o700, 0, 0, ""),
        Entry("same", "file", 0o644, 1, 9, "aa"),
        Entry("target", "link", 0, 0, 0, "b"),
    ]
    difference = manifest.compare(wanted, found)
    assert difference.missing == ["missing"]
    assert difference.changed == [("content", "content"), ("kind", "kind"), ("mode", "mode"), ("target", "target")]
    assert difference.extra == ["extra\n"]
    assert manifest.describe(difference) == "content (content), kind (kind), mode (mode) and 3 more"
    assert manifest.describe(difference, 9).endswith("target (target), missing (missing), 'extra\\n' (not part of it)")


def test_hundred_thousand_entries_take_seconds(tmp_path: Path) -> None:
    entries = [Entry(f"data/{n % 300}/file{n}", "file", 0o644, n, n, hashlib.sha256(b"%d" % n).hexdigest()) for n in range(100_000)]
    began = time.monotonic()
    packed = manifest.pack(entries)
    assert manifest.digest(manifest.unpack(packed)) == manifest.digest(entries)
    assert not any(manifest.compare(entries, entries))
    assert time.monotonic() - began < 60
    assert len(packed) < 100 * len(entries)


def test_memory_does_not_grow_with_the_size_of_a_file(tmp_path: Path) -> None:
    size = 300 * 1024 * 1024
    with (tmp_path / "weights").open("wb") as file:
        file.truncate(size)
    program = f"""if True:
        import resource
        from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import manifest
        import hashlib
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        [entry] = manifest.scan({str(tmp_path)!r}).entries
        print(entry.size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    found, grown = map(int, done.stdout.split())
    assert found == size
    assert grown * (1 if sys.platform == "darwin" else 1024) < 16 * 1024 * 1024
