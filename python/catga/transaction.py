"""`Transaction` and `Connection`: how a handler writes to the app's store."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec

Row: TypeAlias = tuple[Any, ...]


class Statement(msgspec.Struct, frozen=True, gc=False):
    """One collected statement; `expect` is the number of rows it must touch."""

    sql: str
    args: tuple[Any, ...]
    expect: int | None = None


class Transaction(msgspec.Struct, gc=False, eq=False):
    """Collects what a handler writes. The statements run together, as one savepoint of a commit shared with other
    handlers, after the handler has returned: all of them take effect once, or none.

    >>> async def place(cmd, tx: Transaction) -> None:
    ...     tx.execute("insert into orders values (?, ?)", cmd.id, cmd.customer)
    ...     tx.execute("update stock set left = left - 1 where sku = ? and left > 0", cmd.sku, expect=1)
    """

    # Not tracked by the garbage collector: it holds plain values and the store, and nothing of those points back.
    _fetch: Callable[[str, tuple[Any, ...]], Awaitable[Sequence[Row]]]
    statements: list[Statement] = []

    def execute(self, sql: str, /, *args: Any, expect: int | None = None) -> None:
        """Adds a statement. Where `expect` is given and another number of rows is touched, the whole handler is rolled
        back with `Conflict` and retried."""
        self.statements.append(Statement(sql, args, expect))

    async def fetch(self, sql: str, /, *args: Any) -> Sequence[Row]:
        """Rows as they are committed now; what this handler has collected is not in them."""
        return await self._fetch(sql, args)

    def clear(self) -> None:
        """Forgets what was collected: a failed attempt leaves nothing."""
        self.statements.clear()


class Connection:
    """The driver's own connection in an exclusive transaction: reads its own writes, and holds the store's write lock
    from its first use until the commit. Slower than `Transaction`; one message at a time per store."""

    __slots__ = ("raw",)

    def __init__(self, raw: Any) -> None:
        self.raw: Any = raw

    async def execute(self, sql: str, /, *args: Any) -> int:
        """Runs a statement now; how many rows it touched."""
        return int(self.raw.execute(sql, args).rowcount)

    async def fetch(self, sql: str, /, *args: Any) -> Sequence[Row]:
        """Rows, this transaction's own writes included."""
        return self.raw.execute(sql, args).fetchall()  # type: ignore[no-any-return]
