"""Writing without waiting for a reader."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.writer import Writer, write_all
from tests.unit.readers import Clock, Pipe, Woken, waits_for


def test_writer_writes_all_in_order_before_it_closes() -> None:
    written: list[bytes] = []
    writer = Writer(written.append, Woken())
    for number in range(100):
        writer.put(b"%d," % number)
    writer.put(b"")
    writer.close()
    assert b"".join(written) == b"".join(b"%d," % number for number in range(100))
    assert (writer.size, writer.broken) == (0, False)


def test_writer_counts_bytes_its_reader_has_not_taken() -> None:
    may_write, woken = threading.Event(), Woken()
    writer = Writer(waits_for(may_write), woken)
    writer.put(b"12345")
    assert writer.size == 5
    may_write.set()
    woken.wait()
    assert writer.size == 0
    writer.close()


def test_writer_measures_how_long_its_reader_is_behind() -> None:
    may_write, woken, clock = threading.Event(), Woken(), Clock()
    writer = Writer(waits_for(may_write), woken, clock)
    clock.now += 1
    assert writer.behind() == 0
    writer.put(b"1")
    clock.now += 2
    assert writer.behind() == 2
    writer.put(b"2")
    clock.now += 3
    may_write.set()
    while writer.size:
        woken.wait()
    clock.now += 4
    assert [writer.behind(), writer.behind()] == [3, 0]
    writer.close()


def test_writer_without_reader_is_broken_and_keeps_nothing() -> None:
    def fail(_data: bytes) -> None:
        raise BrokenPipeError

    woken = Woken()
    writer = Writer(fail, woken)
    writer.put(b"lost")
    woken.wait()
    writer.put(b"lost as well")
    assert (writer.broken, writer.size) == (True, 0)
    writer.close()


def test_closing_is_bounded_when_the_reader_takes_nothing() -> None:
    reader = threading.Event()
    writer = Writer(waits_for(reader), Woken())
    writer.put(b"x")
    writer.close(patience=0.01)
    assert writer.size == 1
    reader.set()
    writer.close()
    assert writer.size == 0


def test_closing_goes_on_as_long_as_the_reader_takes_something() -> None:
    """Each piece of the queue is taken only when the one before it has been: none of them hits the patience."""
    taken: list[int] = []
    writer = Writer(lambda data: (threading.Event().wait(0.05), taken.append(len(data))), Woken())
    for _each in range(50):
        writer.put(bytes(300_000))
    writer.close(patience=2.0)
    assert (sum(taken), writer.size) == (15_000_000, 0)


def test_writer_that_was_given_nothing_has_no_thread() -> None:
    before = threading.active_count()
    writer = Writer(waits_for(threading.Event()), Woken())
    writer.put(b"")
    assert threading.active_count() == before
    writer.close()


def test_bytes_are_written_though_the_descriptor_is_full() -> None:
    pipe = Pipe()
    os.set_blocking(pipe.write, False)
    data = bytes(1_000_000)
    thread = threading.Thread(target=write_all, args=(pipe.write, data))
    thread.start()
    got = 0
    while got < len(data):
        got += len(os.read(pipe.read, 65536))
    thread.join(60)
    assert not thread.is_alive()
    pipe.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EBADF])
def test_writer_to_an_unfit_place_drops_all_and_is_not_broken(number: int) -> None:
    def fail(_data: bytes) -> None:
        raise OSError(number, os.strerror(number))

    woken = Woken()
    writer = Writer(fail, woken)
    writer.put(b"lost")
    woken.wait()
    writer.put(b"lost as well")
    assert (writer.size, writer.broken, writer.unfit and writer.unfit.errno) == (0, False, number)
    writer.close()
