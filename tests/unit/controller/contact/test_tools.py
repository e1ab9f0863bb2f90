"""The command line tools that softwareupdate lists, in the forms that it has had."""

from __future__ import annotations

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.contact.tools import INSTALL, LIST, by_hand, newest

NEW = """\
Software Update Tool

Finding available software
Software Update found the following new or updated software:
* Label: Command Line Tools for Xcode-15.3
	Title: Command Line Tools for Xcode, Version: 15.3, Size: 707501KiB, Recommended: YES,
* Label: Command Line Tools for Xcode-16.10
	Title: Command Line Tools for Xcode, Version: 16.10, Size: 751372KiB, Recommended: YES,
* Label: Command Line Tools for Xcode-16.4
	Title: Command Line Tools for Xcode, Version: 16.4, Size: 751372KiB, Recommended: YES,
* Label: Command Line Tools beta 2 for Xcode-27.0
	Title: Command Line Tools beta 2 for Xcode, Version: 27.0, Size: 751372KiB, Recommended: YES,
* Label: macOS Tahoe 26.3-25D125
	Title: macOS Tahoe 26.3, Version: 26.3, Size: 4512345KiB, Recommended: YES, Action: restart,
"""
SPACED = "* Label: Command Line Tools for Xcode 26.4-26.4\n* Label: Command Line Tools for Xcode 26.4-26.4.1\n"
OLD = """\
Software Update found the following new or updated software:
   * Command Line Tools (macOS Mojave version 10.14) for Xcode-10.3
	Command Line Tools (macOS Mojave version 10.14) for Xcode (10.3), 199250K [recommended]
"""


@pytest.mark.parametrize(
    ("listed", "label"),
    [
        (NEW, "Command Line Tools for Xcode-16.10"),
        (SPACED, "Command Line Tools for Xcode 26.4-26.4.1"),
        (OLD, "Command Line Tools (macOS Mojave version 10.14) for Xcode-10.3"),
        ("No new software available.\n", None),
        ("", None),
        ("* Label: Command Line Tools beta for Xcode-27.0\n", None),
        ("* Label: Command Line Tools for Xcode-1\x1b[2J\n", None),
        (f"* Label: Command Line Tools for Xcode-{'1' * 5000}\n", None),
    ],
)
def test_newest_release_is_chosen(listed: str, label: str | None) -> None:
    assert newest(listed) == label


def test_label_goes_as_data() -> None:
    """From standard input, as one word, and the file that makes softwareupdate offer the tools goes in any case."""
    assert "read -r label" in INSTALL
    assert '"$label"' in INSTALL
    assert all("trap" in command and "in-progress" in command for command in (LIST, INSTALL))
    assert by_hand("Tools-1")[2] == ("sudo", "softwareupdate", "--install", "Tools-1")
