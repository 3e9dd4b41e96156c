"""`python -m benches [group…]` measures, `python -m benches --page` writes docs/benchmarks.md from the last run."""

import logging
import subprocess
import sys
from pathlib import Path

import msgspec

from benches.report import Run, head, load, page, save, show
from benches.runner import Bar, Measured, measure
from benches.subjects import BARS, GROUPS

RESULTS = Path(__file__).parent / "results" / "latest.json"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main(arguments: list[str]) -> int:
    """1 where a bar is short or missing."""
    match arguments:
        case ["--page"]:
            PAGE.parent.mkdir(exist_ok=True)
            PAGE.write_text(page(load(RESULTS)))
            return 0
        case ["--one", name, loop]:
            logging.disable(logging.CRITICAL)  # peers log each message; nobody would run them so
            print(msgspec.json.encode(measure(GROUPS[name], loop)).decode())
            return 0
    names = arguments or list(GROUPS)
    started = head()
    found = [row for name in names for loop in GROUPS[name].loops for row in in_a_fresh_process(name, loop)]
    bars: list[Bar] = [bar for bar in BARS if bar.group in names]
    run = Run(started, found, [bar.judge(found) for bar in bars])
    show(run)
    if not arguments:
        save(run, RESULTS)
    for verdict in run.bars:
        print(verdict)
    return int(any(verdict.outcome != "ok" for verdict in run.bars))


def in_a_fresh_process(name: str, loop: str) -> list[Measured]:
    """A group's rows share a process, and share it with no other group: code specialised for another's calls, and the
    heap that it left, would be measured too."""
    command = [sys.executable, "-m", "benches", "--one", name, loop]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return msgspec.json.decode(out.splitlines()[-1], type=list[Measured])


sys.exit(main(sys.argv[1:]))
