"""Every error Catga raises, with a stable code, what, where, why and the fix.

CatgaError
├── ConfigurationError            CTG-1000  all mistakes found at start, together
│   ├── MessageDefinitionError    CTG-1001
│   ├── HandlerDefinitionError    CTG-1002
│   ├── DuplicateHandler          CTG-1003
│   ├── DuplicateName             CTG-1004
│   ├── MissingProvider           CTG-1005
│   ├── UnknownBackend            CTG-1006
│   └── MissingUpcaster           CTG-1007
├── CallError
│   ├── NoHandler                 CTG-2001
│   ├── AppClosed                 CTG-2002
│   ├── QueueFull                 CTG-2003
│   ├── ValidationFailed          CTG-2004
│   ├── DeadlineExceeded          CTG-2005
│   ├── OutcomeUnknown            CTG-2006
│   ├── WouldDeadlock             CTG-2007
│   ├── NoStore                   CTG-2008
│   ├── HandlerCancelled          CTG-2009
│   ├── InvalidArgument           CTG-2010
│   ├── NoBus                     CTG-2011
│   └── NoAnswer                  CTG-2012
├── WireError
│   ├── (FrameError, from the extension: CTG-3001 … CTG-3006)
│   ├── UnknownMessageType        CTG-3010
│   ├── BadPayload                CTG-3011
│   ├── UnknownVersion            CTG-3012
│   ├── TooLarge                  CTG-3013
│   ├── BadHeaders                CTG-3014
│   ├── UnknownContentType        CTG-3015
│   ├── BadSignature              CTG-3016
│   ├── Replayed                  CTG-3017
│   └── BadCloudEvent             CTG-3018
├── StoreError
│   ├── StoreUnavailable          CTG-4001
│   ├── StoreCorrupt              CTG-4002
│   ├── StoreReadOnly             CTG-4003
│   ├── StoreFull                 CTG-4004
│   ├── SchemaMismatch            CTG-4005
│   ├── ForbiddenStatement        CTG-4006
│   ├── Conflict                  CTG-4007
│   ├── HoldLimitExceeded         CTG-4008
│   ├── StaleLease                CTG-4009
│   ├── StatementFailed           CTG-4010
│   ├── CommitRefused             CTG-4011
│   └── StoreMismatch             CTG-4012
└── DeliveryError
    ├── Poison                    CTG-5001
    ├── OutsideWindow             CTG-5002
    ├── RemoteError               CTG-5003
    ├── ItemsFailed               CTG-5004
    └── BlobMissing               CTG-5005
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class CatgaError(Exception):
    """The root: `code` is stable across releases, the other parts are for people."""

    code: ClassVar[str] = "CTG-0000"

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        parts = [f"[{self.code}] {self.what}"]
        parts += [f"  {name}: {text}" for name in ("where", "why", "fix") if (text := getattr(self, name))]
        return "\n".join(parts)


class ConfigurationError(CatgaError):
    """One mistake found before the app runs, or all of them (`mistakes`)."""

    code = "CTG-1000"
    mistakes: Sequence["ConfigurationError"] = ()

    @classmethod
    def together(cls, app: str, mistakes: Sequence["ConfigurationError"]) -> "ConfigurationError":
        """All mistakes of one start, so that they are mended in one go."""
        count = len(mistakes)
        listed = "\n".join(f"{n}. {mistake}" for n, mistake in enumerate(mistakes, 1))
        error = cls(f"app {app!r} cannot start: {count} mistake{'s' if count > 1 else ''}\n{listed}")
        error.mistakes = tuple(mistakes)
        return error


class MessageDefinitionError(ConfigurationError):
    """A message class that cannot be one."""

    code = "CTG-1001"


class HandlerDefinitionError(ConfigurationError):
    """A handler whose form, parameters or reply do not fit its message."""

    code = "CTG-1002"


class DuplicateHandler(ConfigurationError):
    """A second handler for a command or query, or two handlers with one id."""

    code = "CTG-1003"


class DuplicateName(ConfigurationError):
    """Two message classes with one durable name."""

    code = "CTG-1004"


class MissingProvider(ConfigurationError):
    """A handler asks for a type that nothing provides."""

    code = "CTG-1005"


class UnknownBackend(ConfigurationError):
    """A URL whose technology is not known, or whose extra is not installed."""

    code = "CTG-1006"


class MissingUpcaster(ConfigurationError):
    """A message has version N, and nothing lifts N-1 to it."""

    code = "CTG-1007"


class CallError(CatgaError):
    """A call that could not be served."""


class NoHandler(CallError):
    """Nothing handles a message of this type."""

    code = "CTG-2001"


class AppClosed(CallError):
    """The app is not running: not started yet, stopping, or stopped."""

    code = "CTG-2002"


class QueueFull(CallError):
    """A bounded queue refused a message; nothing of it was kept."""

    code = "CTG-2003"


class ValidationFailed(CallError):
    """A message whose fields do not have the types its class declares."""

    code = "CTG-2004"


class DeadlineExceeded(CallError, TimeoutError):
    """The time given to a message passed before its handler ended; the handler was cancelled."""

    code = "CTG-2005"


class OutcomeUnknown(CallError):
    """It may or may not have happened: ask again with the same id to learn which."""

    code = "CTG-2006"


class WouldDeadlock(CallError):
    """A handler that holds the store's write lock waits for another that needs it."""

    code = "CTG-2007"


