"""What an app may promise with the store and transport it was given: told as it is, the limits first."""

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from catga.ports.store import Store
from catga.ports.transport import Transport

if TYPE_CHECKING:
    from catga.app import Catga

Held = Literal["yes", "limited", "no"]


class Guarantee(msgspec.Struct, frozen=True):
    """One promise: whether it is `held` here, and under what it holds, or why it does not."""

    promise: str
    held: Held
    under: str


def guarantees(app: "Catga", store: Store | None, transport: Transport | None) -> list[Guarantee]:
    """The promises in force; `store` and `transport` need not be open."""
    if app.store is None:
        return _without_store()
    if store is None:
        return [Guarantee("anything", "no", "the store's URL is wrong: see the mistakes")]
    held, kept = _keeping(store)
    days = f"{app.window_days} day{'s' if app.window_days != 1 else ''}"
    return [
        Guarantee("a message with a receipt is delivered at least once", held, kept),
        Guarantee(
            "what a handler writes through Transaction happens once",
            held,
            f"within the dedupe window of {days}; effects outside of the store may repeat",
        ),
        Guarantee(
            "messages of one key are handled in order",
            "yes",
            "per app, channel and key, over all instances; under when_dead=skip the replay of a dead letter comes late",
        ),
        Guarantee("a failed message is tried again, then kept as a dead letter", held, kept),
        Guarantee("a scheduled message leaves at its time", held, f"or as soon as an instance runs; {kept}"),
        Guarantee("what a handler publishes leaves if, and only if, it commits", "yes", _leaving(store, transport)),
    ]


def _without_store() -> list[Guarantee]:
    gone = "no store: what waits in memory is gone with the process"
    return [
        Guarantee("a message with a receipt is delivered at least once", "no", gone),
        Guarantee(
            "what a handler writes happens once",
            "no",
            "no store: nothing is known of earlier messages, Transaction is refused at start",
        ),
        Guarantee("messages of one key are handled in order", "limited", "enqueued commands, inside this process"),
        Guarantee(
            "a failed message is tried again, then kept as a dead letter",
            "no",
            "no store: send and publish raise, the failure of an enqueued command is logged",
        ),
        Guarantee("a scheduled message leaves at its time", "limited", gone),
        Guarantee(
            "what a handler publishes leaves if, and only if, it returns",
            "limited",
            "handled in this process after it has returned; an Err or an exception discards it",
        ),
    ]


def _keeping(store: Any) -> tuple[Held, str]:
    identity = str(store.store_id)
    if identity.startswith("memory"):
        return "limited", "kept in memory: nothing outlives the process"
    if identity.startswith("sqlite"):
        if store.options.synchronous == "NORMAL":
            return (
                "limited",
                "synchronous=NORMAL: any crash of a process is survived, a power failure may lose the last commits",
            )
        return (
            "yes",
            "synchronous=FULL: crashes and power failures are survived, as far as the disk keeps what it acknowledged",
        )
    return "yes", "as far as that server keeps what it has acknowledged"


def _leaving(store: Any, transport: Transport | None) -> str:
    if transport is None or transport.capabilities.store_id == store.store_id:
        return "through the store's own queue, in the same commit"
    if not transport.capabilities.accepts_durably:
        return "through the store's own queue: the transport keeps nothing, so nothing durable is handed to it"
    return "through the outbox, then the transport"
