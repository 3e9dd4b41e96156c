"""The accounting: what was asked, acknowledged, done, repeated, lost; and the same figures straight from the file."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flights.messages import RecordDeparture

Figures = dict[str, tuple[int, int, int, int]]
"""Per carrier: departed on time, delayed, minutes of delay, cancelled."""


@dataclass
class Account:
    """Counts of one run."""

    attempted: int
    acknowledged: int
    handled: int
    redelivered: int
    repeated: int
    lost: int
    dead: int
    cancellations: int
    figures: Figures
    expected: Figures

    @property
    def mistakes(self) -> list[str]:
        """Why the run does not add up; empty where it does."""
        found = []
        if not self.attempted == self.acknowledged == self.handled:
            found.append("attempted, acknowledged and handled differ")
        found += [
            f"{name} is {value}"
            for name, value in (("lost", self.lost), ("repeated effects", self.repeated), ("dead-lettered", self.dead))
            if value
        ]
        if self.figures != self.expected:
            found.append("the per-carrier figures differ from the file's")
        if self.cancellations != sum(cancelled for *_, cancelled in self.expected.values()):
            found.append("the rebookings differ from the file's cancellations")
        return found


def straight(departures: Iterable[RecordDeparture]) -> Figures:
    """The figures computed from the data alone."""
    figures: dict[str, list[int]] = {}
    for departure in departures:
        row = figures.setdefault(departure.carrier, [0, 0, 0, 0])
        if departure.delay is None:
            row[3] += 1
        elif departure.delay > 0:
            row[1] += 1
            row[2] += departure.delay
        else:
            row[0] += 1
    return {carrier: (row[0], row[1], row[2], row[3]) for carrier, row in figures.items()}


def account(
    ask: Callable[[str], Sequence[Sequence[Any]]],
    attempted: int,
    acknowledged: set[int],
    redelivered: int,
    expected: Figures,
    parked: str = "catga_parked",
) -> Account:
    """Reads the outcome from the database through `ask`, with no help from the library."""
    ((rows, handled),) = ask("select count(*), count(distinct number) from departures")
    done = {number for (number,) in ask("select distinct number from departures")}
    ((rebooked, rebookings),) = ask("select count(*), count(distinct number) from rebookings")
    ((dead,),) = ask(f"select count(*) from {parked} where state = 'dead'")
    figures = {
        row[0]: (row[1], row[2], row[3], row[4])
        for row in ask(
            "select carrier, sum(departed), sum(delayed), sum(minutes), sum(cancelled) from carriers group by carrier"
        )
    }
    return Account(
        attempted=attempted,
        acknowledged=len(acknowledged),
        handled=len(done & acknowledged),
        redelivered=redelivered,
        repeated=(rows - handled) + (rebooked - rebookings),
        lost=len(acknowledged - done),
        dead=dead,
        cancellations=rebookings,
        figures=figures,
        expected=expected,
    )


def asker(path: str) -> Callable[[str], Sequence[Sequence[Any]]]:
    """Of a SQLite file."""

    def ask(sql: str) -> Sequence[Sequence[Any]]:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    return ask
