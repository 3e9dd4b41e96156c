"""`python -m tests.mutants [--planted | --sample both] [--json]`: `make test-planted` and `make test-mutants`.

`CATGA_SEED` replays a sample, `CATGA_SAMPLE` sets how many of each language are drawn.
"""

import argparse
import os
import random
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from tests.mutants import planted, python, rust
from tests.mutants.mutants import Tried, sample
from tests.mutants.planted import Planted, Planting
from tests.mutants.report import Report, show, tell_planted, tell_tried
from tests.mutants.tree import Broken, Tree

ENOUGH = 0.85
KINDS = ("rust", "python")


def main(arguments: Sequence[str]) -> int:
    """0 where the suite has noticed enough, 1 where not, 2 where nothing can be said."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--planted", action="store_true", help="only the planted bugs")
    parser.add_argument("--sample", choices=("both", "rust", "python"), help="only the random sample")
    parser.add_argument("--only", default="", help="only planted bugs or mutated files whose name holds this")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)
    seed = int(os.environ.get("CATGA_SEED", random.SystemRandom().randrange(1 << 32)))
    count = int(os.environ.get("CATGA_SAMPLE", "30"))
    print(f"seed {seed}: CATGA_SEED={seed} draws the same mutants again", file=sys.stderr)
    try:
        report = _run(options, seed, count)
    except Broken as error:
        print(f"tests.mutants: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        show(report)
    return int(not report.enough)


def _run(options: argparse.Namespace, seed: int, count: int) -> Report:
    bugs = [] if options.sample else [bug for bug in planted.check() if options.only in bug.name]
    drawn = {kind: 0 if options.planted or options.sample not in (None, "both", kind) else count for kind in KINDS}
    work: list[Callable[[], tuple[list[Planting], list[Tried]]]] = [
        lambda: _with_cargo([bug for bug in bugs if bug.rust], drawn["rust"], seed, options.only),
        lambda: _with_pytest([bug for bug in bugs if not bug.rust], drawn["python"], seed, options.only),
    ]
    with ThreadPoolExecutor(min(python.jobs(), len(work))) as pool:
        done = [each.result() for each in [pool.submit(each) for each in work]]
    plantings = sorted((one for found, _ in done for one in found), key=lambda one: one.name)
    return Report(seed, ENOUGH, plantings, [one for _, found in done for one in found])


def _with_cargo(bugs: Sequence[Planted], count: int, seed: int, only: str) -> tuple[list[Planting], list[Tried]]:
    tree = Tree("rust")
    plantings = list(planted.plant(tree, bugs, tell_planted))
    if not count:
        return plantings, []
    found = rust.listed(tree)
    judge = rust.Judge(tree)
    return plantings, _told(sample("rust", tree, found, count, random.Random(seed), judge, only), count)


def _with_pytest(bugs: Sequence[Planted], count: int, seed: int, only: str) -> tuple[list[Planting], list[Tried]]:
    tree = Tree("python")
    plantings = list(planted.plant(tree, bugs, tell_planted))
    if not count:
        return plantings, []
    found = python.listed(tree)
    judge = python.Judge(tree, python.jobs())
    return plantings, _told(sample("python", tree, found, count, random.Random(seed), judge, only), count)


def _told(drawn: Any, count: int) -> list[Tried]:
    tried: list[Tried] = []
    for each in drawn:
        tried.append(each)
        tell_tried(each, sum(one.fate != "equivalent" for one in tried), count)
    return tried


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
