"""`catga doctor`: is everything here as it must be?"""

import asyncio
from typing import Annotated

import typer

from catga.cli.arguments import AsJson
from catga.cli.checks import Finding, check_machine
from catga.cli.output import print_json, print_table, styled
from catga.cli.storecheck import check_app
from catga.cli.target import load

STATES = {"ok": "green", "warning": "yellow", "wrong": "red"}

App = Annotated[
    str | None, typer.Argument(metavar="[APP]", help="An app, to look at its store too.", show_default=False)
]


def doctor(target: App = None, as_json: AsJson = False) -> None:
    """Check this machine, and an app's store.

    Python, the extension, SQLite, the clock, the extras; with an app also its mistakes, its store, its leases and its
    dead letters. Exits with 1 where something is wrong; a warning alone does not. The store is made where it is not.
    """
    findings = check_machine()
    if target is not None:
        findings += asyncio.run(check_app(load(target)))
    if as_json:
        print_json(findings)
    else:
        rows = [(f.what, styled(f.state, STATES[f.state]), _text(f)) for f in findings]
        print_table("", ("check", "state", "found"), rows)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)


def _text(finding: Finding) -> str:
    return f"{finding.found}\n→ {finding.fix}" if finding.fix else finding.found
