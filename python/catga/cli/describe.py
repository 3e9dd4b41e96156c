"""`catga describe`: what an app is."""

from typing import Any

import typer

from catga.cli.arguments import AsJson, Target
from catga.cli.output import complain, print_fields, print_json, print_table, styled
from catga.cli.target import load
from catga.description import AppInfo, HandlerInfo, RetryInfo
from catga.description import describe as description_of

HELD = {"yes": "green", "limited": "yellow", "no": "red"}


def describe(target: Target, as_json: AsJson = False) -> None:
    """Show what an app is and what it promises.

    Messages, handlers, channels, guarantees, and mistakes that would keep it from starting. Starts and opens nothing.
    """
    info = description_of(load(target))
    if as_json:
        print_json(info)
    else:
        show(info)
    if info.mistakes:
        raise typer.Exit(1)


def show(info: AppInfo) -> None:
    """Tables, in the order of a message's way."""
    print_fields(
        [
            ("app", info.name),
            ("store", info.store or "none"),
            ("transport", info.transport or _carrier(info)),
            ("bus", info.bus or "none"),
        ]
    )
    print_table(
        "Messages",
        ("name", "kind", "#version", "#priority", "key", "channel", "reply"),
        [(m.name, m.kind, m.version, m.priority, m.key, m.channel, m.reply) for m in info.messages],
    )
    print_table("Handlers", ("handler", "message", "plan", "middleware", "retry"), map(_handler, info.handlers))
    print_table(
        "Channels",
        ("channel", "#parts", "messages", "#handlers"),
        [(c.name, c.parts, c.messages, len(c.handlers)) for c in info.channels],
    )
    print_table(
        "Guarantees",
        ("promise", "held", "under"),
        [(g.promise, styled(g.held, HELD[g.held]), g.under) for g in info.guarantees],
    )
    for feature in info.features:
        print_fields(feature.items())
    for mistake in info.mistakes:
        complain(mistake)


def _carrier(info: AppInfo) -> str:
    return "the store's own queue" if info.store else "none"


def _handler(handler: HandlerInfo) -> tuple[Any, ...]:
    plan: str = handler.plan
    if handler.batch is not None:
        plan = f"{plan}, lists of {handler.batch.size} or {handler.batch.wait:g} s"
    elif handler.plan == "live":
        plan = "live, every instance" if handler.group is None else f"live, one of group {handler.group}"
    elif handler.durable and handler.plan == "pure":
        plan = "pure by send, transactional by enqueue"
    if handler.remote:
        plan += ", answers others"
    if handler.when_dead == "block":
        plan += ", blocks its key when dead"
    return (handler.id, handler.message, plan, handler.middleware, _retry(handler.retry))


def _retry(retry: RetryInfo | None) -> str:
    if retry is None:
        return "none"
    waits = [f"{wait:g}" for wait in retry.waits]
    if len(waits) > 5:
        waits = [*waits[:3], "…", waits[-1]]
    delayed = f"{len(retry.waits)} after {', '.join(waits)} s" if waits else ""
    immediate = f"{retry.immediate} at once" if retry.immediate else ""
    return ", ".join(filter(None, (immediate, delayed))) or "none"
