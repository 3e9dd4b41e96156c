"""A `Result` is taken apart by `match`, and both checkers know when every case is there."""

from typing import assert_never, assert_type

from catga import Err, Ok, Result, is_ok


def exhausted(result: Result[str, int]) -> str:
    match result:
        case Ok(value):
            assert_type(value, str)
            return value
        case Err(error):
            assert_type(error, int)
            return str(error)


def spelled_out(result: Result[str, int]) -> str:
    match result:
        case Ok(value):
            return value
        case Err():
            return ""
        case _:
            assert_never(result)


def forgotten(result: Result[str, int]) -> None:
    match result:
        case Ok():
            pass
        case _:
            assert_never(result)  # error


def narrowed(result: Result[str, int]) -> None:
    if is_ok(result):
        assert_type(result.value, str)
    else:
        assert_type(result.error, int)
