"""After a crash: which messages may have ended the process of those that held their part before."""

from collections.abc import Callable, Collection

from catga.ports.messages import WINDOW, Delivery, Lease


class Case:
    """One part whose last holders ended without a word."""

    __slots__ = ("lease", "left", "tokens")

    def __init__(self, lease: Lease) -> None:
        self.lease: Lease = lease
        self.left: int = WINDOW
        """How many more of its oldest that have no mark can have been out at once."""
        self.tokens: set[int | bytes] = set()


class Suspicion:
    """What was there when a part was claimed, and was not handled, may have killed its holder; what came later cannot
    have. After one crash it is handled as always; after two in a row, one by one."""

    def __init__(self) -> None:
        self._cases: dict[int, Case] = {}

    def falls_on(self, delivery: Delivery) -> bool:
        """Whether this delivery, if it has no mark, may have been out with somebody who crashed."""
        lease = delivery.lease
        if lease is None or not lease.crashes or not delivery.inherited:
            return False
        case = self._cases.get(lease.part)
        if case is None or case.lease.epoch != lease.epoch:
            case = self._cases[lease.part] = Case(lease)
        return case.left > 0 or delivery.token in case.tokens

    def suspect(self, delivery: Delivery) -> None:
        """It has no mark."""
        case = self._cases[delivery.part]
        if delivery.token not in case.tokens:
            case.left -= 1
            case.tokens.add(delivery.token)

    def closed(self, left: Callable[[int, Collection[int | bytes]], bool]) -> list[Lease]:
        """Parts whose suspects have all ended: their crashes count no more. `left` is the consumer's."""
        found = [case for case in self._cases.values() if not left(case.lease.part, case.tokens)]
        for case in found:
            del self._cases[case.lease.part]
        return [case.lease for case in found]
