"""Runs a page of documentation: its python blocks, one after the other, as one script.

    python pages.py PAGE [--write]

A `text` block right under a python block is what that block must print; `--write` writes it anew. Needs nothing but the
standard library and what the page itself imports: the wheel is tried with it.
"""

import contextlib
import io
import itertools
import re
import sys
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A python block, and where the output it shows stands in the page, if it shows any."""

    code: str
    line: int
    shown: tuple[int, int] | None


def blocks(text: str) -> list[Block]:
    """Every python block of a page."""
    fences = list(FENCE.finditer(text))
    found = []
    for fence, following in itertools.zip_longest(fences, fences[1:]):
        if fence[1] != "python":
            continue
        directly = (
            following is not None and following[1] == "text" and not text[fence.end() : following.start()].strip()
        )
        shown = (following.start(2), following.end(2)) if following is not None and directly else None
        found.append(Block(fence[2], text.count("\n", 0, fence.start(2)), shown))
    return found


def run(page: Path, write: bool) -> list[str]:
    """Runs a page in this process's `__main__`; what it printed otherwise than it shows."""
    text = page.read_text("utf-8")
    wrong, moved = [], 0
    names = vars(sys.modules["__main__"])
    for block in blocks(text):
        out = io.StringIO()
        code = compile("\n" * block.line + block.code, str(page), "exec")
        with contextlib.redirect_stdout(out):
            exec(code, names)
        if block.shown is None:
            continue
        start, end = (place + moved for place in block.shown)
        if write:
            text = text[:start] + out.getvalue() + text[end:]
            moved += len(out.getvalue()) - (end - start)
        elif out.getvalue() != text[start:end]:
            wrong.append(f"{page.name}:{block.line}: shows\n{text[start:end]}\nbut prints\n{out.getvalue()}")
    if write:
        page.write_text(text, "utf-8")
    return wrong


if __name__ == "__main__":
    mistakes = run(Path(sys.argv[1]).resolve(), "--write" in sys.argv)
    print(*mistakes, sep="\n", file=sys.stderr)
    raise SystemExit(1 if mistakes else 0)
