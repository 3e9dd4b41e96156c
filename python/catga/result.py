"""`Result`: an expected failure is a value, a bug is an exception."""

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec

if TYPE_CHECKING:
    from typing_extensions import TypeIs

T = TypeVar("T", covariant=True)
E = TypeVar("E", covariant=True)


class Ok(msgspec.Struct, Generic[T], frozen=True, tag="ok", tag_field="is"):
    """The reply of a command that did what it was asked.

    >>> match Ok(3):
    ...     case Ok(value):
    ...         print(value)
    3
    """

    value: T


class Err(msgspec.Struct, Generic[E], frozen=True, tag="err", tag_field="is"):
    """The reply of a command that was refused for an expected reason; nothing it wrote or published is kept."""

    error: E


Result: TypeAlias = Ok[T] | Err[E]


def is_ok(result: "Ok[T] | Err[Any]") -> "TypeIs[Ok[T]]":
    """Whether a `Result` is `Ok`; type checkers narrow both branches.

    >>> is_ok(Ok(1)), is_ok(Err("no"))
    (True, False)
    """
    return type(result) is Ok
