"""NATS: durable channels in JetStream, live messages without it."""

from catga.backends.nats.bus import NatsBus
from catga.backends.nats.options import NatsOptions
from catga.backends.nats.transport import NatsTransport
from catga.clock import Clock

__all__ = ["NatsBus", "NatsOptions", "NatsTransport", "bus", "transport"]


def transport(url: str, clock: Clock) -> NatsTransport:
    """`nats://host:4222`; options in the query: see `NatsOptions`."""
    return NatsTransport(NatsOptions.parse(url), clock)


def bus(url: str, clock: Clock) -> NatsBus:
    """`nats://host:4222`; of the options `prefix`, `timeout` and `waiting` mean something here."""
    return NatsBus(NatsOptions.parse(url))
