# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cables as a picture: hosts on a circle, a line for each cable. Pure, and without any program."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from itertools import pairwise

from ...output.escape import escape
from ..plan.plan import Plan
from ..topology.cables import Cable
from .table import cable_text

_BOX = (150, 58)
_MARGIN = (110, 60)  # pixels beside the middles of boxes, and above and below them
_LONGEST = 18  # characters of a name
_SPREAD = 62  # pixels between cables of one pair, enough for a label
_DEVICE = 14  # characters of a device between
_LEAST_WIDTH = 540.0  # pixels, for the legend
_APART = 340  # pixels between neighbours on the circle, enough for three labels
_FAST, _MIDDLE, _UNKNOWN = "#0b7a75", "#2f6fb3", "#8a8f98"
_STYLE = """
text { font-family: -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #1d2430; }
.name { font-size: 15px; font-weight: 600; } .small { font-size: 11px; fill: #5b6472; }
.label { font-size: 10.5px; fill: #3b4350; paint-order: stroke; stroke: #fff; stroke-width: 3px; }
.box { fill: #f6f8fb; stroke: #c5ccd6; stroke-width: 1.2; } .cable { fill: none; stroke-linecap: round; }
.rank { fill: #1d2430; } .rank-number { font-size: 11px; font-weight: 700; fill: #fff; }
"""
Point = tuple[float, float]


def render_svg(plan: Plan) -> str:
    """Return the picture; a cable in the plan is solid, any other dashed, and its colour shows its speed."""
    count = len(plan.hosts)
    radius = 0.0 if count < 2 else _APART / (2 * math.sin(math.pi / count))
    places, (width, height) = _layout([_place(at, count, radius) for at in range(count)])
    size = f'width="{width:.0f}" height="{height + 40:.0f}" viewBox="0 0 {width:.0f} {height + 40:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{_safe(_title(plan))}</title>",
        f"<style>{_STYLE}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        *_cables(plan, places),
        *_hosts(plan, places, width / 2, _MARGIN[1] + radius),
        *_legend(plan, height),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _place(at: int, count: int, radius: float) -> Point:
    turn = 2 * math.pi * at / max(count, 1) - math.pi / 2
    return (radius * math.cos(turn), radius * math.sin(turn))


def _layout(places: list[Point]) -> tuple[list[Point], Point]:
    """Return the places moved into the picture, and its size; without the empty part of the circle."""
    if not places:
        return [], (_LEAST_WIDTH, 2 * _MARGIN[1])
    reach, top, bottom = max(abs(x) for x, _y in places), min(y for _x, y in places), max(y for _x, y in places)
    width = max(_LEAST_WIDTH, 2 * (reach + _MARGIN[0]))
    return [(x + width / 2, y - top + _MARGIN[1]) for x, y in places], (width, bottom - top + 2 * _MARGIN[1])


def _title(plan: Plan) -> str:
    return f"{len(plan.hosts)} hosts, {len(plan.cabling.cables)} cables" + (f", {plan.backend} over {plan.over}" if plan.backend else "")


def _safe(text: str) -> str:
    """Return a text that is nothing but text in XML."""
    plain = "".join(char for char in " ".join(escape(text).split()) if char.isprintable())
    return html.escape(plain, quote=True)


