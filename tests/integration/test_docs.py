"""The pages run as they are written, and print what they show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import blocks

ROOT = Path(__file__).parents[2]
RUNNER = Path(__file__).parent / "pages.py"
PAGES = [
    page for page in sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md")]) if blocks(page.read_text("utf-8"))
]
WRITE = ["--write"] if os.environ.get("CATGA_WRITE_DOCS") == "1" else []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_runs_as_written(page: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(RUNNER), str(page), *WRITE]
    # Without the development mode of the tests: under it asyncio reports every step that takes long on a busy machine.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "", "a page that runs well says nothing on the side"


def test_both_readmes_show_the_same_code() -> None:
    english, chinese = (blocks((ROOT / name).read_text("utf-8")) for name in ("README.md", "README.zh-CN.md"))
    assert [block.code for block in english] == [block.code for block in chinese]


def test_a_page_that_shows_what_it_does_not_print_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\n```text\n2\n```\n", "utf-8")
    done = subprocess.run([sys.executable, str(RUNNER), str(page)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "but prints\n1" in done.stderr
    subprocess.run([sys.executable, str(RUNNER), str(page), "--write"], check=True)
    assert "```text\n1\n```" in page.read_text("utf-8")
