"""The fetch role says the same in its defaults and in its arguments."""

from __future__ import annotations

from pathlib import Path

import yaml

ROLE = Path(__file__).parents[3] / "collection" / "roles" / "fetch"


def test_every_argument_has_its_default() -> None:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    arguments = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert {name: argument["default"] for name, argument in arguments.items()} == defaults != {}
