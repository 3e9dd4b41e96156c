"""NATS: durable channels in JetStream."""

from catga.backends.nats.options import NatsOptions
from catga.backends.nats.transport import NatsTransport
from catga.clock import Clock

__all__ = ["NatsOptions", "NatsTransport", "transport"]


def transport(url: str, clock: Clock) -> NatsTransport:
    """`nats://host:4222`; options in the query: see `NatsOptions`."""
    return NatsTransport(NatsOptions.parse(url), clock)
