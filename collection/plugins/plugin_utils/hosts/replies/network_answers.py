# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of answers about a host's network; see `answers`. Pure.

Programs that a host would run are shown to a person. So they have the forms that `port_setup.steps` makes, and are
about the port that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ....module_utils.shared.network import port_setup
from ....module_utils.shared.shapes import (
    Shape,
    command,
    either,
    flag,
    list_of,
    map_of,
    matching,
    nothing,
    number,
    one_of,
    path_text,
    record,
    row_of,
    text,
    whole,
)

MOST_ANSWERS, LONGEST_ANSWER = 64, 4 * 1024 * 1024  # raw answers, and characters of one, as the agent cuts it
_MOST = 256  # ports, steps of a port, and words of a step
_WORD = matching(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,200}")
_ERRNO = row_of(matching(r"[A-Z0-9_]{0,32}"), path_text(4096))  # the reason may name a Python
_SECONDS, _RATE = number(0, 1e6), number(0, 1e15)
_RAW = record(
    {"format": whole(0, 2**31), "system": text(64)},
    {"answers": map_of(text(LONGEST_ANSWER), MOST_ANSWERS), "failed": map_of(text(4096), MOST_ANSWERS)},
)
_INTERFACE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
_IP = r"\d{1,3}(\.\d{1,3}){3}"
_OWN = re.escape(port_setup.OWN)


def _step(interface: str, ip: str, mask: str, *, back: bool) -> Shape:
    """Return the shape of the words of one program.

    Args:
        interface: of the port.
        ip, mask: patterns of the address that it gets.
        back: whether it may go back to what was there before.
    """
    own, service = re.escape(interface), ".+" if back else f"{_OWN}.+"
    forms = [
        rf"ifconfig\n{_INTERFACE}\n(addm|deletem)\n{own}",
        rf"ifconfig\n{own}\ninet\n({_IP}\n-alias|{ip}\nnetmask\n{mask}(\nalias)?)",
        rf"networksetup\n(-createnetworkservice\n{service}\n.+|-setv4off\n.+)",
        rf"networksetup\n-setmanual\n.+\n{ip}\n{mask}",
    ]
    forms += [rf"networksetup\n(-(removenetworkservice|setdhcp)\n.+|-setmanual\n.+\n{_IP}\n{_IP}\n{_IP})"] if back else []
    return command(_WORD, "|".join(forms), _MOST)


def _port(interface: Shape, step: Shape) -> Shape:
    return record(
        {
            "interface": interface,
            **dict.fromkeys(("before", "after", "rejoins"), _WORD),
            "steps": list_of(step, _MOST),
            "persistent": flag,
            "note": text(4096),
        },
        {"error": text(8192, least=1)},
    )


def _set_up(port: Mapping[str, str], check: bool, **_asked: Any) -> Shape:
    """Return the shape of a port after a setup; one that fails halfway goes back, which a look never does."""
    ip, mask = (_IP, _IP) if not check else (re.escape(port["ip"]), re.escape(port["mask"]))
    return _port(one_of(port["interface"]), _step(port["interface"], ip, mask, back=not check))


def _undone(value: Any) -> Any:
    name = record({"interface": matching(_INTERFACE)})(value)["interface"]
    return _port(one_of(name), _step(name, _IP, _IP, back=True))(value)


_STUCK = record({"interface": _WORD, "steps": list_of(_WORD, 0), "error": text(4096, least=1)})


def _listening(addresses: Sequence[str], **_asked: Any) -> Shape:
    return record(dict.fromkeys(addresses, either(whole(1, 65535), _ERRNO)))


def _tried(targets: Sequence[Any], **_asked: Any) -> Shape:
    one = either(record({"error": _ERRNO}), record({"latency": _SECONDS}, {"bandwidth": _RATE}))
    return row_of(*[one for _target in targets])


def _rdma(devices: Sequence[str], **_asked: Any) -> Shape:
    return map_of(text(), names=devices)


_SUM = record(
    {"size": whole(1, 65536), "sum": number(-1e9, 1e9), "latency": _SECONDS, "bytes": whole(1, 2**40), "seconds": number(1e-9, 1e6)}
)

#: By call: a function that is given its arguments, and returns the shape of its answer.
ANSWERS: Mapping[str, Callable[..., Shape]] = {
    "network": lambda **_asked: _RAW,
    "running": lambda **_asked: record({"jobs": list_of(_WORD), "uid": whole(0, 2**32)}),
    "set_up_port": _set_up,
    "undo_ports": lambda **_asked: list_of(either(_undone, _STUCK), _MOST),
    "rdma_ports": _rdma,
    "answer_links": _listening,
    "try_links": _tried,
    "silence_links": lambda **_asked: nothing,
    "sum_over_ring": lambda **_asked: either(record({"error": text(4096)}), _SUM),
}
