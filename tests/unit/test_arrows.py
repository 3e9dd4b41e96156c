"""Imports point one way: each room may know those below it, and nobody above."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parents[2] / "python"

LAYERS: list[set[str]] = [
    {"_core"},
    {"errors", "clock", "result", "transaction"},
    {"messages"},
    {"ports"},
    {"queues", "sql"},
    {"envelope"},
    {"context"},
    {"mediator"},
    {"middleware"},
    {"delivery", "live"},
    {"backends"},
    {"deadletters"},
    {"running"},
    {"app"},
    {"catga"},
    {"cloudevents"},
    {"guarantees"},
    {"description"},
    {"explanation"},
    {"testing"},
    {"cli"},
]
"""From the ground up. Delivery stands on the mediator: it runs a handler's composed pipeline."""

BACKENDS_MAY_KNOW = {
    "_core",
    "errors",
    "clock",
    "messages",
    "transaction",
    "ports",
    "queues",
    "sql",
    "envelope",
    "backends",
}

SHARED_BY_BACKENDS = {"catga.backends.apart", "catga.backends.fitness", "catga.backends.users"}

FOR_TYPES_ONLY = {("running", "app")}
"""Upward, under TYPE_CHECKING: an app makes its `Running`, which reads the app's options."""

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


class Arrow(NamedTuple):
    """One import: `typing` where only type checkers see it."""

    module: str
    imported: str
    line: int
    typing: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.imported}"


def arrows() -> Iterator[Arrow]:
    for file in sorted(SOURCE.rglob("*.py")):
        module = ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        yield from _arrows(module, ast.parse(file.read_text("utf-8")), False)


def _arrows(module: str, node: ast.AST, typing: bool) -> Iterator[Arrow]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for part in child.body:
                yield from _arrows(module, ast.Module([part], []), True)
            for part in child.orelse:
                yield from _arrows(module, ast.Module([part], []), typing)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}:{child.lineno}: imports are absolute"
            if child.module == "catga":
                yield from (Arrow(module, f"catga.{alias.name}", child.lineno, typing) for alias in child.names)
            elif (child.module or "").startswith("catga."):
                yield Arrow(module, child.module or "", child.lineno, typing)
        elif isinstance(child, ast.Import):
            yield from (
                Arrow(module, alias.name, child.lineno, typing)
                for alias in child.names
                if alias.name.split(".")[0] == "catga"
            )
        else:
            yield from _arrows(module, child, typing)


def room(module: str) -> str:
    """The first name below `catga`; names that `catga` itself exports belong to it."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (parts[1] in LEVEL or len(parts) > 2) else "catga"


def exists(module: str) -> bool:
    path = SOURCE.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").exists() or path.with_suffix(".pyi").exists()


def test_every_room_has_its_place() -> None:
    rooms = {
        path.stem
        for path in (SOURCE / "catga").iterdir()
        if path.suffix in {".py", ""} and not path.stem.startswith("__")
    }
    assert rooms <= set(LEVEL), "a new room needs its place in LAYERS"


def test_imports_point_down() -> None:
    crooked = {}
    for arrow in arrows():
        here, there = room(arrow.module), room(arrow.imported)
        if here == there or LEVEL[there] < LEVEL[here]:
            continue
        if not (arrow.typing and (here, there) in FOR_TYPES_ONLY):
            crooked[arrow.module, arrow.imported] = str(arrow)
    assert crooked == {}


def test_backends_know_ports_and_never_each_other() -> None:
    crooked = []
    for arrow in arrows():
        if not arrow.module.startswith("catga.backends"):
            continue
        folder = ".".join(arrow.imported.split(".")[:3])
        another = (
            arrow.imported.startswith("catga.backends")
            and arrow.module.split(".")[:3] != folder.split(".")
            and folder not in SHARED_BY_BACKENDS
        )
        if another or room(arrow.imported) not in BACKENDS_MAY_KNOW:
            crooked.append(str(arrow))
    assert crooked == []


def test_only_the_registry_reaches_a_backend() -> None:
    outside = [arrow for arrow in arrows() if not arrow.module.startswith("catga.backends.")]
    assert [
        str(arrow) for arrow in outside if arrow.imported.startswith("catga.backends.") and exists(arrow.imported)
    ] == []
    registry = (SOURCE / "catga" / "backends" / "__init__.py").read_text("utf-8")
    assert "catga.backends." not in registry, "by entry point only, or the core would import every technology"


@pytest.mark.parametrize(
    "extra", ["typer", "rich", "watchfiles", "uvloop", "sqlite3", "catga.cli", "catga.backends.sqlite"]
)
def test_importing_catga_imports_no_extra(extra: str) -> None:
    script = f"import sys, catga; sys.exit({extra!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0, (
        f"`import catga` imports {extra}"
    )
