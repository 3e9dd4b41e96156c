"""Names of channels and handlers as small numbers: rows stay narrow, and a rename keeps its number."""

import sqlite3
from collections.abc import Iterable, Mapping


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

    def rename(self, connection: sqlite3.Connection, aliases: Mapping[str, str]) -> None:
        """What an old name has becomes the new one's: `aliases` maps old names to new ones."""
        for old, new in aliases.items():
            connection.execute("update or ignore catga_names set name = ? where name = ?", (new, old))

    def load(self, connection: sqlite3.Connection) -> None:
        """Everything that is committed."""
        for number, name in connection.execute("select no, name from catga_names"):
            self.numbers[name] = number
            self._texts[number] = name
