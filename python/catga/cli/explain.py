"""`catga explain`: why a message goes where it goes."""

from typing import Annotated

import typer

from catga.cli.arguments import AsJson, Target
from catga.cli.output import print_fields, print_json
from catga.cli.target import load, message_type
from catga.explanation import Explanation, Visit
from catga.explanation import explain as explanation_of

KINDS = {"command": "a command", "query": "a query", "stream": "a stream query", "event": "an event"}


def explain(
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="A message's name, or one it had.")],
    target: Target,
    key: Annotated[str | None, typer.Option(help="A key, to see which part it falls into.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show why a message goes where it goes.

    Its channel and part, its handlers and the order of their layers, what happens when one fails.
    """
    app = load(target)
    found = explanation_of(app, message_type(app, message).__catga__.name, key)
    if as_json:
        print_json(found)
    else:
        show(found, key)


def show(found: Explanation, key: str | None) -> None:
    """The way of the message, from top to bottom."""
    part = "" if found.channel is None or found.key is None else "give --key to see it"
    if found.part is not None:
        part = f"{found.part} of {found.parts}: crc32c of {key!r}"
    print_fields(
        [
            ("message", f"{found.name}, {KINDS[found.kind]}, version {found.version}, priority {found.priority}"),
            ("class", found.type),
            ("reply", found.reply),
            *((f"by {verb}", text) for verb, text in found.verbs.items()),
            ("channel", f"{found.channel or 'none'}: {found.channel_why}"),
            ("key", f"{found.key or 'none'}: {found.key_why}"),
            ("part", part),
            ("handlers", "" if found.visits else "none: nothing handles it here"),
        ]
    )
    for visit in found.visits:
        print_fields(_visit(visit))


def _visit(visit: Visit) -> list[tuple[str, object]]:
    handler = visit.handler
    lists = f", lists of {handler.batch.size} or what {handler.batch.wait:g} s bring" if handler.batch else ""
    return [
        ("handler", handler.id),
        ("where", handler.where),
        ("plan", f"{handler.plan}{lists}"),
        ("order", " → ".join(visit.order)),
        ("asks for", handler.asks),
        *(("on failure" if number == 0 else "", text) for number, text in enumerate(visit.failing)),
    ]
