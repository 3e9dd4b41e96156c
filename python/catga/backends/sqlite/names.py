"""What stands between names and numbers in a SQLite file beside the table itself."""

from catga.backends.sqlite.places import place
from catga.sql.procedures import Ask, Procedure

MARKS_OF = """day in (with recursive days (day) as (
    select min(day) from catga_marks union all select (select min(day) from catga_marks where day > days.day) from days where days.day is not null
) select day from days) and handler = ?"""
"""Each day once, by a few steps in the index: the handler stands second in it."""


def is_channel(number: int, name: str) -> Procedure[bool]:
    """A handler may be called as a channel is; the channel keeps its name and what is in it."""
    ((found,),) = yield Ask(
        "select exists(select 1 from catga_queue where number between ? and ?) or exists(select 1 from catga_parked where channel = ?)"
        " or exists(select 1 from catga_leases where scope = ?)",
        (place(number, 0, 0), place(number + 1, 0, 0) - 1, number, name),
    )
    return bool(found)
