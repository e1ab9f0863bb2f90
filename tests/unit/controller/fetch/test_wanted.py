# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a host, and what a host may say it has."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch import wanted as module
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.fetch.wanted import HostFile, Wanted, batches, contents, host_files, wanted
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.agents import HostFailed
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import UsageError

HASH = "0" * 64
OUT = Wanted("/job/out", "/job", ("**",), ("out",))


@pytest.mark.parametrize(
    ("pattern", "folder", "bounds", "parts", "below"),
    [
        ("w.npz", "/job", "/job", ("w.npz",), ()),
        ("./out/*.txt", "/job/out", "/job", ("*.txt",), ("out",)),
        ("out/**", "/job/out", "/job", ("**",), ("out",)),
        ("runs/*/m.npz", "/job/runs", "/job", ("*", "m.npz"), ("runs",)),
        ("out/**.npz", "/job/out", "/job", ("**", "*.npz"), ("out",)),
        ("/job/w.npz", "/job", "", ("w.npz",), ()),
        ("/data/w.npz", "/data", "", ("w.npz",), ("data",)),
        ("../job-too/w.npz", "/job-too", "", ("w.npz",), ("job-too",)),
        ("/**/w", "/", "", ("**", "w"), ()),
        ("a//b/../c", "/job/a", "/job", ("c",), ("a",)),
    ],
)
def test_patterns_name_a_directory_and_names_below_it(
    pattern: str, folder: str, bounds: str, parts: tuple[str, ...], below: tuple[str, ...]
) -> None:
    assert wanted(pattern, "/job/") == Wanted(folder, bounds, parts, below)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "is no name of a file"),
        (7, "7 is no name of a file"),
        ("a\0b", "is no name of a file"),
        ("out/", r"out/ is a directory, which is fetched as out/\*\*"),
        ("a**b", r"a\*\*b: \*\* stands for whole names"),
        ("***", r"\*\* stands for whole names"),
    ],
)
def test_patterns_without_a_meaning_are_refused(pattern: object, why: str) -> None:
    with pytest.raises(UsageError, match=f"mlx_fetch: .*{why}"):
        wanted(pattern, "/job")


def test_relative_pattern_needs_a_working_directory() -> None:
    with pytest.raises(UsageError, match="no job has run before in this play"):
        wanted("w.npz", "")


def test_reported_files_get_their_place_here() -> None:
    [file] = host_files(OUT, [["a/b", 3, True, HASH]])
    assert (file.path, file.place, file.executable) == ("/job/out/a/b", ("out", "a", "b"), True)


LIES: list[Any] = [
    None,
    {},
    [],
    "x",
    [[]],
    [["a", 1, False]],
    [[1, 1, False, HASH]],
    *([[name, 1, False, HASH]] for name in ("", ".", "..", "/", "/etc/passwd", "../a", "a/../b", "a/..", "./a", "a/.", "a//b", "a/", "/a")),
    *([[name, 1, False, HASH]] for name in ("a\0b", "\ud800", ".ssh/authorized_keys", "x/.bashrc", "a" * 5000, "a/" * 2500 + "a")),
    *([["a", size, False, HASH]] for size in (-1, 1.5, True, None, "1", 2**64, float("inf"))),
    *([["a", 1, executable, HASH]] for executable in (0, None, 0o4755, "yes")),
    *([["a", 1, False, sha256]] for sha256 in (None, "", "0" * 63, "0" * 64 + "\n", "g" * 64, 7)),
    [["a", 1, False, HASH], ["a", 1, False, HASH]],
]


@pytest.mark.parametrize("answer", LIES, ids=lambda answer: repr(answer)[:60])
def test_lists_that_no_honest_host_sends_are_refused(answer: object) -> None:
    with pytest.raises(HostFailed):
        host_files(OUT, answer)


@pytest.mark.parametrize("name", ["b.txt", "a/b.npz", "W.npz", "w.npz "])
def test_file_that_was_not_asked_for_is_refused(name: str) -> None:
    with pytest.raises(HostFailed, match="a file that it was not asked for"):
        host_files(wanted("w.npz", "/job"), [[name, 1, False, HASH]])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(HASH),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(JSON | st.lists(st.tuples(st.text("a./\0é\ud800", max_size=9), st.integers(), st.booleans(), st.just(HASH)).map(list), max_size=4))
def test_any_answer_is_refused_or_stays_below(answer: object) -> None:
    try:
        files = host_files(OUT, answer)
    except HostFailed:
        return
    for file in files:
        assert file.place[0] == "out"
        assert not {"", ".", ".."} & set(file.place)
        assert not any("/" in name or "\0" in name for name in file.place)


def sized(*sizes: int) -> list[HostFile]:
    return [HostFile(OUT, str(number), size, False, HASH) for number, size in enumerate(sizes)]


def test_pieces_cover_files_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 10)
    found = [[(piece.file.name, piece.offset, piece.length) for piece in batch] for batch in batches(sized(0, 4, 25, 10))]
    assert found == [[("0", 0, 0), ("1", 0, 4)], [("2", 0, 10)], [("2", 10, 10)], [("2", 20, 5)], [("3", 0, 10)]]


def test_answers_hold_limited_pieces() -> None:
    assert [len(batch) for batch in batches(sized(*[1] * 600))] == [256, 256, 88]


def encoded(*texts: bytes) -> list[str]:
    return [base64.b64encode(text).decode() for text in texts]


def test_contents_are_as_long_as_asked_for() -> None:
    [batch] = batches(sized(2, 0))
    assert contents(batch, encoded(b"ab", b"")) == [b"ab", b""]


@pytest.mark.parametrize(
    "answer", [None, [], encoded(b"ab"), [*encoded(b"ab"), None], [*encoded(b"ab"), "é"], [*encoded(b"ab"), "!"], {}, "ab"]
)
def test_contents_that_are_none_are_refused(answer: object) -> None:
    [batch] = batches(sized(2, 0))
    with pytest.raises(HostFailed):
        contents(batch, answer)


@pytest.mark.parametrize("sent", [b"a", b"abc", b""])
def test_other_length_is_a_file_that_changed(sent: bytes) -> None:
    [batch] = batches(sized(2))
    with pytest.raises(HostFailed, match="/job/out/0 changed while it was read"):
        contents(batch, encoded(sent))
