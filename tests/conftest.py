"""What all tests share: the lab's fixtures, and which tests run with every version of Python and ansible-core."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

pytest_plugins = ["tests.lab.pytest_plugin"]

TESTS = Path(__file__).parent
VERSIONS = (TESTS / "unit", TESTS / "integration" / "test_ansible_versions.py")

# Under nohup this is ignored, and whatever the tests start would ignore it as well, as it should.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark unit tests, which are quick, and those of what Ansible does not promise; a test may say it itself."""
    for item in items:
        if any(item.path.is_relative_to(path) for path in VERSIONS):
            item.add_marker(pytest.mark.versions)
