"""What a handler may have done to the writing connection that it was lent."""

import sqlite3

from catga.errors import ForbiddenStatement


def still_ours(connection: sqlite3.Connection) -> None:
    """After the handler: its settings of the connection are forgotten, and its transaction must still stand."""
    connection.row_factory = None
    connection.text_factory = str
    if not connection.in_transaction:
        raise ForbiddenStatement(
            "a statement of the handler ended its transaction",
            why="what it wrote after that is not one with its mark",
            fix="use OR ABORT instead of OR ROLLBACK, and RAISE(ABORT) instead of RAISE(ROLLBACK)",
        )
