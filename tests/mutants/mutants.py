"""What the two samples share: a mutant, how it is named, and those known to change nothing."""

import difflib
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tests.mutants.tree import Broken, Tree
from tests.mutants.verdicts import Verdict

EQUIVALENT = Path(__file__).parent / "equivalent.toml"


class Mutant(msgspec.Struct, frozen=True):
    """One file with one small change; `before` and `after` are the changed lines."""

    path: str
    line: int
    function: str
    before: str
    after: str
    text: str

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.path}:{self.line}"

    @property
    def change(self) -> str:
        """What differs, in one line."""
        return f"{self.before}  →  {self.after}"


class Candidate(msgspec.Struct, frozen=True):
    """What a tool offers: made when it is drawn, for making all of them takes minutes."""

    path: str
    lines: tuple[int, int]
    make: Callable[[], Mutant | None]
    """None where it turns out to be none."""


class Equivalent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mutant that does what the original does. It is known by its lines, not by their numbers."""

    path: str
    before: str
    after: str
    reason: str


class Tried(msgspec.Struct, frozen=True):
    """What came of one of the sample."""

    kind: Literal["python", "rust"]
    place: str
    function: str
    change: str
    fate: Literal["killed", "survived", "equivalent"]
    word: str
    """The test that killed it, or what is known of a survivor."""
    seconds: float


def mutant(path: str, function: str, old: str, new: str) -> Mutant:
    """From a file's two texts."""
    before, after, line = [], [], 0
    for change in difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm=""):
        if change.startswith("@@"):
            line = line or int(change.split()[1].split(",")[0].removeprefix("-"))
        elif change.startswith("-") and not change.startswith("---"):
            before.append(change[1:].strip())
        elif change.startswith("+") and not change.startswith("+++"):
            after.append(change[1:].strip())
    return Mutant(path, line, function, " ".join(before), " ".join(after), new)


class Equivalents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of them."""

    equivalent: list[Equivalent] = []


def equivalents(tree: Tree, found: Sequence[Candidate], suffix: str) -> dict[tuple[str, str, str], str]:
    """The reasons, by mutant; loud where one is no longer a mutant at all."""
    reasons: dict[tuple[str, str, str], str] = {}
    for known in msgspec.toml.decode(EQUIVALENT.read_bytes(), type=Equivalents).equivalent:
        if not known.path.endswith(suffix):
            continue
        text = tree.read(known.path).splitlines()
        lines = {number for number, line in enumerate(text, 1) if line.strip() and line.strip() in known.before}
        near = (
            each for each in found if each.path == known.path and lines & {*range(each.lines[0], each.lines[1] + 1)}
        )
        made = (each.make() for each in near)
        if not any(each is not None and (each.before, each.after) == (known.before, known.after) for each in made):
            raise Broken(f"{EQUIVALENT.name}: no mutant any more in {known.path}: {known.before} → {known.after}")
        reasons[known.path, known.before, known.after] = known.reason
    return reasons


def sample(
    kind: Literal["python", "rust"],
    tree: Tree,
    found: Sequence[Candidate],
    count: int,
    chance: random.Random,
    judge: Callable[[Mutant], tuple[Verdict, str]],
    only: str = "",
) -> Iterator[Tried]:
    """Drawn until so many were judged: what does not compile or import says nothing of the tests, and what is known
    to change nothing cannot be killed."""
    reasons = equivalents(tree, found, {"python": ".py", "rust": ".rs"}[kind])
    order = [each for each in found if only in each.path]
    chance.shuffle(order)
    judged = 0
    for candidate in order:
        if judged == count:
            return
        if (each := candidate.make()) is None:
            continue
        if (reason := reasons.get((each.path, each.before, each.after))) is not None:
            yield Tried(kind, each.place, each.function, each.change, "equivalent", reason, 0.0)
            continue
        with tree.planted(each.path, each.text):
            verdict, word = judge(each)
        if verdict.what == "broken":
            continue
        judged += 1
        fate: Literal["killed", "survived"] = "killed" if verdict.caught else "survived"
        if verdict.caught:
            word = verdict.by if verdict.what == "failed" else f"{verdict.what}: {verdict.by}"
        yield Tried(kind, each.place, each.function, each.change, fate, word, verdict.seconds)
