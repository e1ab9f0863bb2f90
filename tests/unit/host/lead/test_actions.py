"""The actions that wait to be carried out."""

from __future__ import annotations

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.lead.actions import Close, Emit, Outbox, Recover, Send


def test_actions_are_taken_once_and_in_order() -> None:
    out = Outbox()
    out.emit("host_lost", "a", text="reset")
    out.add(Close("a"), Recover("a"))
    out.send("b", 3, {"grace": 1})
    assert out.take() == [Emit("host_lost", "a", None, {"text": "reset"}), Close("a"), Recover("a"), Send("b", 3, {"grace": 1})]
    assert out.take() == []
