"""Messages that cannot be read or are not trusted: counted, and told of once."""


class Refusals:
    """Who can send a few can send millions: each cause is told of once."""

    def __init__(self) -> None:
        self.by_code: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()

    def add(self, where: str, error: Exception) -> bool:
        """Counts one; whether it is the first there for this reason."""
        code = str(getattr(error, "code", type(error).__name__))
        self.by_code[code] = self.by_code.get(code, 0) + 1
        return self.first(where, code)

    def first(self, where: str, cause: str) -> bool:
        """Whether nothing was said of it there before."""
        place = (where, cause)
        if place in self._told:
            return False
        self._told.add(place)
        return True
