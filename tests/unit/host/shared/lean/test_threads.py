# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads, locks and queues do what those of `threading` and `queue` do."""

from __future__ import annotations

import threading

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.lean import threads


def test_function_runs_in_a_thread_of_its_own() -> None:
    ran = threads.SimpleQueue()
    threads.start(lambda: ran.put(threads.current_thread()))
    assert ran.get() not in (threads.current_thread(), 0)
    assert threads.current_thread() == threading.get_ident()


def test_queue_hands_over_in_order_and_lock_is_held_by_one() -> None:
    queue, lock = threads.SimpleQueue(), threads.make_lock()
    with lock:
        threads.start(lambda: (queue.put("waits"), lock.acquire(), queue.put("has it"), lock.release()))
        assert queue.get() == "waits"
        assert not lock.acquire(blocking=False)
        assert queue.empty()
    assert queue.get() == "has it"
