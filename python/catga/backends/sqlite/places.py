"""Numbers of queued rows: channel, part, rank and turn in one integer, so that the queue is read in order, and settled,
by the table's own tree, without an index beside it."""

import sqlite3

from catga.errors import StoreFull
from catga.messages import PRIORITIES
from catga.ports.messages import PARTS

TURNS = 1 << 44
"""How many messages a file can number: at 50,000 a second they last eleven years."""
NAMES = (1 << 63) // (PRIORITIES * PARTS * TURNS)
"""How many channels and handlers a file can number."""


def place(channel: int, rank: int, part: int) -> int:
    """Below the first number of a part; the next part begins `TURNS` later, and what is urgent in any of a channel's parts
    stands together before the rest."""
    return ((channel * PRIORITIES + rank) * PARTS + part) * TURNS


def part_of(number: int) -> int:
    """Where a row stands."""
    return number // TURNS % PARTS


def last_turn(connection: sqlite3.Connection) -> int:
    """The last one given by a commit that this connection sees."""
    return int(connection.execute("select last from catga_turns").fetchone()[0])


def take_turns(connection: sqlite3.Connection, count: int) -> int:
    """The turn before the first of `count` new ones, inside the connection's transaction."""
    connection.execute("update catga_turns set last = last + ?", (count,))
    last = last_turn(connection)
    if last >= TURNS:
        raise StoreFull(
            "this file has numbered as many messages as it can",
            why=f"{TURNS:,} have gone through it",
            fix="stop taking new messages in, let the rest be handled, and go on with a new file",
        )
    return last - count
