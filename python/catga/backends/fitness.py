"""A server that is set up so that promises would break is refused, with all there is to change."""

from collections.abc import Sequence

from catga.errors import StoreMismatch


def refuse(product: str, where: str, why: str, mistakes: Sequence[tuple[str, str]]) -> None:
    """Raises where there are mistakes, each with its fix."""
    if mistakes:
        raise StoreMismatch(
            f"{product} cannot keep what is promised: {'; '.join(what for what, _ in mistakes)}",
            where=where,
            why=why,
            fix="; ".join(fix for _, fix in mistakes),
        )
