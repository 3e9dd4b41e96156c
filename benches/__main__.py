"""`python -m benches [group…]` measures, `python -m benches --page` writes docs/benchmarks.md from the last run."""

import logging
import sys
from pathlib import Path

from benches import frames, fresh, handover, ids, measures, mediator, pipeline, queues, timers
from benches.bars import BARS
from benches.report import Run, head, load, page, save, show
from benches.runner import Bar, Group, Measured, measure

RESULTS = Path(__file__).parent / "results" / "latest.json"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
SUBJECTS = (mediator, pipeline, queues, handover, timers, ids, measures, frames, fresh)
GROUPS: list[Group] = [group for subject in SUBJECTS for group in subject.GROUPS]


def main(arguments: list[str]) -> int:
    """1 where a bar is short or missing."""
    if arguments == ["--page"]:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(load(RESULTS)))
        return 0
    logging.disable(logging.CRITICAL)  # peers log each message; nobody would run them so
    groups = [group for group in GROUPS if not arguments or group.name in arguments]
    names = {group.name for group in groups}
    found: list[Measured] = []
    started = head()
    for group in groups:
        for loop in group.loops:
            found += measure(group, loop)
    bars: list[Bar] = [bar for bar in BARS if not arguments or bar.group in names]
    run = Run(started, found, [bar.judge(found) for bar in bars])
    show(run)
    if not arguments:
        save(run, RESULTS)
    for verdict in run.bars:
        print(verdict)
    return int(any(verdict.outcome != "ok" for verdict in run.bars))


sys.exit(main(sys.argv[1:]))
