"""A sink that only drops holds nothing up."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.output.sinks import STREAM_NAMES, Sink
from tests.unit.readers import event, output


def test_plain_sink_is_never_behind_due_or_broken() -> None:
    sink = Sink()
    sink.event(event("warning", text="careful"))
    sink.output(output(), b"x")
    sink.forward(b"frame")
    sink.tick(1.0)
    sink.close()
    assert (sink.backlog, sink.broken, sink.deadline()) == (0, False, None)


def test_streams_have_the_names_of_their_frames() -> None:
    assert STREAM_NAMES == {wire.STDOUT: "stdout", wire.STDERR: "stderr"}
