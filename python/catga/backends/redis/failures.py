"""Redis's errors as ours."""

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from catga.backends.redis.link import Lost
from catga.errors import (
    CatgaError,
    OutcomeUnknown,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

_LATER = "nothing: the work goes on when it answers again"

_KINDS: tuple[tuple[tuple[type[Exception], ...], type[StoreError], str, str], ...] = (
    (
        (AuthenticationError,),
        StoreUnavailable,
        "the server refused the user or the password",
        "check them in the URL",
    ),
    (
        (NoPermissionError,),
        StoreUnavailable,
        "the user may not do this",
        "grant it all commands on the keys of the prefix (~{prefix}*)",
    ),
    (
        (OutOfMemoryError,),
        StoreFull,
        "the server's memory is full; nothing was written",
        "raise maxmemory, or handle what waits; the work goes on then",
    ),
    ((ReadOnlyError,), StoreReadOnly, "the server is a replica", "connect to the primary"),
    ((BusyLoadingError,), StoreUnavailable, "the server is still loading its file", _LATER),
    ((MasterDownError, ClusterDownError, TryAgainError), StoreUnavailable, "a part of the servers is away", _LATER),
    (
        (MovedError,),
        StoreUnavailable,
        "the keys of this prefix are on another node of the cluster",
        "name that node in the URL",
    ),
)
"""Refused before anything was done."""

_WORDS: dict[str, tuple[type[StoreError], str, str]] = {
    "MISCONF": (StoreUnavailable, "the server cannot write to its disk", "make room there; the work goes on then"),
    "NOREPLICAS": (StoreUnavailable, "the server has too few replicas to take writes", _LATER),
    "BUSY": (StoreUnavailable, "a script of somebody else keeps the server busy", "end it with SCRIPT KILL"),
}


def store_error(error: BaseException, where: str) -> BaseException:
    """As one of ours, where it is the server's or the line's."""
    if isinstance(error, CatgaError) or not isinstance(error, (Lost, RedisError)):
        return error
    if (refused := _refused(error, where)) is not None:
        return refused
    if isinstance(error, ResponseError):
        if "WRONGTYPE" in str(error):
            return StoreCorrupt(
                "a key of Catga holds something else",
                where=where,
                why=str(error),
                fix="see who writes to these keys, or name another prefix (?prefix=)",
            )
        return StoreUnavailable(
            "Redis refused a command", where=where, why=str(error), fix="it must be Redis 7 or Valkey 7.2, or newer"
        )
    return StoreUnavailable(
        "Redis does not answer",
        where=where,
        why=str(error),
        fix="check that it runs and can be reached; the work goes on when it answers again",
    )


def commit_error(error: BaseException, where: str) -> BaseException:
    """The same for a commit: what the server did not refuse at once may have been written."""
    heard = error.sent if isinstance(error, Lost) else isinstance(error, RedisError) and _refused(error, where) is None
    if not heard:
        return store_error(error, where)
    return OutcomeUnknown(
        "whether the commit was made is not known",
        where=where,
        why=str(error) or type(error).__name__,
        fix="it is asked again through the marks",
    )


def _refused(error: BaseException, where: str) -> StoreError | None:
    for kinds, kind, why, fix in _KINDS:
        if isinstance(error, kinds):
            return kind(f"Redis cannot be used: {error}", where=where, why=why, fix=fix)
    found = _WORDS.get(str(error).partition(" ")[0])
    if found is None or not isinstance(error, ResponseError):
        return None
    kind, why, fix = found
    return kind(f"Redis cannot be used: {error}", where=where, why=why, fix=fix)
