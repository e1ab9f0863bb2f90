"""The picture."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.network.views.svg import render_svg
from tests.unit.macs import Cluster, macs, mesh, ring

SVG = "{http://www.w3.org/2000/svg}"


def drawn(cluster: Cluster) -> ET.Element:
    return ET.fromstring(render_svg(cluster.plan()))  # noqa: S314


def texts(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def test_every_host_rank_cable_and_interface_is_drawn() -> None:
    picture = drawn(mesh(4, rdma=True))
    found = texts(picture)
    assert {"a", "b", "c", "d", "0", "1", "2", "3", "Mac15,14", "80 Gb/s"} <= set(found)
    assert found.count("en2") == 4
    assert len([path for path in picture.iter(f"{SVG}path") if "Q" in path.attrib["d"]]) == 6


def test_cables_of_a_pair_are_apart_and_unused_ones_dashed() -> None:
    picture = drawn(ring(3).cable("a3", "b3", speed="40 Gb/s"))
    curves = [path.attrib for path in picture.iter(f"{SVG}path") if "Q" in path.attrib["d"]]
    assert len({curve["d"] for curve in curves}) == 4
    assert sum("stroke-dasharray" in curve for curve in curves) == 1


@pytest.mark.parametrize("count", [1, 2, 9, 26])
def test_picture_holds_any_number_of_hosts(count: int) -> None:
    picture = drawn(macs(count))
    side = float(picture.attrib["width"])
    boxes = [rect.attrib for rect in picture.iter(f"{SVG}rect") if rect.get("class") == "box"]
    assert len(boxes) == count
    assert all(float(box["x"]) >= 0 and float(box["x"]) + float(box["width"]) <= side for box in boxes)


def test_same_plan_gives_the_same_picture() -> None:
    assert render_svg(ring(3).plan()) == render_svg(ring(3).plan())


def test_names_are_only_text() -> None:
    cluster = ring(3)
    cluster["a"].name = '<script>alert("x")</script>&\x00\x1b'
    cluster["b"].model = "<!--"
    picture = drawn(cluster)
    assert {element.tag for element in picture.iter()} <= {
        SVG + name for name in ("svg", "title", "style", "rect", "g", "path", "text", "circle")
    }
    assert any(text.startswith("<script>") for text in texts(picture))


BUNDLE = macs(2, rdma=True).cable("a1", "b1").cable("a2", "b2").cable("a3", "b3", speed="40 Gb/s", through=("Flex 8",))


@pytest.mark.parametrize("cluster", [*(mesh(count, ports=8, rdma=True) for count in (2, 3, 4, 6, 8)), ring(8), BUNDLE])
def test_labels_are_apart_and_no_rank_hides_one(cluster: Cluster) -> None:
    picture = drawn(cluster)
    labels = [text for text in picture.iter(f"{SVG}text") if text.get("class") == "label" and text.text]
    places = [(float(label.attrib["x"]), float(label.attrib["y"])) for label in labels]
    close = [(one, other) for at, one in enumerate(places) for other in places[at + 1 :] if math.dist(one, other) < 9]
    assert close == []
    ranks = [(float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in picture.iter(f"{SVG}circle")]
    assert all(math.dist(rank, place) > 20 for rank in ranks for place in places)


def test_several_cables_have_room_for_their_labels_and_a_device_is_named() -> None:
    picture = drawn(BUNDLE)
    speeds = sorted(float(text.attrib["x"]) for text in picture.iter(f"{SVG}text") if (text.text or "").endswith("0 Gb/s"))
    assert min(after - before for before, after in pairwise(speeds)) > 50
    assert "Flex 8" in texts(picture)
