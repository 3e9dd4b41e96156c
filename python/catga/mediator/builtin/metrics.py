"""Metrics: how often each handler ran, how often it failed, and how long it took."""

from typing import Any

from catga import _core
from catga.context import Context
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call

_FAILED, _CANCELLED = 0, 1


class Metrics:
    """Counts and times every handling; `statistics()` may be read at any time, from any thread.

    >>> import asyncio
    >>> from catga import Catga, Command
    >>> from catga.middleware import Metrics
    >>> class Add(Command[int]):
    ...     a: int
    >>> metrics = Metrics()
    >>> app = Catga("sums", middleware=(metrics,))
    >>> @app.handler(Add, id="add")
    ... async def add(cmd: Add) -> int:
    ...     return cmd.a + 1
    >>> async def main() -> int:
    ...     async with app:
    ...         return await app.send(Add(1))
    >>> asyncio.run(main())
    2
    >>> metrics.statistics()["add"]["handled"]
    1
    """

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[_core.Histogram, _core.Counters]] = {}

    def compose(self, inner: Call, handler: Handler) -> Call:
        """The layer for one handler; its figures go on where the app is started again."""
        took, outcomes = self._handlers.setdefault(handler.id, (_core.Histogram(), _core.Counters(2)))
        record, count = took.record_span, outcomes.add

        async def call(message: Any, ctx: Context) -> Any:
            now = ctx._app.clock.monotonic
            began = now()
            try:
                return await inner(message, ctx)
            except Exception:
                count(_FAILED)
                raise
            except BaseException:
                count(_CANCELLED)
                raise
            finally:
                record(began, now())

        return call

    def histogram(self, id: str) -> _core.Histogram:
        """The times of one handler in nanoseconds, to be merged or exported."""
        return self._handlers[id][0]

    def statistics(self) -> dict[str, dict[str, float]]:
        """By handler id: how many were `handled`, `failed` and `cancelled` (both are also handled), and seconds: the
        `total`, the quantiles `p50` and `p99`, the `highest`."""
        return {id: _figures(*figures) for id, figures in self._handlers.items()}


def _figures(took: _core.Histogram, outcomes: _core.Counters) -> dict[str, float]:
    failed, cancelled = outcomes.read()
    return {
        "handled": took.count,
        "failed": failed,
        "cancelled": cancelled,
        "total": took.total / 1e9,
        "p50": took.quantile(0.5) / 1e9,
        "p99": took.quantile(0.99) / 1e9,
        "highest": took.highest / 1e9,
    }
