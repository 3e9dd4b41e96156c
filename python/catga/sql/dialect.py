"""What differs between databases where it matters to the shared procedures."""

import msgspec


class Dialect(msgspec.Struct, frozen=True):
    """One database's words."""

    prefix: str
    """Before the name of each table of ours: `catga_`, or a schema and a dot."""
    now_ms: str | None = None
    """Milliseconds since the epoch by the database's own clock; None where that of the machine is it."""
    lock: str | None = None
    """A statement that lets one transaction at a time go on for a name (`?`), where transactions run side by side."""
    hold: str = ""
    """Behind a question whose rows are about to be changed, in its order, where transactions run side by side."""
    ignore: str = "on conflict do nothing"
    """Behind an insert that leaves rows as they are."""


def marks(count: int) -> str:
    """Question marks in parentheses."""
    return f"({','.join('?' * count)})"
