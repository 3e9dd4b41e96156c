"""What a run says: a line as each ends, then the tables."""

import sys
from collections.abc import Sequence

import msgspec

from tests.mutants.mutants import Tried
from tests.mutants.planted import Planting


class Report(msgspec.Struct, frozen=True):
    """All of one run."""

    seed: int
    enough_share: float
    planted: list[Planting]
    sample: list[Tried]

    def killed(self, *kinds: str) -> tuple[int, int]:
        """(killed, judged)."""
        judged = [one for one in self.sample if one.kind in (kinds or ("rust", "python")) and one.fate != "equivalent"]
        return sum(one.fate == "killed" for one in judged), len(judged)

    @property
    def enough(self) -> bool:
        """Every planted bug was noticed, and so was enough of the sample."""
        killed, judged = self.killed()
        return all(one.verdict.caught for one in self.planted) and killed >= self.enough_share * judged


def tell_planted(one: Planting) -> None:
    """As it ends."""
    print(f"planted {one.name}: {_fate(one)}", file=sys.stderr, flush=True)


def tell_tried(one: Tried, number: int, count: int) -> None:
    """As it ends."""
    head = "[same]" if one.fate == "equivalent" else f"[{number}/{count}]"
    line = f"{head} {one.kind} {one.fate:8} {one.place}  {_short(one.change)}  {one.word}  {one.seconds:.0f} s"
    print(line, file=sys.stderr, flush=True)


def show(report: Report) -> None:
    """The tables."""
    if report.planted:
        print("\nPlanted bugs\n")
        _table([(one.name, _fate(one)) for one in report.planted])
        for one in report.planted:
            if not one.verdict.caught:
                print(f"\nSURVIVES {one.name}: {one.reason}")
    if not report.sample:
        return
    print(f"\nA random sample, seed {report.seed}\n")
    rows = [("rust/catga-core", *_share(report.killed("rust")))]
    rows.append(("mediator, delivery", *_share(report.killed("python"))))
    _table([*rows, ("both", *_share(report.killed()))])
    for fate, title in (("survived", "Survivors"), ("equivalent", "Drawn, and known to change nothing")):
        found = [tried for tried in report.sample if tried.fate == fate]
        if found:
            print(f"\n{title}\n")
        for tried in found:
            print(f"{tried.place} {tried.function}\n    {tried.change}\n    {tried.word}")


def _fate(one: Planting) -> str:
    verdict = one.verdict
    by = verdict.by if verdict.what == "failed" else f"{verdict.what}: {verdict.by}"
    return f"{'caught by ' + by if verdict.caught else 'SURVIVED'} ({verdict.seconds:.0f} s)"


def _share(found: tuple[int, int]) -> tuple[str, str]:
    killed, judged = found
    return f"{killed} of {judged} killed", f"{100 * killed / max(1, judged):.0f} %"


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "…"


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
