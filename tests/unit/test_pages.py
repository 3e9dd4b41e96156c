"""What the pages name exists: the files they link to, the tests they lean on, the errors they explain."""

import ast
import re
from pathlib import Path

import pytest

from catga import errors

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
TEST = re.compile(r"`(tests/[\w/]+\.py|rust/[\w/-]+\.rs)::(\w+)`")
ENTRY = re.compile(r"^### (CTG-\d{4}) (\w+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for link in LINK.findall(text):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    linked = set(LINK.findall((DOCS / "index.md").read_text("utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} - {"index.md"} <= linked


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    names = sorted(page.name for page in (DOCS / "decisions").glob("[0-9]*.md"))
    assert [name[:4] for name in names] == [f"{number:04d}" for number in range(1, len(names) + 1)]
    listed = LINK.findall((DOCS / "decisions" / "README.md").read_text("utf-8"))
    assert [link for link in listed if link in names] == names


def test_every_promise_names_a_test_that_exists() -> None:
    page = (DOCS / "guarantees.md").read_text("utf-8")
    promises = re.findall(r"^## .+$", page, re.MULTILINE)
    named = TEST.findall(page)
    assert len(named) >= len(promises) > 5
    missing = [f"{file}::{name}" for file, name in named if not has_test(ROOT / file, name)]
    assert missing == []


def has_test(file: Path, name: str) -> bool:
    if not file.exists():
        return False
    text = file.read_text("utf-8")
    if file.suffix == ".rs":
        return f"fn {name}(" in text
    return any(getattr(node, "name", None) == name for node in ast.walk(ast.parse(text)))


def known_errors() -> dict[str, str]:
    """Codes in `catga.errors`, and the frame's, which the extension raises."""
    found: dict[str, str] = {}
    waiting: list[type[errors.CatgaError]] = [errors.CatgaError]
    for kind in waiting:
        waiting += kind.__subclasses__()
        if "code" in vars(kind) and kind.__module__ == errors.__name__:
            assert kind.code not in found, f"{kind.code} is taken twice"
            found[kind.code] = kind.__name__
    frame = (ROOT / "rust" / "catga-core" / "src" / "frame.rs").read_text("utf-8")
    return found | dict.fromkeys(re.findall(r'"(CTG-3\d{3})"', frame), "FrameError")


def test_every_code_is_explained_and_nothing_else() -> None:
    page = (DOCS / "errors.md").read_text("utf-8")
    assert dict(ENTRY.findall(page)) == known_errors()
    for entry in re.split(r"^### ", page, flags=re.MULTILINE)[1:]:
        assert "**Why.**" in entry, entry
        assert "**Fix.**" in entry, entry
