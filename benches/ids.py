"""Ids of 128 bits, ordered by time."""

import os
import uuid
from collections.abc import Callable
from typing import Any

import uuid_utils

from benches.runner import Group, Row, fixed
from catga._core import Ids, Snowflake
from catga.clock import SystemClock

COUNT = 10_000


def repeated(make: Callable[[], Any]) -> Callable[[int], None]:
    """The loop every row has."""

    def timed(count: int) -> None:
        for _ in range(count):
            make()

    return timed


def reading_the_clock(make: Callable[[int], Any]) -> Callable[[int], None]:
    """As the library does it: the app's clock is asked for each id."""
    clock = SystemClock()

    def timed(count: int) -> None:
        for _ in range(count):
            make(clock.wall_ms())

    return timed


def with_time_given(make: Callable[[int], Any]) -> Callable[[int], None]:
    """The generator alone."""

    def timed(count: int) -> None:
        for _ in range(count):
            make(1_700_000_000_000)

    return timed


def as_bytes() -> Callable[[int], None]:
    """uuid_utils in the type that ours give."""

    def timed(count: int) -> None:
        make = uuid_utils.uuid7
        for _ in range(count):
            make().bytes  # noqa: B018 - reading it makes them

    return timed


def rows() -> list[Row]:
    """One id at a time."""
    ids, snowflake = Ids(1), Snowflake(1)
    return [
        Row("catga Ids, with the clock", reading_the_clock(ids.next), COUNT),
        Row("catga Ids, time given", with_time_given(ids.next), COUNT),
        Row("catga Snowflake, time given", with_time_given(snowflake.next), COUNT),
        Row("uuid_utils.uuid7, bytes", as_bytes(), COUNT),
        Row("uuid_utils.uuid7", repeated(uuid_utils.uuid7), COUNT),
        Row("uuid.uuid4", repeated(uuid.uuid4), COUNT // 10),
        Row("os.urandom(16)", repeated(lambda: os.urandom(16)), COUNT // 10),
    ]


GROUPS = [Group("ids", fixed(rows), loops=("uvloop",), rounds=101)]
