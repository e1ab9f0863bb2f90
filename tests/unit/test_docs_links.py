"""Pages in Markdown: links lead somewhere, prose is wrapped, the README lists every page, and named tests exist."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent.parent
WIDTH = 120
#: Reports of the benchmark, as `benchmarks/report.py` writes them.
GENERATED = CHECKOUT / "benchmarks" / "results"

_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_CODE = re.compile(r"(`+).+?\1", re.DOTALL)
_INLINE = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\))?[^()\s]*)\)")
_REFERENCE = re.compile(r"\[([^\[\]]+)\]\[([^\[\]]*)\]")
_DEFINITION = re.compile(r"^ {0,3}\[([^\[\]]+)\]: +(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def pages() -> list[str]:
    """Return the Markdown files of the checkout, without hidden folders and builds."""
    found = []
    for folder, folders, names in os.walk(CHECKOUT):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in {"build", "dist"})
        found += [Path(folder, name).relative_to(CHECKOUT).as_posix() for name in sorted(names) if name.endswith(".md")]
    return found


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a page that are not in a fenced block."""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = _FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        elif not fence:
            yield number, line


def headings(text: str) -> list[str]:
    """Return the anchors of a page, as GitHub derives them from its headings."""
    anchors: list[str] = []
    for _number, line in prose(text):
        if heading := _HEADING.match(line):
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            earlier = sum(re.sub(r"-\d+$", "", other) == anchor for other in anchors)
            anchors.append(f"{anchor}-{earlier}" if earlier else anchor)
    return anchors


def targets(text: str) -> list[str]:
    """Return the targets of a page's links; a reference without a definition is its own target."""
    plain = _CODE.sub("", "\n".join(line for _number, line in prose(text)))
    defined = {name.lower(): target for name, target in _DEFINITION.findall(plain)}
    referred = [(name or label).lower() for label, name in _REFERENCE.findall(plain)]
    return _INLINE.findall(plain) + [defined.get(name, f"[{name}]") for name in referred] + list(defined.values())


def broken(page: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    found = []
    for target in targets(page.read_text(encoding="utf-8")):
        if _ELSEWHERE.match(target):
            continue
        path, _hash, anchor = target.partition("#")
        place = page.parent / path if path else page
        if not place.exists() or (anchor and anchor not in headings(place.read_text(encoding="utf-8"))):
            found.append(target)
    return found


@pytest.mark.parametrize("page", pages())
def test_links_of_page_lead_somewhere(page: str) -> None:
    assert broken(CHECKOUT / page) == []


@pytest.mark.parametrize("page", [page for page in pages() if GENERATED not in (CHECKOUT / page).parents])
def test_prose_of_page_is_wrapped(page: str) -> None:
    lines = prose((CHECKOUT / page).read_text(encoding="utf-8"))
    wide = [number for number, line in lines if len(line) > WIDTH and not line.lstrip().startswith("|") and not _DEFINITION.match(line)]
    assert wide == []


def test_readme_lists_every_page_of_docs() -> None:
    listed = set(targets((CHECKOUT / "README.md").read_text(encoding="utf-8")))
    assert {f"docs/{path.name}" for path in (CHECKOUT / "docs").iterdir()} <= listed


def guarantees() -> list[str]:
    """Return the rows of the tables of guarantees, without their heads."""
    text = (CHECKOUT / "SECURITY.md").read_text(encoding="utf-8")
    part = re.split(r"^## ", text, flags=re.MULTILINE)[2]
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    return [row for row in rows if not row.startswith(("| guarantee |", "| --- "))]


def names_in(file: Path) -> set[str]:
    """Return the names of the tests in a file."""
    return {node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_every_guarantee_names_a_test_that_exists() -> None:
    rows = guarantees()
    assert len(rows) > 20
    wrong = []
    for row in rows:
        named = re.search(r"\| `(tests/[\w/]+\.py)::(test_\w+)` \|$", row)
        if not named or not (CHECKOUT / named[1]).is_file() or named[2] not in names_in(CHECKOUT / named[1]):
            wrong.append(row)
    assert wrong == []


def test_readme_leads_to_the_page_on_security() -> None:
    assert "SECURITY.md" in targets((CHECKOUT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "link",
    ["[a](absent.md)", "[a](#no-such-part)", "[a](other.md#no-such-part)", "[a][nowhere]", "[a][]\n\n[a]: absent.md"],
)
def test_broken_link_is_found(tmp_path: Path, link: str) -> None:
    (tmp_path / "other.md").write_text("# Other\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{link}\n", encoding="utf-8")
    assert len(set(broken(page))) == 1


def test_good_links_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# The `--flag`, once more\n\n```\n# no heading\n```\n\n## Part\n\n## Part\n", encoding="utf-8")
    page = tmp_path / "page.md"
    lines = ["# Page", "[a](other.md#the---flag-once-more) [b](other.md#part-1) [c](#page) [d](https://example.org/x)", "`[e](absent.md)`"]
    page.write_text("\n".join([*lines, "```", "[f](absent.md)", "```", ""]), encoding="utf-8")
    assert broken(page) == []
