"""The offsets up to which output has come, and standard input may go."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.offsets import Received, Windows
from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire


def test_recovery_has_every_stream_of_the_ranks_it_is_for() -> None:
    received = Received([0, 1, 2])
    received.add(0, "stdout", 10)
    received.add(0, "stdout", 25)
    received.add(2, "stderr", 7)
    assert received.have([0, 2]) == {0: {"stdout": 25, "stderr": 0}, 2: {"stdout": 0, "stderr": 7}}


def test_offsets_are_told_by_rank_and_stream() -> None:
    received = Received([0, 1, 2])
    received.add(0, "stdout", 10)
    received.add(2, "stderr", 7)
    assert received.phrase([0, 2]) == "rank 0: stdout 10, stderr 0; rank 2: stdout 0, stderr 7"


def test_end_of_each_stream_is_its_own() -> None:
    received = Received([0, 1])
    received.add(0, "stdout", 7)
    assert [received.end(rank, stream) for rank in (0, 1) for stream in ("stdout", "stderr")] == [7, 0, 0, 0]


def test_offsets_that_were_given_out_do_not_change() -> None:
    received = Received([0])
    before = received.have([0])
    received.add(0, "stdout", 5)
    assert before == {0: {"stdout": 0, "stderr": 0}}


# -- standard input


def test_credit_of_an_honest_host_is_passed_on() -> None:
    windows = Windows({0: "a"})
    assert windows.grant(0, wire.WINDOW) == wire.WINDOW
    windows.send(0, 5000)
    assert windows.grant(0, 5000 + wire.WINDOW) == 5000 + wire.WINDOW


def test_credit_beyond_a_window_is_cut() -> None:
    windows = Windows({0: "a"})
    windows.send(0, 5000)
    assert windows.grant(0, 2**60) == 5000 + wire.WINDOW


def test_credit_is_not_taken_back() -> None:
    windows = Windows({0: "a"})
    assert [windows.grant(0, upto) for upto in (4000, 10, 5000)] == [4000, None, 5000]
    assert [windows.grant(0, upto) for upto in (wire.UNLIMITED, 10)] == [wire.UNLIMITED, None]


def test_credit_that_has_not_risen_is_no_news() -> None:
    windows = Windows({0: "a"})
    assert [windows.grant(0, upto) for upto in (0, 4000, 4000, wire.WINDOW, 2**60)] == [None, 4000, None, wire.WINDOW, None]
    assert [windows.grant(0, wire.UNLIMITED) for _ in range(2)] == [wire.UNLIMITED, None]


def test_bytes_go_to_hosts_where_a_rank_may_read_them() -> None:
    windows = Windows({0: "a", 1: "a", 2: "b"})
    assert windows.send(wire.EVERY_RANK, 1) == ["a", "b"]
    windows.grant(2, wire.UNLIMITED)
    windows.grant(1, wire.UNLIMITED)
    assert windows.send(wire.EVERY_RANK, 1) == ["a"]
    assert windows.send(1, 1) == windows.send(2, 1) == []
    assert windows.send(wire.EVERY_RANK, 0) == ["a", "b"], "an end, or the size of a terminal"
    assert windows.send(7, 1) == []
