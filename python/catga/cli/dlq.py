"""`catga dlq`: the messages that were given up, and the ways back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from catga.cli.arguments import AsJson, StoreUrl
from catga.cli.letters import Letter, letter, moment, payload_of
from catga.cli.output import counting, note, print_fields, print_json, print_table
from catga.cli.stores import app_of, letters_of
from catga.cli.target import UsageError
from catga.deadletters import DeadLetters
from catga.ports.store import Parked

T = TypeVar("T")

App = Annotated[str | None, typer.Argument(metavar="[APP]", help="The app; or give --store.", show_default=False)]
Id = Annotated[str, typer.Argument(metavar="ID", help="A message's id, or the beginning of it.")]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID|--all|--group [APP]", help="Which, and of which app.", show_default=False),
]
Handler = Annotated[str | None, typer.Option("--handler", help="Those of one handler only.")]
Group = Annotated[str | None, typer.Option("--group", help="Those of one group only: see `groups`.")]
Rate = Annotated[float | None, typer.Option("--rate", help="At most so many a second.", show_default="no limit")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Most = Annotated[int, typer.Option("--most", "-n", min=1, help="How many to show.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

commands: typer.Typer = typer.Typer(
    no_args_is_help=True, help="List, show, replay and purge messages that failed for good."
)


@commands.command("list")
def newest(
    app: App = None, store: StoreUrl = None, handler: Handler = None, most: Most = 50, as_json: AsJson = False
) -> None:
    """List dead letters, newest first; no payload is decoded."""
    rows = _with(app, store, lambda letters: letters.newest(most, handler))
    found = [letter(row) for row in rows]
    if as_json:
        print_json(found)
        return
    columns = ("id", "message", "handler", "key", "#failures", "last failed", "reason")
    print_table("", columns, map(_line, found), empty="no dead letters")
    if len(found) == most:
        note(f"the newest {most}; more with --most")


@commands.command()
def groups(app: App = None, store: StoreUrl = None, handler: Handler = None, as_json: AsJson = False) -> None:
    """Show what dead letters died of: those with the same error from the same function are one group."""
    found = _with(app, store, lambda letters: letters.groups(handler))
    if as_json:
        print_json(found)
        return
    columns = ("group", "#count", "error", "in", "messages", "first", "last", "example")
    print_table(
        "",
        columns,
        (
            (
                *(group.fingerprint, group.count, group.type, group.place or None, group.messages),
                *(moment(group.first_ms) if group.first_ms else None, moment(group.last_ms) if group.last_ms else None),
                group.example,
            )
            for group in found
        ),
        empty="no dead letters",
    )


@commands.command()
def show(
    letter_id: Id, app: App = None, store: StoreUrl = None, handler: Handler = None, as_json: AsJson = False
) -> None:
    """Show a dead letter: why it failed, each try, and what is in it."""
    rows = _with(app, store, lambda letters: _one(letters, letter_id, handler))
    owner = app_of(app, store)
    found = [(letter(row), payload_of(row, owner)) for row in rows]
    if as_json:
        print_json([{**each.as_data(), "payload": payload} for each, payload in found])
        return
    for each, payload in found:
        _show(each, payload)


@commands.command()
def replay(
    words: Words = None,
    every: All = False,
    store: StoreUrl = None,
    handler: Handler = None,
    group: Group = None,
    rate: Rate = None,
    as_json: AsJson = False,
) -> None:
    """Put dead letters back to work, with all their tries before them; a running instance takes them up."""
    letter_id, app = _which(words, every or group is not None)

    async def work(letters: DeadLetters) -> int:
        if letter_id is not None:
            return await letters.replay(await _one(letters, letter_id, handler), rate=rate)
        with counting("replayed") as advance:
            return await letters.replay_all(handler, group=group, rate=rate, progress=advance)

    _count("replayed", _with(app, store, work), as_json)


@commands.command()
def purge(
    words: Words = None,
    every: All = False,
    store: StoreUrl = None,
    handler: Handler = None,
    group: Group = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Throw dead letters away; there is no way back."""
    letter_id, app = _which(words, every or group is not None)
    app_of(app, store)
    whose = "".join(f" of {name}" for name in (f"group {group}" if group else None, handler) if name)
    what = "all dead letters" if letter_id is None else letter_id
    if not yes and not typer.confirm(f"Throw away {what}{whose}?", err=True):
        raise typer.Exit(1)

    async def work(letters: DeadLetters) -> int:
        if letter_id is None:
            return await letters.purge_all(handler, group=group)
        return await letters.purge(await _one(letters, letter_id, handler))

    _count("purged", _with(app, store, work), as_json)


def _with(target: str | None, url: str | None, work: Callable[[DeadLetters], Awaitable[T]]) -> T:
    app = app_of(target, url)

    async def run() -> T:
        async with letters_of(app, url) as letters:
            return await work(letters)

    return asyncio.run(run())


async def _one(letters: DeadLetters, letter_id: str, handler: str | None) -> Sequence[Parked]:
    """The rows of one message; never of several that happen to begin alike."""
    rows = await letters.find(letter_id, handler)
    ids = sorted({row.id.hex() for row in rows})
    if len(ids) > 1 and letter_id not in ids:
        raise UsageError(
            f"{len(ids)} dead letters begin with {letter_id}", why=", ".join(ids[:5]), fix="give more of the id"
        )
    if not rows:
        raise UsageError(f"no dead letter has the id {letter_id}", fix="see `catga dlq list`")
    return rows


def _which(words: Sequence[str] | None, every: bool) -> tuple[str | None, str | None]:
    """(id, app); the id is None for all."""
    rest = list(words or ())
    letter_id = None if every else (rest.pop(0) if rest else "")
    if letter_id == "" or len(rest) > 1:
        raise UsageError("name one dead letter or all", fix="write ID [APP], --all [APP] or --group FINGERPRINT [APP]")
    return letter_id, rest[0] if rest else None


def _count(what: str, count: int, as_json: bool) -> None:
    if as_json:
        print_json({what: count})
    else:
        typer.echo(f"{what}: {count}")


def _line(found: Letter) -> tuple[Any, ...]:
    reason = found.reason.partition("\n")[0]
    return (found.id, found.message, found.handler or "(none)", found.key, found.failures, found.failed_at, reason)


def _show(found: Letter, payload: Any) -> None:
    import msgspec

    print_fields(
        [
            ("id", found.id),
            ("message", found.message),
            ("handler", found.handler or "none was found: a replay goes through the queue again"),
            ("channel", f"{found.channel}, part {found.part}"),
            ("key", found.key),
            ("created", found.created_at),
            ("failures", found.failures),
            ("reason", found.reason),
            ("payload", msgspec.json.format(msgspec.json.encode(payload, enc_hook=str), indent=2).decode()),
        ]
    )
    for failure in found.history:
        print_fields(
            [
                (f"try {failure.attempt}", failure.at),
                ("", f"{failure.type}: {failure.what}"),
                ("", failure.trace.rstrip()),
            ]
        )
