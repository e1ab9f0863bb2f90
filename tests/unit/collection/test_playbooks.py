"""The collection's playbooks: what the user's ansible.cfg must not decide is in each of their plays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[3]
PLAYBOOKS = CHECKOUT / "collection/playbooks"
PAGES = sorted(
    (*CHECKOUT.glob("docs/*.md"), *CHECKOUT.glob("*.md"), CHECKOUT / "collection/README.md", *CHECKOUT.glob("collection/plugins/*/*.py"))
)
SETTLED = {"strategy": "ansible.builtin.linear", "timeout": 0, "no_log": False, "debugger": "never"}


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("*.yml")), ids=lambda path: path.stem)
def test_play_says_what_one_task_for_all_hosts_needs(path: Path) -> None:
    for play in yaml.safe_load(path.read_text()):
        if "ansible.builtin.import_playbook" not in play:
            assert {name: play.get(name) for name in SETTLED} == SETTLED, play["name"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_page_names_playbooks_as_they_are_found_without_a_checkout(path: Path) -> None:
    text = path.read_text()
    assert set(re.findall(r"ansible-playbook [^`\n]*?\bmlxlaunch\.cluster\.(\w+)", text)) <= {book.stem for book in PLAYBOOKS.glob("*.yml")}
    assert not re.search(r"ansible-playbook [^`\n]*?\bplaybooks/", text)
