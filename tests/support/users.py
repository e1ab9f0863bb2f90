"""Other users of this machine, for tests that run as root."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest

#: Every system has this one, who owns nothing.
NOBODY = 65534
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user too")


def as_user(uid: int, do: Callable[[], Any]) -> Any:
    """Return the result of a function that a child runs as another user; its exception, when it raises one.

    Args:
        uid: of the user, and of his group; this user needs no rights for it.
        do: the function; its result has to be plain data.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if uid != os.geteuid():
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            result: Any = do()
        except BaseException as exc:  # noqa: BLE001 - whatever it is, the parent reports it
            result = f"{type(exc).__name__}: {exc}"
        with os.fdopen(writing, "wb") as out:
            pickle.dump(result, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as source:
        data = source.read()
    os.waitpid(child, 0)
    return pickle.loads(data)  # noqa: S301 - from the child above
