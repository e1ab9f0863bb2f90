"""What all tests share: the lab's fixtures, and which tests run with every version of Python and ansible-core."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import settings

_ROWS = 6  # of a sweep, of which one runs

pytest_plugins = ["tests.lab.pytest_plugin"]

TESTS = Path(__file__).parent
#: What touches Ansible, or Python in ways that change from version to version.
VERSIONS = [
    *(TESTS / "unit" / name for name in ("collection", "package", "controller/caller", "controller/hosts")),
    TESTS / "integration/package/test_ansible_versions.py",
]

# Property tests are not timed: the machines they run on are busy with other things. For a longer search by hand,
# MLXLAUNCH_FUZZ is the number of cases of each.
settings.register_profile("tests", deadline=None, max_examples=int(os.environ.get("MLXLAUNCH_FUZZ", "100")))
settings.load_profile("tests")

# Under nohup, or in the background of a script, these are ignored, and whatever the tests start would ignore them as
# well, as it should.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for every row of a sweep."""
    parser.addoption(
        "--all-rows",
        action="store_true",
        help="run the tests marked `long` too, and all rows of those marked `sweep`, of which else one in six runs",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests of what depends on versions, beside those that say it themselves; leave out rows and long ones."""
    paths = {path for path in {item.path for item in items} if any(path.is_relative_to(each) for each in VERSIONS)}
    for item in items:
        if item.path in paths:
            item.add_marker(pytest.mark.versions)
    by_name = config.getoption("keyword") or any("::" in argument for argument in config.args)
    if not by_name and not config.getoption("--all-rows"):
        _thin_out(config, items)


def _thin_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is long, and five of six rows of each sweep: a row is a launch, most of which is Ansible's own start."""
    rows: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("sweep"):
            rows[item.nodeid.partition("[")[0]].append(item)
    left_out = {item for item in items if item.get_closest_marker("long")}
    left_out |= {item for name, each in rows.items() for at, item in enumerate(each) if at % _ROWS != _first(name, len(each))}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _first(name: str, count: int) -> int:
    """Return the first row of a test that runs: of two, such as versions of a program, now the one and now the other."""
    return crc32(name.encode()) % 2 if count == 2 else 0
