"""Refusals: the message of a call that is asked for something wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlxlaunch_ansible import UsageError


def refusal(call: Callable[..., object], *arguments: object, one_line: bool = True, **options: object) -> str:
    """Return the message with which a call refuses its arguments: a usage error, for exit status 2.

    Args:
        call: the function to call.
        arguments: its positional arguments.
        one_line: whether the message has to be a single line, as for all that a user types.
        options: its keyword arguments.
    """
    with pytest.raises(UsageError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert caught.value.returncode == 2
    assert not one_line or len(message.splitlines()) == 1, message
    return message
