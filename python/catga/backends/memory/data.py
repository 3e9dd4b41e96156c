"""What a memory store holds, apart from the objects that use it."""

import os
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from catga.backends.memory.leases import Leases
from catga.backends.memory.parked import ParkedRows
from catga.backends.memory.rows import Line, Queue, Row
from catga.clock import Bell
from catga.errors import AppClosed, ForbiddenStatement, StoreUnavailable
from catga.ports.messages import Outgoing
from catga.ports.store import COMMITTED, DUPLICATE, STALE, Commit, Mark, Outcome, Unit

_shared: "weakref.WeakValueDictionary[str, Data]" = weakref.WeakValueDictionary()


def shared(name: str) -> "Data":
    """The one of this name in this process; it is gone with its last store."""
    if (data := _shared.get(name)) is None:
        data = _shared[name] = Data(f"memory:{name}")
    return data


def forget(name: str) -> None:
    """The next store of this name begins empty; those that are open keep what they have."""
    _shared.pop(name, None)


class Data:
    """Everything that is committed. Every method runs to its end without letting anybody else run: that is what makes
    a commit one step."""

    def __init__(self, store_id: str = "") -> None:
        self.store_id: str = store_id or f"memory:{id(self):x}"
        self.leases: Leases = Leases()
        self.parked: ParkedRows = ParkedRows()
        self.bells: set[Bell] = set()
        self._marks: dict[tuple[int, str], dict[bytes, Mark]] = {}
        self._queues: dict[tuple[str, int], Queue] = {}
        self._queued: dict[int, Row] = {}
        self._outbox: dict[int, Line] = {}
        self._unsent = 0
        self._number = 0
        self._place = 0
        self._pid = os.getpid()
        self._thread = threading.get_ident()

    def join(self, bell: Bell) -> None:
        """A store begins to use it; its bell rings when something was queued."""
        if not self.bells:
            self._thread = threading.get_ident()
        elif self._thread != threading.get_ident():
            raise StoreUnavailable(
                "this memory store is in use by another thread",
                where=self.store_id,
                fix="use it from one event loop at a time, or take sqlite:///",
            )
        self.bells.add(bell)

    def leave(self, bell: Bell) -> None:
        """A store has ended using it."""
        self.bells.discard(bell)

    def check(self) -> None:
        """A forked child has a copy: what it wrote there would be lost without a word."""
        if os.getpid() != self._pid:
            raise AppClosed(
                "this process was forked from the one that opened the store",
                where=self.store_id,
                fix="start the app after the fork",
            )

    def number(self, messages: Iterable[Outgoing]) -> list[Row]:
        """Rows that nobody sees yet."""
        rows: list[Row] = []
        for message in messages:
            self._number += 1
            rows.append(Row(self._number, message))
        return rows

    def apply(self, unit: Unit, rows: Sequence[Row], queued: bool) -> Outcome:
        """All of a unit, or nothing."""
        if (refused := self._refused(unit)) is not None:
            return refused
        for name in unit.unpark:
            self.parked.take(name)
        for mark in unit.marks:
            self._marks.setdefault((mark.day, mark.handler), {})[mark.id] = mark
        for parked in unit.park:
            self.parked.put(parked)
        for row in rows:
            self.add(row, queued)
        for token in unit.settle:
            self.end(token)
        return COMMITTED

    def _refused(self, unit: Unit) -> Outcome | None:
        if not all(self.leases.holds(lease) for lease in unit.leases):
            return STALE
        if any(not mark.replace and self.mark(mark.day, mark.handler, mark.id) for mark in unit.marks):
            return DUPLICATE
        fresh = [(mark.day, mark.handler, mark.id) for mark in unit.marks if not mark.replace]
        if len(set(fresh)) < len(fresh):
            return DUPLICATE
        if len(set(unit.unpark)) < len(unit.unpark) or any(name not in self.parked for name in unit.unpark):
            return DUPLICATE
        if not unit.statements:
            return None
        error = ForbiddenStatement(
            "memory:// keeps no tables",
            where=unit.statements[0].sql,
            why="it is a store for messages and for tests only",
            fix="use sqlite:///app.db where handlers write",
        )
        return Outcome(Commit.FAILED, error)

    def add(self, row: Row, queued: bool) -> None:
        """From now on everybody sees it."""
        self._place += 1
        row.place = self._place
        message = row.message
        if queued:
            self._queued[row.number] = row
            self.queue(message.channel, message.part).append(row)
        else:
            self._outbox.setdefault(message.part, Line()).append(row)
            self._unsent += 1

    def end(self, token: int) -> None:
        """A queued message is done; one that is gone already is no mistake."""
        if (row := self._queued.pop(token, None)) is not None:
            self.queue(row.message.channel, row.message.part).drop(row)

    def latest(self) -> int:
        """The last place that was given."""
        return self._place

    def queue(self, channel: str, part: int) -> Queue:
        """One part of a channel."""
        if (found := self._queues.get((channel, part))) is None:
            found = self._queues[channel, part] = Queue()
        return found

    def mark(self, day: int, handler: str, id: bytes) -> Mark | None:
        """One mark."""
        return self._marks.get((day, handler), {}).get(id)

    def rename(self, aliases: Mapping[str, str]) -> None:
        """What old handlers have becomes that of the new ones; what those have already stays."""
        for old, new in aliases.items():
            for day, handler in [place for place in self._marks if place[1] == old]:
                marks = self._marks.pop((day, handler))
                kept = self._marks.setdefault((day, new), {})
                kept.update(
                    {id: msgspec.structs.replace(mark, handler=new) for id, mark in marks.items() if id not in kept}
                )
            self.parked.rename(old, new)

    def forget(self, before_day: int) -> None:
        """Drops the marks of days before this one."""
        for place in [place for place in self._marks if place[0] < before_day]:
            del self._marks[place]

    def unsent(self, part: int) -> Line:
        """The outbox of one part."""
        return self._outbox.setdefault(part, Line())

    def sent(self, part: int, ids: Sequence[bytes]) -> None:
        """Removes rows of the outbox."""
        line, gone = self.unsent(part), set(ids)
        for row in list(line.after(0)):
            if row.message.id in gone:
                row.gone = True
                line.dropped()
                self._unsent -= 1

    def waiting(self) -> int:
        """Messages held, of whatever kind."""
        return len(self._queued) + self._unsent + len(self.parked)

    def pending(self) -> int:
        """Messages that are neither handled, dead nor scheduled for later."""
        return len(self._queued) + self._unsent + self.parked.pending()

    def ring(self) -> None:
        """Wakes the consumers of every store that shares this."""
        for bell in self.bells:
            bell.ring()
