"""Frames arrive as they were sent, however the stream is cut; what is no protocol is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

Plain = tuple[int, bytes, int, int]

frames = st.tuples(st.integers(0, 255), st.binary(max_size=40), st.integers(0, 2**16 - 1), st.integers(0, 2**64 - 1))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


def plain(frame: Any) -> Plain:
    return frame.kind, frame.payload, frame.rank, frame.offset


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return `data` cut at the given places, wherever they are."""
    at = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(at)]


def decode(data: bytes, cuts: list[int], *, marker: bool = False) -> tuple[Any, list[Plain]]:
    decoder = wire.Decoder(marker=marker)
    return decoder, [plain(frame) for piece in pieces(data, cuts) for frame in decoder.feed(piece)]


@given(st.lists(frames, max_size=6), st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_survive_any_cut(sent: list[Plain], cuts: list[int]) -> None:
    assert decode(b"".join(wire.encode(*frame) for frame in sent), cuts)[1] == sent


@given(
    st.binary(max_size=60).filter(lambda data: wire.MARKER not in data + wire.MARKER[:-1]),
    st.lists(frames, max_size=3),
    st.lists(st.integers(0, 10_000)),
)
def test_greeting_of_a_login_shell_is_set_aside(greeting: bytes, sent: list[Plain], cuts: list[int]) -> None:
    decoder, got = decode(greeting + wire.MARKER + b"".join(wire.encode(*frame) for frame in sent), cuts, marker=True)
    assert (decoder.greeting, got, decoder.synchronised) == (greeting, sent, True)


@given(json_values, st.integers(0, 65535))
def test_control_message_arrives_as_it_was(message: Any, rank: int) -> None:
    (frame,) = wire.Decoder().feed(wire.encode_json(wire.READY, message, rank))
    assert (frame.kind, frame.rank, frame.json()) == (wire.READY, rank, message)


def test_text_that_is_no_unicode_travels_in_a_control_message() -> None:
    (frame,) = wire.Decoder().feed(wire.encode_json(wire.READY, {"cwd": "/a\udcff"}))
    assert frame.json() == {"cwd": "/a\udcff"}


def test_nothing_is_decoded_before_the_marker() -> None:
    decoder = wire.Decoder(marker=True)
    assert decoder.feed(wire.encode(wire.PING)) == []
    assert not decoder.synchronised
    assert decoder.greeting == wire.encode(wire.PING)


def test_decoder_without_marker_is_synchronised_at_once() -> None:
    assert wire.Decoder().synchronised


def test_marker_cannot_come_from_an_echoed_command_line() -> None:
    assert b"\0" in wire.MARKER


def test_long_greeting_is_kept_at_its_end_only() -> None:
    decoder = wire.Decoder(marker=True)
    decoder.feed(b"x" * wire.MAX_GREETING + b"the end" + wire.MARKER)
    assert len(decoder.greeting) == wire.MAX_GREETING
    assert decoder.greeting.endswith(b"the end")


def test_greeting_without_end_is_refused() -> None:
    decoder = wire.Decoder(marker=True)
    for _piece in range(64):
        decoder.feed(b"y\n" * (wire.MAX_GREETING // 2))
    with pytest.raises(wire.WireError, match="prints without end"):
        decoder.feed(b"y\n")


@pytest.mark.parametrize("length", [wire.MAX_PAYLOAD + 1, 2**32 - 1])
def test_oversize_frame_is_refused_before_it_is_read(length: int) -> None:
    with pytest.raises(wire.WireError, match=f"{length} bytes: the stream is damaged"):
        wire.Decoder().feed(wire.HEADER.pack(wire.STDOUT, 0, 0, length))


def test_largest_frame_passes() -> None:
    (frame,) = wire.Decoder().feed(wire.encode(wire.STDOUT, bytes(wire.MAX_PAYLOAD), 1, 2**63))
    assert (len(frame.payload), frame.offset) == (wire.MAX_PAYLOAD, 2**63)


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"{} {}"])
def test_control_message_that_is_no_json_is_refused(payload: bytes) -> None:
    (frame,) = wire.Decoder().feed(wire.encode(wire.SPEC, payload))
    with pytest.raises(wire.WireError, match="kind 20 does not hold JSON"):
        frame.json()


def test_payload_is_a_copy_that_later_bytes_do_not_change() -> None:
    decoder = wire.Decoder()
    (first,) = decoder.feed(wire.encode(wire.STDOUT, b"one"))
    decoder.feed(wire.encode(wire.STDOUT, b"two"))
    assert first.payload == b"one"
