"""Names of channels and handlers as small numbers: rows stay narrow, and a rename keeps its number."""

import sqlite3
from collections.abc import Iterable, Mapping

from catga.backends.sqlite.places import NAMES, place
from catga.errors import StoreFull


class UnknownName(KeyError):
    """A name that has no number yet, or none that this process knows."""


class Numbers(dict[str, int]):
    """The numbers of names; a missing one is learnt by whoever catches `UnknownName`."""

    def __missing__(self, name: str) -> int:
        raise UnknownName(name)


class Names:
    """What this process knows of `catga_names`; numbers never change, so that a cached one stays true."""

    def __init__(self) -> None:
        self.numbers: Numbers = Numbers()
        self._texts: dict[int, str] = {}

    def number(self, name: str) -> int:
        """The number of a name that `learn` has seen."""
        return self.numbers[name]

    def text(self, connection: sqlite3.Connection, number: int) -> str:
        """The name of a number; another process may have given it since this one looked."""
        if number not in self._texts:
            self.load(connection)
        return self._texts[number]

    def unknown(self, names: Iterable[str]) -> set[str]:
        """Those that must be learnt first."""
        return {name for name in names if name not in self.numbers}

    def learn(self, connection: sqlite3.Connection, names: Iterable[str]) -> None:
        """Gives numbers to new names, inside the connection's transaction."""
        connection.executemany(
            "insert or ignore into catga_names (name) values (?)", [(name,) for name in sorted(names)]
        )
        (last,) = connection.execute("select max(no) from catga_names").fetchone()
        if last is not None and last >= NAMES:
            raise StoreFull(
                "this file has numbered as many channels and handlers as it can",
                why=f"there are {NAMES:,} numbers",
                fix="give channels and handlers fixed names: names that are made anew with each start never end",
            )

    def rename(self, connection: sqlite3.Connection, aliases: Mapping[str, str]) -> None:
        """What an old name has becomes the new one's: `aliases` maps old names to new ones."""
        for old, new in aliases.items():
            if (before := _number(connection, old)) is None:
                continue
            after = _number(connection, new)
            if after is None and not _is_channel(connection, before, old):
                # The number goes on, also in processes that still know it by the old name.
                connection.execute("update catga_names set name = ? where name = ?", (new, old))
                continue
            if after is None:
                self.learn(connection, [new])
                after = _number(connection, new)
            for table, which in (("catga_marks", f"day in ({_DAYS}) and handler = ?"), ("catga_parked", "handler = ?")):
                connection.execute(f"update or ignore {table} set handler = ? where {which}", (after, before))
                connection.execute(f"delete from {table} where {which}", (before,))

    def load(self, connection: sqlite3.Connection) -> None:
        """Everything that is committed."""
        self.numbers.clear()
        self._texts.clear()
        for number, name in connection.execute("select no, name from catga_names"):
            self.numbers[name] = number
            self._texts[number] = name


_DAYS = """with recursive days (day) as (
    select min(day) from catga_marks union all select (select min(day) from catga_marks where day > days.day) from days where days.day is not null
) select day from days"""
"""Each day once, by a few steps in the index: the handler stands second in it."""


def _number(connection: sqlite3.Connection, name: str) -> int | None:
    row = connection.execute("select no from catga_names where name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def _is_channel(connection: sqlite3.Connection, number: int, name: str) -> bool:
    """A handler may be called as a channel is; the channel keeps its name and what is in it."""
    found = connection.execute(
        "select exists(select 1 from catga_queue where number between ? and ?) or exists(select 1 from catga_parked where channel = ?)"
        " or exists(select 1 from catga_leases where scope = ?)",
        (place(number, 0, 0), place(number + 1, 0, 0) - 1, number, name),
    ).fetchone()
    return bool(found[0])