class NoStore(CallError):
    """A durable verb was used on an app that has no store."""

    code = "CTG-2008"


class NoBus(CallError):
    """A live verb was used on an app that has no bus."""

    code = "CTG-2011"


class NoAnswer(CallError):
    """Nobody answers this type of message now: it was handled nowhere, and may be sent again."""

    code = "CTG-2012"


class HandlerCancelled(CallError):
    """A handler raised CancelledError by itself; nobody had asked it to stop, so it has failed."""

    code = "CTG-2009"


class InvalidArgument(CallError, ValueError):
    """An id, a delay or a moment that cannot be used."""

    code = "CTG-2010"


class WireError(CatgaError):
    """Bytes that do not say what they should."""


class UnknownMessageType(WireError):
    """A name on the wire that this app does not know."""

    code = "CTG-3010"


class BadPayload(WireError):
    """A payload that does not decode into its type."""

    code = "CTG-3011"


class UnknownVersion(WireError):
    """A message of a version newer than this app's class."""

    code = "CTG-3012"


class TooLarge(WireError):
    """A message over the size limit."""

    code = "CTG-3013"


class BadHeaders(WireError):
    """Headers that do not decode."""

    code = "CTG-3014"


class UnknownContentType(WireError):
    """A payload that is encoded, compressed or wrapped in a way that this release cannot read."""

    code = "CTG-3015"


class BadSignature(WireError):
    """A message that is not signed, or not with a key that is accepted, or was changed."""

    code = "CTG-3016"


class Replayed(WireError):
    """A signed message that came so late that it may be a copy."""

    code = "CTG-3017"


class BadCloudEvent(WireError):
    """What is no event of CloudEvents 1.0."""

    code = "CTG-3018"


class StoreError(CatgaError):
    """The store could not do what it was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be opened or reached, or its lock was not had in time."""

    code = "CTG-4001"


class StoreCorrupt(StoreError):
    """What is in the file is not a database, or is damaged."""

    code = "CTG-4002"


class StoreReadOnly(StoreError):
    """The store cannot be written."""

    code = "CTG-4003"


class StoreFull(StoreError):
    """No room is left; what was not acknowledged is not kept, what was is."""

    code = "CTG-4004"


class SchemaMismatch(StoreError):
    """The store was made by a release with another schema."""

    code = "CTG-4005"


class ForbiddenStatement(StoreError):
    """User SQL that would end, nest or escape the commit it shares with others."""

    code = "CTG-4006"


class Conflict(StoreError):
    """`expect=` named another number of rows than the statement touched."""

    code = "CTG-4007"


class HoldLimitExceeded(StoreError):
    """A `Connection` handler held the write lock too long."""

    code = "CTG-4008"


class StaleLease(StoreError):
    """The part this work belongs to has been taken over; nothing was written."""

    code = "CTG-4009"


class StatementFailed(StoreError):
    """A handler's statement failed in the commit; its savepoint was rolled back, its neighbours were not touched."""

    code = "CTG-4010"


class CommitRefused(StoreError):
    """The store did not commit, and did not say of what kind the mistake was; nothing was written."""

    code = "CTG-4011"


class StoreMismatch(StoreError):
    """The server is set up in a way that would break promises."""

    code = "CTG-4012"


class TransportError(CatgaError):
    """What carries messages between processes cannot be used as it should."""


class TransportUnavailable(TransportError):
    """It does not answer, or refuses us; nothing is lost, and the work goes on when it answers again."""

    code = "CTG-6001"


class TransportMismatch(TransportError):
    """It is set up in a way that would break promises."""

    code = "CTG-6002"


class DeliveryError(CatgaError):
    """Why a message went to the dead letters."""


class Poison(DeliveryError):
    """The process died each time it worked on this message alone."""

    code = "CTG-5001"


class OutsideWindow(DeliveryError):
    """Older than the dedupe window: whether it was handled can no longer be known."""

    code = "CTG-5002"


class RemoteError(DeliveryError):
    """An exception of another process, as data, never an unpickled class: `type` names its class, `remote_code` is its code, if
    it was one of Catga's."""

    code = "CTG-5003"

    def __init__(
        self, what: str, *, type: str = "", remote_code: str = "", where: str = "", why: str = "", fix: str = ""
    ) -> None:
        super().__init__(what, where=where, why=why, fix=fix)
        self.type = type
        self.remote_code = remote_code


class BlobMissing(DeliveryError):
    """A payload that was too large to travel, and is not where it was put."""

    code = "CTG-5005"


class ItemsFailed(DeliveryError):
    """Raised by a batch handler to say which items failed (index to error); the rest is run again without them."""

    code = "CTG-5004"

    def __init__(self, failed: Mapping[int, Exception]) -> None:
        super().__init__(f"{len(failed)} items of the batch failed")
        self.failed: dict[int, Exception] = dict(failed)
