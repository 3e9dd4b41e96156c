"""Bugs that others have had, planted one at a time: the suite must notice each."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from tests.mutants.tree import ROOT, Broken, Tree
from tests.mutants.verdicts import Verdict, judge

FOLDER = Path(__file__).parent / "planted"
LIMIT = 180.0
"""Seconds for a command of a planted bug: they are narrow ones."""


class Planted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the folder."""

    reason: str
    """What would go wrong, in one line."""
    path: str
    old: str
    """Is in the file exactly once."""
    new: str
    suite: str
    """The narrowest command that must notice: `pytest …` or `cargo test …`."""
    env: dict[str, str] = {}
    name: str = ""

    @property
    def rust(self) -> bool:
        """Whether cargo is needed."""
        return self.path.startswith("rust/")

    @property
    def builds(self) -> bool:
        """Whether Python must see it through the extension."""
        return self.rust and self.suite.startswith("pytest")

    def apply(self, text: str) -> str:
        """The file's text with the bug; loud where it no longer fits, so that it cannot rot in silence."""
        if (found := text.count(self.old)) != 1:
            raise Broken(f"{self.name}: its `old` is {found} times in {self.path}, not once: anchor it anew")
        if self.old == self.new:
            raise Broken(f"{self.name}: changes nothing")
        return text.replace(self.old, self.new)


class Planting(msgspec.Struct, frozen=True):
    """What came of one."""

    name: str
    reason: str
    verdict: Verdict


def load() -> list[Planted]:
    """All of the folder, in order."""
    found = []
    for file in sorted(FOLDER.glob("*.toml")):
        try:
            planted = msgspec.toml.decode(file.read_bytes(), type=Planted)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise Broken(f"{file.name}: {error}") from error
        found.append(msgspec.structs.replace(planted, name=file.stem))
    return found


def check() -> list[Planted]:
    """As `load`, each held against the checkout."""
    found = load()
    for planted in found:
        planted.apply((ROOT / planted.path).read_text("utf-8"))
    return found


def plant(tree: Tree, bugs: Sequence[Planted], tell: Callable[[Planting], None]) -> Iterator[Planting]:
    """Each judged by its suite, which must pass without it."""
    sound: set[tuple[str, bool, str]] = set()
    # Those that are built last: the extension of the checkout serves the others.
    for planted in sorted(bugs, key=lambda planted: planted.builds):
        suite = (planted.suite, planted.builds, str(planted.env))
        if suite not in sound:
            sound.add(suite)
            if planted.builds and (error := tree.build_extension()):
                raise Broken(f"the extension cannot be built:\n{error}")
            verdict = judge(tree, planted.suite, planted.env, LIMIT)
            if verdict.what != "passed":
                raise Broken(
                    f"{planted.name}: its suite does not pass without it\n{planted.suite}\n{verdict.by}\n{verdict.out}"
                )
        with tree.planted(planted.path, planted.apply(tree.read(planted.path))):
            error = tree.build_extension() if planted.builds else ""
            verdict = Verdict("broken", error, 0.0) if error else judge(tree, planted.suite, planted.env, LIMIT)
        if verdict.what == "broken":
            raise Broken(f"{planted.name}: does not even begin\n{verdict.by}")
        planting = Planting(planted.name, planted.reason, verdict)
        tell(planting)
        yield planting
    tree.copy_extension()
