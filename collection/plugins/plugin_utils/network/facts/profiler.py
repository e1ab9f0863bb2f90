# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Thunderbolt ports of a Mac, as `system_profiler SPThunderboltDataType -json` reports them. Pure.

The report has an element per port; old Intel Macs have one for two ports. Devices and other Macs are nested below it
to any depth. Other Macs have a domain uuid, that of the port at their end; devices have none. Fields may be absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_PORTS, MOST_ITEMS, DEEPEST = 64, 256, 32
_LONGEST = 200  # characters of a name or uuid
# The service by which a Mac shows its peers that RDMA is enabled there.
_RDMA_SERVICE = 64087
_SPEED = re.compile(r"(\d+(?:\.\d+)?)\s*Gb/s")
_TAG = re.compile(r"receptacle_(\d+)_tag")


@dataclass(frozen=True)
class Peer:
    """A Mac at the far end of a port.

    Attributes:
        uuid: domain of the port at its end.
        model: its model, as this side sees it.
        through: names of the devices between, nearest first.
        speed: Gb/s of the slowest part of the path that is known, 0 when none is.
        rdma: whether it advertises RDMA; None when the report lists no services.
    """

    uuid: str
    model: str = ""
    through: tuple[str, ...] = ()
    speed: float = 0.0
    rdma: bool | None = None


@dataclass(frozen=True)
class Bus:
    """A port of this Mac.

    Attributes:
        uuid: its domain, or empty.
        receptacle: N of "Thunderbolt N", or empty when the report does not tell it.
        connected: whether anything is attached.
        speed: Gb/s of the link, 0 while nothing is attached or when only a limit ("Up to") is reported.
        limit: Gb/s it can do, 0 when not known.
        peers: Macs behind it.
        devices: names of attached devices.
    """

    uuid: str
    receptacle: str = ""
    connected: bool = False
    speed: float = 0.0
    limit: float = 0.0
    peers: tuple[Peer, ...] = ()
    devices: tuple[str, ...] = ()


def parse_profiler(data: Any) -> list[Bus]:
    """Return the ports in the order of the report; none for a report without Thunderbolt hardware."""
    elements = data.get("SPThunderboltDataType") if isinstance(data, Mapping) else None
    if not isinstance(elements, list):
        return []
    return [_bus(element) for element in elements[:MOST_PORTS] if isinstance(element, Mapping) and _is_port(element)]


def _is_port(element: Mapping[str, Any]) -> bool:
    """Return whether an element is a port; `{"Thunderbolt": "no_hardware"}` is not, trimmed reports of a port are."""
    return bool(_text(element.get("domain_uuid_key")) or _tags(element) or _list(element.get("_items")))


def _bus(element: Mapping[str, Any]) -> Bus:
    tags = _tags(element)
    used = [tag for tag in tags.values() if _is_connected(tag)]
    # Two ports share an element: which of them has the items is known when only one is in use.
    tag = used[0] if len(used) == 1 else next(iter(tags.values())) if len(tags) == 1 else {}
    speed, limit = _speeds(tag.get("current_speed_key"))
    found = list(_walk(_list(element.get("_items")), (), speed))
    return Bus(
        uuid=_text(element.get("domain_uuid_key")),
        receptacle=_text(tag.get("receptacle_id_key")),
        connected=bool(found) or bool(used),
        speed=speed,
        limit=limit,
        peers=tuple(item for item in found if isinstance(item, Peer)),
        devices=tuple(item for item in found if isinstance(item, str)),
    )


def _tags(element: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    tags = {name: value for name, value in element.items() if _TAG.fullmatch(name) and isinstance(value, Mapping)}
    return {name: tags[name] for name in sorted(tags)}


def _is_connected(tag: Mapping[str, Any]) -> bool:
    return tag.get("receptacle_status_key") == "receptacle_connected"


def _walk(items: list[Any], through: tuple[str, ...], speed: float) -> Iterator[Peer | str]:
    """Yield the Macs below a port, and the names of devices; without recursion, as a stranger chooses the depth."""
    stack = [(item, through, speed) for item in reversed(items)]
    seen = 0
    while stack and seen < MOST_ITEMS:
        item, path, slowest = stack.pop()
        seen += 1
        if not isinstance(item, Mapping):
            continue
        name = _text(item.get("_name")) or _text(item.get("device_name_key")) or "a device"
        uuid = _text(item.get("domain_uuid_key"))
        if uuid:
            yield Peer(uuid, _text(item.get("device_name_key")) or name, path, slowest, _advertises_rdma(item))
        else:
            yield name
            here, _limit = _speeds(_upstream(item).get("current_speed_key"))
            slowest = min(slowest, here) if slowest and here else slowest or here
            path = (*path, name)
        if len(path) < DEEPEST:
            stack += [(below, path, slowest) for below in reversed(_list(item.get("_items")))]


def _upstream(item: Mapping[str, Any]) -> Mapping[str, Any]:
    tag = item.get("receptacle_upstream_ambiguous_tag")
    return tag if isinstance(tag, Mapping) else {}


def _advertises_rdma(item: Mapping[str, Any]) -> bool | None:
    services = [service for service in _list(item.get("services_title")) if isinstance(service, Mapping)]
    if not services:
        return None
    return any(str(service.get("protocol_id_key")) == str(_RDMA_SERVICE) for service in services)


def _speeds(value: Any) -> tuple[float, float]:
    """Return (speed of the link, limit) in Gb/s; "Up to 120 Gb/s" is only a limit."""
    text = _text(value)
    found = _SPEED.search(text)
    number = min(float(found[1]), 1e6) if found else 0.0
    return (0.0, number) if text.lower().startswith("up to") else (number, number)


def _text(value: Any) -> str:
    return str(value)[:_LONGEST].strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _list(value: Any) -> list[Any]:
    return value[:MOST_ITEMS] if isinstance(value, list) else []
