"""`python -m benches [--durable] [group…]` measures, in this process or between processes; `python -m benches --page` writes
docs/benchmarks.md from the last run."""

import logging
import subprocess
import sys
from pathlib import Path

import msgspec

from benches.report import Run, head, load, page, save, show
from benches.runner import Bar, Group, Measured, measure

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main(arguments: list[str]) -> int:
    """1 where a bar is short or missing."""
    durable = arguments[:1] == ["--durable"]
    groups, all_bars, results = subjects(durable)
    match arguments[durable:]:
        case ["--page"]:
            PAGE.parent.mkdir(exist_ok=True)
            PAGE.write_text(page(load(results)))
            return 0
        case ["--one", name, loop]:
            logging.disable(logging.CRITICAL)  # peers log each message; nobody would run them so
            print(msgspec.json.encode(measure(groups[name], loop)).decode())
            return 0
        case named:
            names = named or list(groups)
    started = head()
    prefix = ["--durable"] if durable else []
    found = [
        row
        for name in names
        for loop in groups[name].loops
        for row in in_a_fresh_process([*prefix, "--one", name, loop])
    ]
    bars = [bar for bar in all_bars if not named or bar.group in named]
    run = Run(started, found, [bar.judge(found) for bar in bars])
    show(run)
    if not named:
        save(run, results)
    for verdict in run.bars:
        print(verdict)
    return int(any(verdict.outcome != "ok" for verdict in run.bars))


def subjects(durable: bool) -> tuple[dict[str, Group], list[Bar], Path]:
    """What there is to measure, and where its result goes; only what is wanted is imported."""
    if durable:
        from benches.durable.subjects import BARS as DURABLE_BARS
        from benches.durable.subjects import GROUPS as DURABLE_GROUPS

        return DURABLE_GROUPS, DURABLE_BARS, RESULTS / "durable.json"
    from benches.subjects import BARS, GROUPS

    return GROUPS, BARS, RESULTS / "latest.json"


def in_a_fresh_process(arguments: list[str]) -> list[Measured]:
    """A group's rows share a process, and share it with no other group: code specialised for another's calls, and the
    heap that it left, would be measured too."""
    out = subprocess.run([sys.executable, "-m", "benches", *arguments], check=True, stdout=subprocess.PIPE).stdout
    return msgspec.json.decode(out.splitlines()[-1], type=list[Measured])


sys.exit(main(sys.argv[1:]))