def _short(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _cables(plan: Plan, places: list[Point]) -> Iterator[str]:
    used = {link.cable.identity for link in plan.links}
    between: dict[tuple[int, int], list[Cable]] = {}
    for cable in plan.cabling.cables:
        between.setdefault(cable.hosts, []).append(cable)
    for (one, other), cables in between.items():
        for at, cable in enumerate(cables):
            bend = (at - (len(cables) - 1) / 2) * _SPREAD
            yield from _cable(plan, cable, (places[one], places[other]), bend, solid=cable.identity in used)


def _cable(plan: Plan, cable: Cable, ends: tuple[Point, Point], bend: float, *, solid: bool) -> Iterator[str]:
    (x1, y1), (x2, y2) = ends
    length = math.hypot(x2 - x1, y2 - y1) or 1.0
    # A curve passes half way between its chord and its control point.
    control = ((x1 + x2) / 2 - (y2 - y1) / length * bend * 2, (y1 + y2) / 2 + (x2 - x1) / length * bend * 2)
    colour = _UNKNOWN if not cable.speed else _FAST if cable.speed >= 80 else _MIDDLE
    dashes = "" if solid else ' stroke-dasharray="6 6"'
    yield f"<g><title>{_safe(cable_text(plan, cable))}</title>"
    yield f'<path class="cable" stroke="{colour}" stroke-width="{3 if solid else 2}"{dashes} '
    yield f'd="M {x1:.1f} {y1:.1f} Q {control[0]:.1f} {control[1]:.1f} {x2:.1f} {y2:.1f}"/>'
    texts = [_short(cable.ends[0].interface or "?"), f"{cable.speed:g} Gb/s" if cable.speed else "", _short(cable.ends[1].interface or "?")]
    away = (_BOX[0] * 0.62) / length
    # The cables of hosts that are no neighbours cross half way, where all their labels would be.
    middle = 0.5 if abs(cable.hosts[0] - cable.hosts[1]) in (1, len(plan.hosts) - 1) else 0.38
    for text, turn in zip(texts, (away, middle, 1 - away), strict=True):
        x, y = _on_curve((x1, y1), control, (x2, y2), turn)
        yield f'<text class="label" text-anchor="middle" x="{x:.1f}" y="{y + 4:.1f}">{_safe(text)}</text>'
    if cable.through:
        x, y = _on_curve((x1, y1), control, (x2, y2), middle)
        yield f'<text class="label" text-anchor="middle" x="{x:.1f}" y="{y + 17:.1f}">{_safe(_short(cable.through[0], _DEVICE))}</text>'
    yield "</g>"


def _on_curve(start: Point, control: Point, end: Point, turn: float) -> Point:
    points = [start, control, end]
    while len(points) > 1:
        points = [(a[0] + (b[0] - a[0]) * turn, a[1] + (b[1] - a[1]) * turn) for a, b in pairwise(points)]
    return points[0]


def _hosts(plan: Plan, places: list[Point], middle: float, centre: float) -> Iterator[str]:
    """Yield the boxes; the rank is at the corner that looks away from the cables."""
    ranks = {at: rank for rank, at in enumerate(plan.order)}
    width, height = _BOX
    for at, (host, (x, y)) in enumerate(zip(plan.hosts, places, strict=True)):
        yield f'<g><rect class="box" rx="10" x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width}" height="{height}"/>'
        yield f'<text class="name" text-anchor="middle" x="{x:.1f}" y="{y - 2:.1f}">{_safe(_short(host.name))}</text>'
        about = host.system.model or host.system.name
        yield f'<text class="small" text-anchor="middle" x="{x:.1f}" y="{y + 16:.1f}">{_safe(_short(about))}</text>'
        if at in ranks:
            corner = (x + math.copysign(width / 2, x - middle - 1), y + math.copysign(height / 2, y - centre - 1))
            yield f'<circle class="rank" cx="{corner[0]:.1f}" cy="{corner[1]:.1f}" r="11"/>'
            yield f'<text class="rank-number" text-anchor="middle" x="{corner[0]:.1f}" y="{corner[1] + 4:.1f}">{ranks[at]}</text>'
        yield "</g>"


def _legend(plan: Plan, height: float) -> Iterator[str]:
    parts = ((_FAST, "80 Gb/s or more"), (_MIDDLE, "slower"), (_UNKNOWN, "speed not known"))
    x, y = 24.0, height + 6
    for colour, text in parts:
        yield f'<path class="cable" stroke="{colour}" stroke-width="3" d="M {x:.0f} {y:.0f} h 22"/>'
        yield f'<text class="small" x="{x + 28:.0f}" y="{y + 4:.0f}">{text}</text>'
        x += 48 + 7 * len(text)
    yield f'<text class="small" x="24" y="{y + 20:.0f}">{_safe(_title(plan))}; dashed: not in the plan; a circle has the rank</text>'
