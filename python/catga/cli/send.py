"""`catga send` and `catga publish`: one message from the shell."""

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, cast

import msgspec
import typer

from catga.app import Catga
from catga.cli.arguments import AsJson, Target
from catga.cli.output import complain, note, print_json
from catga.cli.target import UsageError, load, message_type
from catga.delivery.delivery import Receipt
from catga.description import type_name
from catga.errors import CatgaError, ValidationFailed
from catga.messages import Command, Event, Message
from catga.result import Err

Name = Annotated[str, typer.Argument(metavar="NAME", help="A message's name, or one it had.")]
Json = Annotated[str, typer.Argument(metavar="JSON", help="Its fields as JSON; - reads them from stdin.")]
Enqueue = Annotated[bool, typer.Option("--enqueue", help="Leave it to a running instance; print the receipt.")]
Id = Annotated[str | None, typer.Option("--id", help="32 hexadecimal digits; the same id gives the same reply.")]


def send(
    name: Name, fields: Json, target: Target, enqueue: Enqueue = False, message_id: Id = None, as_json: AsJson = False
) -> None:
    """Send a command or query, print its reply.

    The handler runs in this process, on the app's own store. The reply is JSON; an Err exits with 1.
    """
    app = load(target)
    message = _message(app, name, fields)
    if isinstance(message, Event):
        raise UsageError(f"{name} is an event", fix=f"catga publish {name} …")
    if enqueue and not isinstance(message, Command):
        raise UsageError(f"{name} is no command", why="only commands can be enqueued", fix="leave --enqueue out")
    if message_id is not None and not _is_id(message_id):
        raise UsageError(f"{message_id!r} is no id", fix="give 32 hexadecimal digits")
    _run(_answers(app, message, enqueue, message_id), as_json)


def publish(name: Name, fields: Json, target: Target, as_json: AsJson = False) -> None:
    """Publish an event, print its receipt.

    Running instances of the app handle it; where it has no store, this process does.
    """
    app = load(target)
    message = _message(app, name, fields)
    if not isinstance(message, Event):
        raise UsageError(f"{name} is no event", fix=f"catga send {name} …")
    _run(_answers(app, message, False, None), as_json)


async def _answers(app: Catga, message: Any, enqueue: bool, message_id: str | None) -> AsyncIterator[Any]:
    await app.start(work=False)
    try:
        if enqueue:
            yield await app.enqueue(message, id=message_id)
        elif message.__catga__.kind == "event":
            yield await app.publish(message)
        elif message.__catga__.kind == "stream":
            async for value in app.iterate(message):
                yield value
        else:
            yield await app.send(message, id=message_id)
    finally:
        await app.stop()


def _run(answers: Any, one_line: bool) -> None:
    async def run() -> bool:
        failed = False
        async with aclosing(answers):
            async for answer in answers:
                print_json(answer, one_line)
                failed = failed or isinstance(answer, Err)
                if isinstance(answer, Receipt) and not answer.durable:
                    note("the app has no store: whatever handles this did so in this process")
        return failed

    try:
        failed = asyncio.run(run())
    except CatgaError:
        raise
    except Exception as error:
        _tell(error)
        failed = True
    raise typer.Exit(failed)


def _tell(error: Exception) -> None:
    """What a handler raised, and where; without our own frames."""
    if isinstance(error, ExceptionGroup):
        for inner in cast("ExceptionGroup[Exception]", error).exceptions:
            _tell(inner)
        return
    frames = traceback.extract_tb(error.__traceback__)
    where = f"\n  where: {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    complain(str(error) if isinstance(error, CatgaError) else f"{type(error).__name__}: {error}{where}")


def _message(app: Catga, name: str, fields: str) -> Message:
    cls = message_type(app, name)
    try:
        return msgspec.json.decode(sys.stdin.read() if fields == "-" else fields, type=cls)
    except msgspec.DecodeError as error:
        known = ", ".join(f"{field.name}: {type_name(field.type)}" for field in msgspec.structs.fields(cls))
        wrong = ValidationFailed(f"this is no {name}", why=str(error), fix=f"its fields are: {known or '(none)'}")
        raise UsageError.of(wrong) from error


def _is_id(text: str) -> bool:
    try:
        return len(text) == 32 and len(bytes.fromhex(text)) == 16
    except ValueError:
        return False
