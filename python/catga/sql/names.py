"""Names of channels and handlers as small numbers: rows stay narrow, and a rename keeps its number."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from catga.errors import StoreFull
from catga.ports.store import Unit
from catga.sql.dialect import Dialect
from catga.sql.procedures import Ask, Procedure


class UnknownName(KeyError):
    """A name that has no number yet, or none that this process knows."""


class Numbers(dict[str, int]):
    """The numbers of names; a missing one is learnt by whoever catches `UnknownName`."""

    def __missing__(self, name: str) -> int:
        raise UnknownName(name)


class Names:
    """What this process knows of them; numbers never change, so that a cached one stays true."""

    def __init__(self, dialect: Dialect, most: int) -> None:
        self._dialect = dialect
        self._table = f"{dialect.prefix}names"
        self._most = most
        self.numbers: Numbers = Numbers()
        self.texts: dict[int, str] = {}

    def number(self, name: str) -> int:
        """The number of a name that `learn` has seen."""
        return self.numbers[name]

    def unknown(self, names: Iterable[str]) -> set[str]:
        """Those that must be learnt first."""
        return {name for name in names if name not in self.numbers}

    def load(self) -> Procedure[None]:
        """Everything that is committed."""
        rows = yield Ask(f"select no, name from {self._table}")
        self.numbers.clear()
        self.texts.clear()
        for number, name in rows:
            self.numbers[name] = number
            self.texts[number] = name

    def learn(self, names: Iterable[str]) -> Procedure[None]:
        """Gives numbers to new names."""
        for name in sorted(names):
            yield Ask(f"insert into {self._table} (name) values (?) {self._dialect.ignore}", (name,))
        ((last,),) = yield Ask(f"select max(no) from {self._table}")
        if last is not None and last >= self._most:
            raise StoreFull(
                "this store has numbered as many channels and handlers as it can",
                why=f"there are {self._most:,} numbers",
                fix="give channels and handlers fixed names: names that are made anew with each start never end",
            )

    def rename(
        self, aliases: Mapping[str, str], is_channel: Callable[[int, str], Procedure[bool]], marks: str = "handler = ?"
    ) -> Procedure[None]:
        """What an old name has becomes the new one's: `aliases` maps old names to new ones. `is_channel` tells whether a
        number stands for a channel too, which keeps its name; `marks` finds a handler's marks."""
        for old, new in aliases.items():
            before = yield from self._number(old)
            if before is None:
                continue
            after = yield from self._number(new)
            if after is None:
                if not (yield from is_channel(before, old)):
                    # The number goes on, also in processes that still know it by the old name.
                    yield Ask(f"update {self._table} set name = ? where name = ?", (new, old))
                    continue
                yield from self.learn([new])
                after = yield from self._number(new)
            prefix, ignore = self._dialect.prefix, self._dialect.ignore
            yield Ask(
                f"insert into {prefix}marks (day, handler, id, state, reply) select day, cast(? as integer), id, state, reply from {prefix}marks where {marks} {ignore}",
                (after, before),
            )
            yield Ask(f"delete from {prefix}marks where {marks}", (before,))
            others = "channel, part, key, state, due_ms, frame, claims, failures, reason, history, place"
            yield Ask(
                f"insert into {prefix}parked (handler, id, {others}) select cast(? as integer), id, {others} from {prefix}parked where handler = ? {ignore}",
                (after, before),
            )
            yield Ask(f"delete from {prefix}parked where handler = ?", (before,))

    def _number(self, name: str) -> Procedure[int | None]:
        rows = yield Ask(f"select no from {self._table} where name = ?", (name,))
        return rows[0][0] if rows else None


def names_of(units: Sequence[Unit]) -> Iterable[str]:
    """All that they use."""
    for unit in units:
        for mark in unit.marks:
            yield mark.handler
        for message in unit.publish:
            yield message.channel
        for parked in unit.park:
            yield parked.handler
            yield parked.channel
        for handler, _ in unit.unpark:
            yield handler
