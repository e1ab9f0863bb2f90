"""Ansible's own display."""

from __future__ import annotations

import threading

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.display_sink import DisplaySink
from tests.support.waiting import wait_until
from tests.unit.readers import Clock, Woken, event, look_often, output, text_of


def test_display_gets_text_with_split_characters_put_together() -> None:
    shown: list[str] = []
    sink = DisplaySink(lambda text, newline: shown.append(text), text_of, None, Woken())
    sink.output(output(), b"\xe6\x97")
    sink.output(output(), b"\xa5\n\xff\n")
    sink.event(event("warning", text="careful"))
    sink.output(output(), b"half \xe6")
    sink.close()
    assert "".join(shown) == "日\n\ufffd\ncareful\nhalf \ufffd"


def test_display_breaks_a_line_when_another_has_waited() -> None:
    shown: list[str] = []
    sink = DisplaySink(lambda text, newline: shown.append(text), text_of, None, Woken())
    sink.output(output(0), b"1")
    wait_until(lambda: not sink.backlog, "it is shown")
    sink.output(output(1), b"x\n")
    due = sink.deadline()
    assert due is not None
    sink.tick(due)
    sink.close()
    assert shown == ["1", "\nx\n"]


def test_display_that_waits_for_its_reader_holds_up_nobody() -> None:
    """As it does in a pipe to a pager."""
    reads, shown = threading.Event(), []
    sink = DisplaySink(lambda text, newline: (reads.wait(), shown.append(text)), text_of, None, Woken())
    for _each in range(60):
        sink.output(output(), b"x" * 99_999 + b"\n")
    sink.event(event("warning", text="careful"))
    assert (sink.backlog, shown) == (6_000_008, [])
    assert not sink.broken
    reads.set()
    sink.close()
    assert "".join(shown) == ("x" * 99_999 + "\n") * 60 + "careful\n"


def test_display_without_its_main_process_is_broken() -> None:
    woken = Woken()

    def gone(_text: str, newline: bool) -> None:
        raise BrokenPipeError

    sink = DisplaySink(gone, text_of, None, woken)
    sink.output(output(), b"x\n")
    woken.wait()
    assert (sink.broken, sink.backlog) == (True, 0)
    sink.close()


def test_display_that_takes_its_time_breaks_no_line() -> None:
    reads, shown, clock = threading.Event(), [], Clock()
    sink = DisplaySink(lambda text, newline: (reads.wait(), shown.append(text)), text_of, None, Woken(), clock=clock)
    sink.output(output(0), b"x\none ")
    sink.output(output(1), b"other\n")
    look_often(sink, clock)
    sink.output(output(0), b"and the same line\n")
    reads.set()
    sink.close()
    assert "".join(shown) == "x\none and the same line\nother\n"


def test_display_that_ends_pieces_by_itself_gets_whole_lines() -> None:
    shown: list[str] = []
    sink = DisplaySink(lambda text, newline: shown.append(text), lambda _event: None, None, Woken(), whole_lines=True)
    for piece in (b"up", b" ", b"3", b"\nand", b" on"):
        sink.output(output(), piece)
    wait_until(lambda: shown == ["up 3\n"], "the whole line is shown")
    sink.close()
    assert shown == ["up 3\n", "and on"]
